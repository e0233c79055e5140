/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that asks an API at a steady rate: api_load SOCKET CONNECTIONS RATE. It waits for a byte
 * on its standard input, connects CONNECTIONS times and sends RATE "GET /" a second in total, at
 * even distances and on each connection in turn, until SIGTERM. Each reply is waited for and must
 * be a 200. Prints one line of JSON: the replies, the time from the first tick to the last reply,
 * its own processor time, and how many requests went out after the next one was due. One thread;
 * part of perf, not of the product.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64u
#define RATE_MAX 100000u
#define NS_PER_S 1000000000ull

struct load {
    int fds[CONNECTIONS_MAX];
    unsigned connection_count;
    uint64_t step_ns;
    uint64_t replies;
    uint64_t late;
    uint64_t took_ns;
};

static volatile sig_atomic_t ended;

static void end(int sig)
{
    (void)sig;
    ended = 1;
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int dial(const char *socket_path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || len >= sizeof(addr.sun_path))
        err(1, "%s", socket_path);
    memcpy(addr.sun_path, socket_path, len);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        err(1, "%s", socket_path);
    return fd;
}

static bool is_whole(const char *text, size_t len)
{
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");

    if (!body || !length || length > body)
        return false;
    return len >= (size_t)(body + 4 - text) + strtoul(length + 16, NULL, 10);
}

static void ask(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const char good[] = "HTTP/1.1 200 ";
    char text[4096];
    size_t len = 0;

    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
        err(1, "send");
    do {
        ssize_t got = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            err(1, "no whole reply");
        len += (size_t)got;
        text[len] = '\0';
    } while (!is_whole(text, len));
    if (strncmp(text, good, sizeof(good) - 1) != 0)
        errx(1, "refused: %s", text);
}

/* False when a signal came first. */
static bool sleep_until(uint64_t at_ns)
{
    const struct timespec at = {.tv_sec = (time_t)(at_ns / NS_PER_S),
                                .tv_nsec = (long)(at_ns % NS_PER_S)};
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0;
}

static void run(struct load *load)
{
    uint64_t start_ns = now_ns(CLOCK_MONOTONIC) + load->step_ns;
    uint64_t last_ns = start_ns;

    for (uint64_t i = 0; !ended && sleep_until(start_ns + i * load->step_ns); i++) {
        if (now_ns(CLOCK_MONOTONIC) > start_ns + (i + 1) * load->step_ns)
            load->late++;
        ask(load->fds[i % load->connection_count]);
        load->replies++;
        last_ns = now_ns(CLOCK_MONOTONIC);
    }
    load->took_ns = last_ns - start_ns;
}

static unsigned number(const char *text, unsigned max)
{
    char *rest;
    unsigned long value = strtoul(text, &rest, 10);

    if (*rest || rest == text || value == 0 || value > max)
        errx(2, "'%s' is not a number from 1 to %u", text, max);
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    const struct sigaction on_term = {.sa_handler = end};
    struct load load = {0};
    char go;

    if (argc != 4)
        errx(2, "usage: api_load SOCKET CONNECTIONS RATE");
    load.connection_count = number(argv[2], CONNECTIONS_MAX);
    load.step_ns = NS_PER_S / number(argv[3], RATE_MAX);
    if (sigaction(SIGTERM, &on_term, NULL) < 0)
        err(1, "sigaction");
    if (read(STDIN_FILENO, &go, 1) != 1)
        errx(1, "no byte on standard input");
    for (unsigned i = 0; i < load.connection_count; i++)
        load.fds[i] = dial(argv[1]);
    run(&load);
    (void)printf("{\"replies\": %ju, \"took_ns\": %ju, \"own_ns\": %ju, \"late\": %ju}\n",
                 (uintmax_t)load.replies, (uintmax_t)load.took_ns,
                 (uintmax_t)now_ns(CLOCK_PROCESS_CPUTIME_ID), (uintmax_t)load.late);
    return 0;
}
