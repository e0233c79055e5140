/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server's tests share: a server on a socket in a folder of its own, a thread that carries
 * actions out as the vmm thread does, clients, and a count of descriptors before and after. The
 * main thread is the client.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/server.h"
#include "base/fd.h"
#include "base/log.h"
#include "tests/unit/unit.h"

#define GET_VERSION "GET /version HTTP/1.1\r\n\r\n"
#define GET_INFO "GET / HTTP/1.1\r\n\r\n"
#define GET_MACHINE "GET /machine-config HTTP/1.1\r\n\r\n"
#define GET_VM "GET /vm/config HTTP/1.1\r\n\r\n"
#define PUT_BOOT                                                                                   \
    "PUT /boot-source HTTP/1.1\r\nContent-Length: 25\r\n\r\n{\"kernel_image_path\":\"k\"}"
#define STATUS_204 "HTTP/1.1 204 \r\n"
#define STATUS_200 "HTTP/1.1 200 \r\n"
#define STATUS_400 "HTTP/1.1 400 \r\n"

/* A document of about 1 MB: more than a socket takes. */
#define BIG_DRIVES 64u
#define BIG_PATH_LEN 16000u

struct world {
    char dir[32];
    char path[64];
    int fds_count;
    struct loop *loop;
    struct ctl_mailbox *mailbox;
    struct api_server *server;
    pthread_t vmm;
    bool vmm_runs;
    struct cfg_vm vm;
    atomic_uint served;
    atomic_bool gated;  /* serve says `entered` and waits for `go` */
    atomic_int refused; /* replies' code */
    sem_t entered;
    sem_t go;
};

static inline int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

static inline void serve(void *ctx, struct ctl_action *action, struct ctl_reply *ret_reply)
{
    struct world *world = ctx;

    if (world->gated) {
        (void)sem_post(&world->entered);
        (void)sem_wait(&world->go);
    }
    ctl_action_done(action);
    if (world->refused)
        ret_reply->code = err_set(&ret_reply->err, world->refused, "Refused: no\nway");
    ret_reply->vm = &world->vm;
    atomic_fetch_add(&world->served, 1);
}

static inline void *vmm_thread(void *arg)
{
    struct world *world = arg;
    struct err err = ERR_INIT;

    return loop_run(world->loop, &err) < 0 ? arg : NULL;
}

/* Everything but the server. */
static inline struct world *world_make_without_server(void)
{
    struct world *world = calloc(1, sizeof(*world));
    struct err err = ERR_INIT;

    assert_non_null(world);
    log_set(&(struct log_settings){.level = LOG_LEVEL_OFF});
    memcpy(world->dir, "/tmp/mayfly-api-XXXXXX", sizeof("/tmp/mayfly-api-XXXXXX"));
    assert_non_null(mkdtemp(world->dir));
    (void)snprintf(world->path, sizeof(world->path), "%s/s", world->dir);
    world->fds_count = count_fds();
    assert_int_equal(sem_init(&world->entered, 0, 0), 0);
    assert_int_equal(sem_init(&world->go, 0, 0), 0);
    cfg_vm_init(&world->vm);
    assert_int_equal(loop_create(clock_real(), &world->loop, &err), 0);
    assert_int_equal(ctl_mailbox_create(world->loop, serve, world, &world->mailbox, &err), 0);
    assert_int_equal(pthread_create(&world->vmm, NULL, vmm_thread, world), 0);
    world->vmm_runs = true;
    return world;
}

static inline struct api_server_options world_options(const struct world *world)
{
    return (struct api_server_options){
        .socket_path = world->path,
        .body_max_size = HTTP_BODY_DEFAULT_MAX_SIZE,
        .identity = {.id = "anonymous-instance", .version = "1.16.1"},
    };
}

static inline struct world *world_make(void)
{
    struct world *world = world_make_without_server();
    struct api_server_options options = world_options(world);
    struct err err = ERR_INIT;

    assert_int_equal(api_server_open(&options, &world->server, &err), 0);
    assert_int_equal(api_server_start(world->server, world->mailbox, &err), 0);
    return world;
}

/* Ends the vmm thread as the monitor does: out of the loop, then the mailbox is closed. */
static inline void world_stop_vmm(struct world *world)
{
    void *failed;

    if (!world->vmm_runs)
        return;
    loop_stop(world->loop);
    assert_int_equal(pthread_join(world->vmm, &failed), 0);
    assert_null(failed);
    ctl_mailbox_close(world->mailbox);
    world->vmm_runs = false;
}

/* The clients' sockets have to be closed before: nothing may be left. */
static inline void world_free(struct world *world)
{
    world_stop_vmm(world);
    api_server_free(world->server);
    ctl_mailbox_free(world->mailbox);
    loop_free(world->loop);
    cfg_vm_done(&world->vm);
    assert_int_equal(count_fds(), world->fds_count);
    (void)unlink(world->path);
    assert_int_equal(rmdir(world->dir), 0);
    (void)sem_destroy(&world->entered);
    (void)sem_destroy(&world->go);
    free(world);
}

/* Makes GET /vm/config large. */
static inline void world_fill(struct world *world)
{
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < BIG_DRIVES; i++) {
        struct cfg_drive drive = {.drive_id = NULL};
        char id[16];
        (void)snprintf(id, sizeof(id), "d%u", i);
        drive.drive_id = strdup(id);
        drive.path_on_host = malloc(BIG_PATH_LEN + 1);
        assert_non_null(drive.path_on_host);
        memset(drive.path_on_host, 'p', BIG_PATH_LEN);
        drive.path_on_host[BIG_PATH_LEN] = '\0';
        assert_int_equal(cfg_drives_put(&world->vm, &drive, &err), 0);
    }
}

static inline int client_connect(const struct world *world)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(addr.sun_path, world->path, strlen(world->path));
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static inline void client_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The same to a peer that may have closed already. */
static inline void client_try_send(int fd, const char *text)
{
    ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL);

    assert_true(sent == (ssize_t)strlen(text) || errno == EPIPE || errno == ECONNRESET);
}

/* Up to `len` bytes, within five seconds; 0: end of file, or reset. */
static inline size_t client_read(int fd, char *buf, size_t len)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&pollfd, 1, 5000), 1);
    ssize_t n = recv(fd, buf, len, 0);
    if (n < 0)
        assert_int_equal(errno, ECONNRESET);
    return n < 0 ? 0 : (size_t)n;
}

static inline bool client_has_news(int fd, int timeout_ms)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    return poll(&pollfd, 1, timeout_ms) > 0;
}

/* Reads up to the end of the head, then the body by its length. buf: NUL-terminated. Returns the
 * length of the whole reply; 0: end of file instead. */
static inline size_t client_reply(int fd, char *buf, size_t size)
{
    static const char length[] = "Content-Length: ";
    size_t len = 0;

    do {
        size_t n = client_read(fd, buf + len, 1);
        if (n == 0)
            return 0;
        len += n;
        assert_true(len < size - 1);
        buf[len] = '\0';
    } while (len < 4 || memcmp(buf + len - 4, "\r\n\r\n", 4) != 0);
    const char *at = strstr(buf, length);
    size_t body_len = at ? strtoul(at + strlen(length), NULL, 10) : 0;
    while (body_len > 0) {
        assert_true(len + body_len < size);
        size_t n = client_read(fd, buf + len, body_len);
        if (n == 0)
            return 0;
        len += n;
        body_len -= n;
    }
    buf[len] = '\0';
    return len;
}

/* The next reply begins with status and holds text. */
static inline void check_reply(int fd, const char *status, const char *text)
{
    char buf[4096];

    assert_true(client_reply(fd, buf, sizeof(buf)) > 0);
    assert_memory_equal(buf, status, strlen(status));
    assert_non_null(strstr(buf, text));
}

static inline void check_exchange(int fd, const char *request, const char *status, const char *text)
{
    client_send(fd, request);
    check_reply(fd, status, text);
}

static inline void check_closed(int fd)
{
    char byte;

    assert_int_equal(client_read(fd, &byte, 1), 0);
}

/* Reads and drops one large reply; returns its length. */
static inline size_t drain_big_reply(int fd)
{
    size_t size = 2u << 20;
    char *buf = malloc(size);

    assert_non_null(buf);
    size_t len = client_reply(fd, buf, size);
    assert_memory_equal(buf, STATUS_200, strlen(STATUS_200));
    free(buf);
    return len;
}
