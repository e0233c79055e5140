/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load on a network, both ends of it: the server runs on the host, the client inside the guest. The
 * client asks for one kind of work by its first bytes on a TCP connection, does its part, and
 * prints one line of JSON: time by CLOCK_MONOTONIC, and of that stretch the device interrupts and
 * the packets of the interface. One thread; part of perf.
 *   up    writes of 64 KiB from the client to the server
 *   down  the same from the server to the client
 *   ping  one byte there and back
 *   udp   datagrams of 64 bytes to the client
 * Usage: netload serve PORT | netload ADDRESS PORT up|down|ping|udp COUNT.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/guest/load.h"

#define WRITE_SIZE 65536u
#define DATAGRAM_SIZE 64u
#define COUNT_MAX 10000000u
#define PORT_MAX 65535u

enum work { WORK_UP, WORK_DOWN, WORK_PING, WORK_UDP, WORKS_COUNT };

static const char *const work_names[WORKS_COUNT] = {
    [WORK_UP] = "up", [WORK_DOWN] = "down", [WORK_PING] = "ping", [WORK_UDP] = "udp"};

/* How much of each before the clock is read. */
static const uint32_t warm_up[WORKS_COUNT] = {
    [WORK_UP] = 32, [WORK_DOWN] = 32, [WORK_PING] = 32, [WORK_UDP] = 200};

/* Both ends are built from this file for one kind of machine. */
struct request {
    uint32_t work;
    uint32_t count;
    uint16_t udp_port; /* of the client, network byte order */
    uint16_t zero;
};

struct counts {
    uint64_t interrupts;
    uint64_t received; /* packets of the interface */
    uint64_t sent;
};

static uint8_t buffer[WRITE_SIZE];

/* Writes all, or ends the program. */
static void send_all(int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t sent = send(fd, (const uint8_t *)data + done, len - done, MSG_NOSIGNAL);
        if (sent <= 0)
            err(1, "send");
        done += (size_t)sent;
    }
}

/* Reads `len` bytes, which may be more than the buffer has. Returns whether they came. */
static bool receive(int fd, void *data, size_t size, uint64_t len)
{
    for (uint64_t done = 0; done < len;) {
        ssize_t got = recv(fd, data, len - done < size ? (size_t)(len - done) : size, 0);
        if (got <= 0)
            return false;
        done += (uint64_t)got;
    }
    return true;
}

static void must_receive(int fd, uint64_t len)
{
    if (!receive(fd, buffer, sizeof(buffer), len))
        errx(1, "the other end has gone");
}

static void no_delay(int fd)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        err(1, "TCP_NODELAY");
}

static void send_datagrams(int fd, const struct request *request)
{
    struct sockaddr_in to;
    socklen_t len = sizeof(to);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (udp < 0 || getpeername(fd, (struct sockaddr *)&to, &len) < 0)
        err(1, "the client's address");
    to.sin_port = request->udp_port;
    if (connect(udp, (struct sockaddr *)&to, len) < 0)
        err(1, "connect");
    for (uint32_t i = 0; i < request->count; i++)
        if (send(udp, buffer, DATAGRAM_SIZE, 0) < 0)
            err(1, "send");
    (void)close(udp);
}

/* The server's part; then one byte says that all of it is done. */
static void serve_one(int fd)
{
    struct request request;

    if (!receive(fd, &request, sizeof(request), sizeof(request)))
        return;
    no_delay(fd);
    switch ((enum work)request.work) {
    case WORK_UP:
        must_receive(fd, (uint64_t)request.count * WRITE_SIZE);
        break;
    case WORK_DOWN:
        for (uint32_t i = 0; i < request.count; i++)
            send_all(fd, buffer, WRITE_SIZE);
        break;
    case WORK_PING:
        for (uint32_t i = 0; i < request.count; i++) {
            must_receive(fd, 1);
            send_all(fd, buffer, 1);
        }
        break;
    case WORK_UDP:
        send_datagrams(fd, &request);
        break;
    case WORKS_COUNT:
        errx(1, "no such work");
    }
    send_all(fd, buffer, 1);
}

static int serve(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        listen(listener, 1) < 0)
        err(1, "port %u", port);
    (void)printf("listening\n");
    (void)fflush(stdout);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            err(1, "accept");
        serve_one(fd);
        (void)close(fd);
    }
}

/* One number of the interface's statistics; 0 when there is no such interface. */
static uint64_t statistic(const char *name)
{
    char path[128];
    char line[32] = "0";

    (void)snprintf(path, sizeof(path), "/sys/class/net/eth0/statistics/%s", name);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(line, sizeof(line), file))
        err(1, "%s", path);
    (void)fclose(file);
    return strtoull(line, NULL, 10);
}

static struct counts counts_now(void)
{
    return (struct counts){.interrupts = device_interrupts(),
                           .received = statistic("rx_packets"),
                           .sent = statistic("tx_packets")};
}

/* A socket that takes the datagrams; what there is no room for is dropped. */
static int udp_open(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        err(1, "socket for datagrams");
    *ret_port = at.sin_port;
    return fd;
}

/* The client's part, until the server says that all is done. Returns how long it took. */
static uint64_t run(const struct sockaddr_in *server, struct request *request)
{
    int udp = udp_open(&request->udp_port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)server, sizeof(*server)) < 0)
        err(1, "connect");
    no_delay(fd);
    uint64_t start_ns = now_ns();
    send_all(fd, request, sizeof(*request));
    switch ((enum work)request->work) {
    case WORK_UP:
        for (uint32_t i = 0; i < request->count; i++)
            send_all(fd, buffer, WRITE_SIZE);
        break;
    case WORK_DOWN:
        must_receive(fd, (uint64_t)request->count * WRITE_SIZE);
        break;
    case WORK_PING:
        for (uint32_t i = 0; i < request->count; i++) {
            send_all(fd, buffer, 1);
            must_receive(fd, 1);
        }
        break;
    case WORK_UDP:
    case WORKS_COUNT:
        break;
    }
    must_receive(fd, 1);
    uint64_t took_ns = now_ns() - start_ns;
    (void)close(fd);
    (void)close(udp);
    return took_ns;
}

static uint32_t work_of(const char *name)
{
    for (uint32_t work = 0; work < WORKS_COUNT; work++)
        if (strcmp(work_names[work], name) == 0)
            return work;
    errx(2, "'%s' is no work", name);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve((uint16_t)number(argv[2], PORT_MAX));
    if (argc != 5)
        errx(2, "usage: netload serve PORT | netload ADDRESS PORT up|down|ping|udp COUNT");

    struct sockaddr_in server = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)number(argv[2], PORT_MAX))};
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        errx(2, "'%s' is no address", argv[1]);
    struct request request = {.work = work_of(argv[3])};
    uint32_t count = number(argv[4], COUNT_MAX);

    request.count = warm_up[request.work];
    (void)run(&server, &request);
    request.count = count;
    struct counts before = counts_now();
    uint64_t took_ns = run(&server, &request);
    struct counts after = counts_now();
    (void)printf("{\"count\": %u, \"took_ns\": %ju, \"interrupts\": %ju, \"received\": %ju, "
                 "\"sent\": %ju}\n",
                 count, (uintmax_t)took_ns, (uintmax_t)(after.interrupts - before.interrupts),
                 (uintmax_t)(after.received - before.received),
                 (uintmax_t)(after.sent - before.sent));
    return 0;
}
