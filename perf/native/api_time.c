/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times servers on Unix sockets as their clients see them, in turn (A B A B ...), so that a
 * drifting machine is fair to all. The client stays on one CPU; a server that is started anew runs
 * on any, one that is kept on the client's: else the scheduler's choice, to wake it there or on a
 * CPU that sleeps, is ten times what is measured.
 *   api_time talk RUNS FILE SOCKET SERVER [ARG...] [-- SOCKET SERVER [ARG...]]...
 *     starts each anew each time and sends FILE's requests (NUL behind each) on one connection:
 *     "A connected_us reply_us reply_us ..." since just before execve
 *   api_time kept|fresh RUNS FILE SOCKET SERVER [ARG...] [-- ...]
 *     starts each once and sends FILE's first request RUNS times on one connection, or on one for
 *     each: "A took_us"
 * A socket called *.qmp is QEMU's: it is greeted first, and asked query-status (kept only). One
 * thread; part of perf, not of the product.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 100000ul
#define SERVERS_MAX 3
#define REQUESTS_MAX 16
#define START_LIMIT_NS 5000000000ull

struct server {
    const char *socket;
    char **command;
    bool is_qmp;
    cpu_set_t cpus;
    pid_t pid;
    int fd;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Stays on the first CPU. Returns those that a server may run on. */
static cpu_set_t take_cpu(bool for_server_too)
{
    cpu_set_t all;
    cpu_set_t first;

    if (sched_getaffinity(0, sizeof(all), &all) < 0)
        err(1, "sched_getaffinity");
    CPU_ZERO(&first);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&first) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &first);
    }
    if (sched_setaffinity(0, sizeof(first), &first) < 0)
        err(1, "sched_setaffinity");
    return for_server_too ? first : all;
}

/* What a server says goes nowhere. Returns the time just before its execve: the child's memory is
 * ours until then. The time at which vfork returns would tell when we were scheduled again. */
static uint64_t start(struct server *server)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0)
        err(1, "/dev/null");
    if (unlink(server->socket) < 0 && errno != ENOENT)
        err(1, "%s", server->socket);
    volatile uint64_t start_ns = 0;
    server->pid = vfork(); /* comes back when the child has exec'd */
    if (server->pid < 0)
        err(1, "vfork");
    if (server->pid == 0) {
        (void)sched_setaffinity(0, sizeof(server->cpus), &server->cpus);
        (void)dup2(nowhere, STDOUT_FILENO);
        start_ns = now_ns();
        (void)execv(server->command[0], server->command);
        _exit(127);
    }
    (void)close(nowhere);
    return start_ns;
}

static void stop(const struct server *server)
{
    (void)kill(server->pid, SIGKILL);
    if (waitpid(server->pid, NULL, 0) < 0)
        err(1, "waitpid");
}

/* Polls without a pause: what is waited for takes less than one. */
static int dial(const struct server *server)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    uint64_t until_ns = now_ns() + START_LIMIT_NS;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(server->socket) >= sizeof(addr.sun_path))
        err(1, "%s", server->socket);
    memcpy(addr.sun_path, server->socket, strlen(server->socket));
    while (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        if ((errno != ENOENT && errno != ECONNREFUSED) || now_ns() > until_ns)
            err(1, "%s", server->socket);
    }
    return fd;
}

static bool is_whole(const char *text, size_t len)
{
    if (strncmp(text, "HTTP/", 5) != 0)
        return len > 0 && text[len - 1] == '\n';
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    if (!body)
        return false;
    size_t body_len = length && length < body ? strtoul(length + 16, NULL, 10) : 0;
    return len >= (size_t)(body + 4 - text) + body_len;
}

static void receive(int fd)
{
    static char text[65536];
    size_t len = 0;

    do {
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (n <= 0)
            err(1, "a server closed the connection");
        len += (size_t)n;
        text[len] = '\0';
    } while (!is_whole(text, len));
    if (strncmp(text, "HTTP/", 5) == 0 && text[9] != '2')
        errx(1, "a server refused: %s", text);
}

static void ask(int fd, const char *request)
{
    size_t len = strlen(request);
    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        err(1, "send");
    receive(fd);
}

static double us_since(uint64_t start_ns)
{
    return (double)(now_ns() - start_ns) / 1000.0;
}

static void talk(struct server *server, char label, char *const *requests, size_t count)
{
    double replied_us[REQUESTS_MAX];

    uint64_t start_ns = start(server);
    int fd = dial(server);
    double connected_us = us_since(start_ns);
    for (size_t i = 0; i < count; i++) {
        ask(fd, requests[i]);
        replied_us[i] = us_since(start_ns);
    }
    (void)close(fd);
    stop(server);
    (void)printf("%c %.1f", label, connected_us);
    for (size_t i = 0; i < count; i++)
        (void)printf(" %.1f", replied_us[i]);
    (void)printf("\n");
}

/* Opens the connection that is kept. */
static void greet(struct server *server)
{
    server->fd = dial(server);
    if (!server->is_qmp)
        return;
    receive(server->fd);
    ask(server->fd, "{\"execute\":\"qmp_capabilities\"}\n");
}

static void time_one(struct server *server, char label, const char *request, bool fresh)
{
    uint64_t start_ns = now_ns();
    int fd = fresh ? dial(server) : server->fd;

    ask(fd, server->is_qmp ? "{\"execute\":\"query-status\"}\n" : request);
    if (fresh)
        (void)close(fd);
    (void)printf("%c %.2f\n", label, us_since(start_ns));
}

static size_t read_requests(const char *path, char *ret_requests[static REQUESTS_MAX])
{
    static char text[65536];
    size_t count = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (len < 0)
        err(1, "%s", path);
    for (char *at = text; at < text + len && count < REQUESTS_MAX; at += strlen(at) + 1)
        ret_requests[count++] = at;
    (void)close(fd);
    return count;
}

static size_t read_servers(char **argv, struct server ret_servers[static SERVERS_MAX])
{
    size_t count = 0;

    while (argv[0] && argv[1] && count < SERVERS_MAX) {
        size_t len = strlen(argv[0]);
        ret_servers[count++] =
            (struct server){.socket = argv[0],
                            .command = &argv[1],
                            .is_qmp = len > 4 && strcmp(argv[0] + len - 4, ".qmp") == 0,
                            .fd = -1};
        while (*argv && strcmp(*argv, "--") != 0)
            argv++;
        if (*argv)
            *argv++ = NULL;
    }
    return count;
}

int main(int argc, char **argv)
{
    struct server servers[SERVERS_MAX];
    char *requests[REQUESTS_MAX];

    if (argc < 6)
        errx(2, "usage: api_time talk|kept|fresh RUNS FILE SOCKET SERVER [ARG...] [-- ...]");
    unsigned long runs = strtoul(argv[2], NULL, 10);
    if (runs == 0 || runs > RUNS_MAX)
        errx(2, "RUNS must be 1..%lu", RUNS_MAX);
    size_t requests_count = read_requests(argv[3], requests);
    size_t servers_count = read_servers(argv + 4, servers);
    bool talks = strcmp(argv[1], "talk") == 0;
    bool fresh = strcmp(argv[1], "fresh") == 0;
    cpu_set_t cpus = take_cpu(!talks);
    for (size_t i = 0; i < servers_count; i++)
        servers[i].cpus = cpus;
    for (size_t i = 0; i < servers_count && !talks; i++) {
        (void)start(&servers[i]);
        greet(&servers[i]);
        if (fresh)
            (void)close(servers[i].fd);
    }
    for (unsigned long run = 0; run < runs; run++) {
        for (size_t i = 0; i < servers_count; i++) {
            if (talks)
                talk(&servers[i], (char)('A' + i), requests, requests_count);
            else
                time_one(&servers[i], (char)('A' + i), requests[0], fresh);
        }
    }
    for (size_t i = 0; i < servers_count && !talks; i++)
        stop(&servers[i]);
    return 0;
}
