/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams over vsock and Unix sockets, for both ends of a test: static, so that any guest runs it.
 *
 *   vcat ADDRESS                     stdin to the stream, the stream to stdout, each to its end
 *   vcat ADDRESS echo                serves every stream at once: sends back what comes; for ever
 *   vcat ADDRESS many COUNT BYTES    so many streams open at a time; each sends bytes of its own,
 *                                    and expects them back
 *   vcat ADDRESS hold COUNT          opens so many streams and neither reads nor writes; for ever
 *   vcat ADDRESS rtt COUNT           one byte there and back, so many times: the median in ns
 *   vcat ADDRESS send BYTES          writes of 64 KiB; ends its half and waits for the other's end
 *   vcat ADDRESS drop                reads to the end
 *
 * ADDRESS: vsock:CID:PORT  vsock-listen:PORT  unix:PATH  unix-listen:PATH
 *          connect:PATH:PORT (a monitor's socket: says CONNECT, expects OK)
 * Single thread.
 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE 65536u
#define STREAMS_MAX 4096u

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "vcat: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint32_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || end == text || value > UINT32_MAX) {
        errno = EINVAL;
        die(text);
    }
    return (uint32_t)value;
}

/* Where streams come from. */
struct address {
    bool listens;
    bool connects; /* by a CONNECT line */
    uint32_t port;
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_vm vm;
        struct sockaddr_un un;
    } to;
};

static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static void set_unix(struct address *address, const char *path, size_t len)
{
    if (len >= sizeof(address->to.un.sun_path)) {
        errno = ENAMETOOLONG;
        die(path);
    }
    address->to.un.sun_family = AF_UNIX;
    memcpy(address->to.un.sun_path, path, len);
    address->len = sizeof(address->to.un);
}

static void set_vsock(struct address *address, uint32_t cid, uint32_t port)
{
    address->to.vm = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    address->len = sizeof(address->to.vm);
}

static struct address parse(char *text)
{
    struct address address = {0};
    const char *rest;
    if ((rest = after(text, "vsock-listen:"))) {
        address.listens = true;
        set_vsock(&address, VMADDR_CID_ANY, number(rest));
    } else if ((rest = after(text, "unix-listen:"))) {
        address.listens = true;
        set_unix(&address, rest, strlen(rest));
    } else if ((rest = after(text, "unix:"))) {
        set_unix(&address, rest, strlen(rest));
    } else {
        char *colon = strrchr(text, ':');
        if (!colon) {
            errno = EINVAL;
            die(text);
        }
        *colon = '\0';
        address.port = number(colon + 1);
        if ((rest = after(text, "vsock:"))) {
            set_vsock(&address, number(rest), address.port);
        } else if ((rest = after(text, "connect:"))) {
            address.connects = true;
            set_unix(&address, rest, strlen(rest));
        } else {
            errno = EINVAL;
            die(text);
        }
    }
    return address;
}

static void write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0)
            die("write");
        at += written;
        len -= (size_t)written;
    }
}

/* Says which port, and takes the answer: "OK <port>\n". */
static void ask(int fd, uint32_t port)
{
    char line[64];
    size_t len = 0;
    int asked = snprintf(line, sizeof(line), "CONNECT %u\n", port);
    write_all(fd, line, (size_t)asked);
    while (len == 0 || line[len - 1] != '\n') {
        if (len == sizeof(line) - 1 || read(fd, line + len, 1) != 1) {
            (void)fprintf(stderr, "vcat: refused\n");
            exit(3);
        }
        len++;
    }
    line[len] = '\0';
    if (!after(line, "OK ")) {
        (void)fprintf(stderr, "vcat: expected OK, got %s", line);
        exit(1);
    }
}

static int listener_of(const struct address *address)
{
    int fd = socket(address->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, &address->to.any, address->len) < 0 || listen(fd, 128) < 0)
        die("listen");
    return fd;
}

static int stream_of(const struct address *address)
{
    if (address->listens) {
        int fd = accept4(listener_of(address), NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            die("accept");
        return fd;
    }
    int fd = socket(address->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &address->to.any, address->len) < 0)
        die("connect");
    if (address->connects)
        ask(fd, address->port);
    return fd;
}

/* Moves what is there from one to the other. False: `from` has ended. */
static bool move(int from, int to)
{
    static char block[BLOCK_SIZE];
    ssize_t len = read(from, block, sizeof(block));
    if (len < 0)
        die("read");
    write_all(to, block, (size_t)len);
    return len > 0;
}

/* What stdin gave and the stream has not taken. */
struct kept {
    char bytes[BLOCK_SIZE];
    size_t off;
    size_t len;
};

/* The next block of stdin; at its end the other side reads to an end. False: that was it. */
static bool relay_refill(struct kept *kept, int fd)
{
    ssize_t len = read(STDIN_FILENO, kept->bytes, sizeof(kept->bytes));
    if (len < 0)
        die("read");
    kept->off = 0;
    kept->len = (size_t)len;
    if (len == 0)
        (void)shutdown(fd, SHUT_WR); /* fails when the other side has gone: that shows */
    return len > 0;
}

static void relay_send(struct kept *kept, int fd)
{
    ssize_t len = send(fd, kept->bytes + kept->off, kept->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (len < 0 && errno != EAGAIN)
        die("write");
    if (len > 0) {
        kept->off += (size_t)len;
        kept->len -= (size_t)len;
    }
}

/* Neither direction waits for the other: who sends back what comes would stop both. */
static void relay(int fd)
{
    static struct kept kept;
    bool more = true;    /* of stdin */
    bool reading = true; /* of the stream */
    while (more || kept.len > 0 || reading) {
        struct pollfd sides[2] = {
            {.fd = more && kept.len == 0 ? STDIN_FILENO : -1, .events = POLLIN},
            {.fd = reading || kept.len > 0 ? fd : -1,
             .events = (short)((reading ? POLLIN : 0) | (kept.len > 0 ? POLLOUT : 0))}};
        if (poll(sides, 2, -1) < 0)
            die("poll");
        if (sides[0].revents)
            more = relay_refill(&kept, fd);
        if (kept.len > 0 && sides[1].revents & (POLLOUT | POLLHUP | POLLERR))
            relay_send(&kept, fd);
        if (reading && sides[1].revents & (POLLIN | POLLHUP | POLLERR))
            reading = move(fd, STDOUT_FILENO);
    }
}

/* Sends back what comes, of every stream; one that is not read stops all. */
static void echo(const struct address *address)
{
    int listener = listener_of(address);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        die("epoll");
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) < 0)
            die("epoll_wait");
        if (event.data.fd == listener) {
            event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            event.events = EPOLLIN;
            if (event.data.fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
                die("accept");
        } else if (!move(event.data.fd, event.data.fd)) {
            (void)close(event.data.fd);
        }
    }
}

static void fill(unsigned char *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(seed * 31 + i * 7 + i / 253);
}

static void read_all(int fd, void *bytes, size_t len)
{
    char *at = bytes;
    while (len > 0) {
        ssize_t got = read(fd, at, len);
        if (got == 0)
            errno = EPIPE;
        if (got <= 0)
            die("read");
        at += got;
        len -= (size_t)got;
    }
}

static void many(const struct address *address, uint32_t count, uint32_t len)
{
    static unsigned char sent[BLOCK_SIZE];
    static unsigned char got[BLOCK_SIZE];
    static int fds[STREAMS_MAX];
    if (count > STREAMS_MAX || len > BLOCK_SIZE) {
        errno = EINVAL;
        die("many");
    }
    for (uint32_t i = 0; i < count; i++)
        fds[i] = stream_of(address);
    for (uint32_t i = 0; i < count; i++) {
        fill(sent, len, i);
        write_all(fds[i], sent, len);
    }
    for (uint32_t i = 0; i < count; i++) {
        fill(sent, len, i);
        read_all(fds[i], got, len);
        if (memcmp(sent, got, len) != 0) {
            (void)fprintf(stderr, "vcat: stream %u: other bytes came back\n", i);
            exit(1);
        }
    }
    (void)printf("%u streams at a time, %u bytes each: all came back\n", count, len);
}

static _Noreturn void hold(const struct address *address, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)stream_of(address); /* open for ever */
    (void)printf("%u streams are open\n", count);
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* of this clock it cannot fail */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void round_trips(int fd, uint32_t count)
{
    uint64_t *took_ns = calloc(count, sizeof(*took_ns));
    char byte = 1;
    if (!took_ns || count == 0)
        die("rtt");
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start_ns = now_ns();
        write_all(fd, &byte, 1);
        read_all(fd, &byte, 1);
        took_ns[i] = now_ns() - start_ns;
    }
    qsort(took_ns, count, sizeof(*took_ns), compare);
    (void)printf("%llu ns median of %u round trips\n", (unsigned long long)took_ns[count / 2],
                 count);
    free(took_ns);
}

static void send_bytes(int fd, uint64_t len)
{
    static unsigned char block[BLOCK_SIZE];
    uint64_t start_ns = now_ns();
    fill(block, sizeof(block), 1);
    for (uint64_t left = len; left > 0;) {
        size_t here = left < sizeof(block) ? (size_t)left : sizeof(block);
        write_all(fd, block, here);
        left -= here;
    }
    (void)shutdown(fd, SHUT_WR);
    if (read(fd, block, 1) != 0)
        die("end");
    (void)printf("%llu ns for %llu bytes\n", (unsigned long long)(now_ns() - start_ns),
                 (unsigned long long)len);
}

static void drop(int fd)
{
    static char block[BLOCK_SIZE];
    ssize_t len;
    while ((len = read(fd, block, sizeof(block))) > 0)
        ;
    if (len < 0)
        die("read");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "vcat: an address is missing (tests/lib/vcat.c)\n");
        return 2;
    }
    struct address address = parse(argv[1]);
    const char *what = argc > 2 ? argv[2] : "";
    (void)signal(SIGPIPE, SIG_IGN);
    if (strcmp(what, "echo") == 0)
        echo(&address);
    else if (strcmp(what, "many") == 0 && argc == 5)
        many(&address, number(argv[3]), number(argv[4]));
    else if (strcmp(what, "hold") == 0 && argc == 4)
        hold(&address, number(argv[3]));
    else if (strcmp(what, "rtt") == 0 && argc == 4)
        round_trips(stream_of(&address), number(argv[3]));
    else if (strcmp(what, "send") == 0 && argc == 4)
        send_bytes(stream_of(&address), number(argv[3]));
    else if (strcmp(what, "drop") == 0)
        drop(stream_of(&address));
    else if (argc == 2)
        relay(stream_of(&address));
    else
        return 2;
    return 0;
}
