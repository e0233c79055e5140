/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load on a network or a vsock, both ends of it: the server runs on the host, the client inside the
 * guest. The client asks for one kind of work by its first bytes on a stream, does its part, and
 * prints one line of JSON: time by CLOCK_MONOTONIC, and of that stretch the device interrupts and
 * the packets of the interface. One thread; part of perf.
 *   up       writes of 64 KiB from the client to the server
 *   down     the same from the server to the client
 *   ping     one byte there and back
 *   connect  a new stream and one byte there and back on it; it stays open, and so does the program
 *   stream   the same, but the client closes it, then the server
 *   udp      datagrams of 64 bytes to the client; over IPv4 only
 * Usage: netload serve ADDRESS PORT | netload ADDRESS PORT WORK COUNT. An ADDRESS is IPv4's,
 * vsock:CID (vsock:any), or unix:PATH, of which PATH_PORT is the socket.
 */
#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "perf/guest/load.h"

#define WRITE_SIZE 65536u
#define DATAGRAM_SIZE 64u
#define COUNT_MAX 10000000u
#define PORT_MAX 65535u
/* Streams at a time, with the one that asks: a process may have 1,024 descriptors. */
#define STREAMS_MAX 1000u

enum work {
    WORK_UP,
    WORK_DOWN,
    WORK_PING,
    WORK_CONNECT,
    WORK_STREAM,
    WORK_UDP,
    WORKS_COUNT,
};

/* What a work is called, and how much of it there is before the clock is read. */
static const struct {
    const char *name;
    uint32_t warm_up;
} works[WORKS_COUNT] = {
    [WORK_UP] = {"up", 32},          [WORK_DOWN] = {"down", 32},     [WORK_PING] = {"ping", 32},
    [WORK_CONNECT] = {"connect", 8}, [WORK_STREAM] = {"stream", 32}, [WORK_UDP] = {"udp", 200},
};

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_vm vm;
        struct sockaddr_un un;
    } at;
    socklen_t len;
};

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

/* Streams that stay open. */
static int kept[STREAMS_MAX];
static uint32_t kept_count;

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

static void no_delay(int fd, const struct address *address)
{
    int on = 1;
    if (address->at.any.sa_family == AF_INET &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        err(1, "TCP_NODELAY");
}

static void keep(int fd)
{
    if (kept_count == STREAMS_MAX)
        errx(1, "more than %u streams", STREAMS_MAX);
    kept[kept_count++] = fd;
}

static void close_kept(void)
{
    while (kept_count > 0)
        (void)close(kept[--kept_count]);
}

static int accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        err(1, "accept");
    return fd;
}

static int connect_to(const struct address *server)
{
    int fd = socket(server->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, &server->at.any, server->len) < 0)
        err(1, "connect");
    no_delay(fd, server);
    return fd;
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

/* The server's end of one new stream. */
static void serve_stream(int listener, const struct address *address, bool stays)
{
    int fd = accept_one(listener);
    uint8_t byte;

    no_delay(fd, address);
    must_receive(fd, 1);
    send_all(fd, buffer, 1);
    if (stays) {
        keep(fd);
        return;
    }
    (void)receive(fd, &byte, 1, 1);
    (void)close(fd);
}

/* The server's part; then one byte says that all of it is done. */
static void serve_one(int fd, int listener, const struct address *address)
{
    struct request request;
    uint8_t byte;

    if (!receive(fd, &request, sizeof(request), sizeof(request)))
        return;
    no_delay(fd, address);
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
    case WORK_CONNECT:
    case WORK_STREAM:
        for (uint32_t i = 0; i < request.count; i++)
            serve_stream(listener, address, request.work == WORK_CONNECT);
        break;
    case WORK_UDP:
        send_datagrams(fd, &request);
        break;
    case WORKS_COUNT:
        errx(1, "no such work");
    }
    send_all(fd, buffer, 1);
    if (kept_count > 0)
        (void)receive(fd, &byte, 1, 1);
    close_kept();
}

static int serve(const struct address *address)
{
    int listener = socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, &address->at.any, address->len) < 0 ||
        listen(listener, 1) < 0)
        err(1, "listen");
    (void)printf("listening\n");
    (void)fflush(stdout);
    for (;;) {
        int fd = accept_one(listener);
        serve_one(fd, listener, address);
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

static void there_and_back(int fd)
{
    send_all(fd, buffer, 1);
    must_receive(fd, 1);
}

static void use_stream(const struct address *server, bool stays)
{
    int fd = connect_to(server);

    there_and_back(fd);
    if (stays)
        keep(fd);
    else
        (void)close(fd);
}

/* The client's part, until the server says that all is done. Returns how long it took. */
static uint64_t run(const struct address *server, struct request *request)
{
    int udp = request->work == WORK_UDP ? udp_open(&request->udp_port) : -1;
    int fd = connect_to(server);
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
        for (uint32_t i = 0; i < request->count; i++)
            there_and_back(fd);
        break;
    case WORK_CONNECT:
    case WORK_STREAM:
        for (uint32_t i = 0; i < request->count; i++)
            use_stream(server, request->work == WORK_CONNECT);
        break;
    case WORK_UDP:
    case WORKS_COUNT:
        break;
    }
    must_receive(fd, 1);
    uint64_t took_ns = now_ns() - start_ns;
    if (kept_count > 0)
        keep(fd);
    else
        (void)close(fd);
    if (udp >= 0)
        (void)close(udp);
    return took_ns;
}

static uint32_t work_of(const char *name)
{
    for (uint32_t work = 0; work < WORKS_COUNT; work++)
        if (strcmp(works[work].name, name) == 0)
            return work;
    errx(2, "'%s' is no work", name);
}

static struct address address_of(const char *text, const char *port_text)
{
    unsigned port = number(port_text, PORT_MAX);
    struct address address = {0};

    if (strncmp(text, "vsock:", 6) == 0) {
        bool any = strcmp(text + 6, "any") == 0;
        address.at.vm = (struct sockaddr_vm){.svm_family = AF_VSOCK,
                                             .svm_port = port,
                                             .svm_cid = any ? VMADDR_CID_ANY
                                                            : number(text + 6, UINT32_MAX - 1)};
        address.len = sizeof(address.at.vm);
        return address;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        char *path = address.at.un.sun_path;
        size_t size = sizeof(address.at.un.sun_path);
        address.at.un.sun_family = AF_UNIX;
        if ((size_t)snprintf(path, size, "%s_%u", text + 5, port) >= size)
            errx(2, "'%s' is too long", text);
        address.len = sizeof(address.at.un);
        return address;
    }
    address.at.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.len = sizeof(address.at.in);
    if (inet_pton(AF_INET, text, &address.at.in.sin_addr) != 1)
        errx(2, "'%s' is no address", text);
    return address;
}

int main(int argc, char **argv)
{
    if (argc != (argc > 1 && strcmp(argv[1], "serve") == 0 ? 4 : 5))
        errx(2, "usage: netload serve ADDRESS PORT | netload ADDRESS PORT WORK COUNT");

    const struct address address = address_of(argv[argc == 4 ? 2 : 1], argv[argc == 4 ? 3 : 2]);
    if (argc == 4)
        return serve(&address);
    struct request request = {.work = work_of(argv[3])};
    uint32_t count = number(argv[4], COUNT_MAX);
    if (request.work == WORK_UDP && address.at.any.sa_family != AF_INET)
        errx(2, "datagrams go over IPv4 only");

    request.count = works[request.work].warm_up;
    (void)run(&address, &request);
    close_kept();
    request.count = count;
    struct counts before = counts_now();
    uint64_t took_ns = run(&address, &request);
    struct counts after = counts_now();
    (void)printf("{\"count\": %u, \"took_ns\": %ju, \"interrupts\": %ju, \"received\": %ju, "
                 "\"sent\": %ju}\n",
                 count, (uintmax_t)took_ns, (uintmax_t)(after.interrupts - before.interrupts),
                 (uintmax_t)(after.received - before.received),
                 (uintmax_t)(after.sent - before.sent));
    (void)fflush(stdout);
    if (kept_count > 0) /* closing them would be counted, too */
        (void)pause();
    return 0;
}
