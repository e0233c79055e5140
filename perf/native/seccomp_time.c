/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times the installation of the built-in seccomp filters, thread by thread, beside filters of as
 * many instructions: some that let pass at once, some that tell the numbers apart by halves. Each
 * in a child of its own, in turn. Usage: seccomp_time RUNS. Prints "insns FILTER COUNT" a filter,
 * then "ours|floor|halves THREAD ns" a run. Part of perf, not of the product.
 */
#include <err.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "jailer/seccomp/sec.h"

#define RUNS_MAX 10000ul
#define NUMBERS 512u /* of system calls, and some to spare */

static uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Halves the numbers from `low` up with `count` instructions, as a table of calls has to. */
static void halve(struct sock_filter *insns, uint32_t count, uint32_t low, uint32_t width)
{
    const struct sock_filter pass = {.code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW};
    while (count > 2) {
        uint32_t lower = (count - 1) / 2;
        width /= 2;
        *insns = (struct sock_filter){
            .code = BPF_JMP | BPF_JGE | BPF_K, .k = low + width, .jt = (uint8_t)lower};
        halve(insns + 1, lower, low, width);
        insns += 1 + lower;
        count -= 1 + lower;
        low += width;
    }
    for (uint32_t i = 0; i < count; i++)
        insns[i] = pass;
}

/* As long as `program`, and lets all pass: at its second instruction, or told apart by halves. The
 * kernel tries each call's number on a filter when it is installed, so that the way counts. */
static struct sec_program empty_of(const struct sec_program *program, bool at_once)
{
    struct sock_filter *insns = calloc(program->count, sizeof(*insns));
    if (!insns)
        err(1, "calloc");
    insns[0] = (struct sock_filter){.code = BPF_LD | BPF_W | BPF_ABS}; /* the number */
    halve(insns + 1, program->count - 1, 0, NUMBERS);
    if (at_once)
        insns[0] = (struct sock_filter){.code = BPF_JMP | BPF_JA, .k = program->count - 2};
    return (struct sec_program){insns, program->count};
}

static void time_one(const struct sec_set *set, enum sec_filter which, const char *label)
{
    struct err why = ERR_INIT;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        err(1, "prctl");
    uint64_t start = now_ns();
    if (sec_install(set, SEC_FILTER_START, &why) < 0 || sec_install(set, which, &why) < 0)
        errx(1, "%s", why.msg);
    uint64_t took = now_ns() - start;
    char line[64];
    int len = snprintf(line, sizeof(line), "%s %s %llu\n", label, sec_filter_name(which),
                       (unsigned long long)took);
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        _exit(1);
    _exit(0);
}

static void run_child(const struct sec_set *set, enum sec_filter which, const char *label)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (pid == 0)
        time_one(set, which, label);
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        errx(1, "a child failed");
}

int main(int argc, char **argv)
{
    unsigned long runs = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (runs == 0 || runs > RUNS_MAX)
        errx(2, "usage: seccomp_time RUNS");
    struct sec_set ours = sec_set_builtin();
    struct sec_set floor = {0};
    struct sec_set halves = {0};
    for (int i = 0; i < SEC_FILTERS_COUNT; i++) {
        floor.programs[i] = empty_of(&ours.programs[i], true);
        halves.programs[i] = empty_of(&ours.programs[i], false);
        printf("insns %s %u\n", sec_filter_name((enum sec_filter)i), ours.programs[i].count);
    }
    (void)fflush(stdout);
    for (unsigned long run = 0; run < runs; run++)
        for (int i = SEC_FILTER_VMM; i < SEC_FILTERS_COUNT; i++) {
            run_child(&ours, (enum sec_filter)i, "ours");
            run_child(&floor, (enum sec_filter)i, "floor");
            run_child(&halves, (enum sec_filter)i, "halves");
        }
    return 0;
}
