/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times commands from outside: for each run, from just before exec to the first byte on the
 * command's stdout and to its end. Two commands are run in turn (A B A B ...), so that a drifting
 * machine is fair to both. Usage: spawn_time RUNS A [ARG...] [-- B [ARG...]]. Prints one line a
 * run: "A first_us end_us exit_status". One thread; part of perf, not of the product.
 */
#include <err.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 10000ul

extern char **environ;

static uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void drain(int fd)
{
    char buf[4096];
    while (read(fd, buf, sizeof(buf)) > 0) {
    }
}

static void time_one(char label, char **command)
{
    int out[2];
    pid_t pid;
    char byte;
    int status;
    posix_spawn_file_actions_t actions;

    if (pipe(out) < 0)
        err(1, "pipe");
    if (posix_spawn_file_actions_init(&actions) ||
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0) ||
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO) ||
        posix_spawn_file_actions_addclose(&actions, out[0]) ||
        posix_spawn_file_actions_addclose(&actions, out[1]))
        errx(1, "posix_spawn_file_actions");
    uint64_t start = now_ns();
    int rc = posix_spawn(&pid, command[0], &actions, NULL, command, environ);
    if (rc)
        errx(1, "%s: %s", command[0], strerror(rc));
    (void)close(out[1]);
    if (read(out[0], &byte, 1) != 1)
        errx(1, "%s wrote nothing", command[0]);
    uint64_t first = now_ns();
    drain(out[0]);
    if (waitpid(pid, &status, 0) < 0)
        err(1, "waitpid");
    uint64_t end = now_ns();
    (void)close(out[0]);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)printf("%c %.1f %.1f %d\n", label, (double)(first - start) / 1000.0,
                 (double)(end - start) / 1000.0,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "usage: spawn_time RUNS A [ARG...] [-- B [ARG...]]");
    unsigned long runs = strtoul(argv[1], NULL, 10);
    if (runs == 0 || runs > RUNS_MAX)
        errx(2, "RUNS must be 1..%lu", RUNS_MAX);
    char **second = NULL;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            argv[i] = NULL;
            second = &argv[i + 1];
            break;
        }
    }
    for (unsigned long i = 0; i < runs; i++) {
        time_one('A', &argv[2]);
        if (second)
            time_one('B', second);
    }
    return 0;
}
