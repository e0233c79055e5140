/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the API's socket comes from: whoever started us, or a path. The file at the path is made
 * under the process's umask, never removed, before or after. Thread: vmm; no state. Spec: api.md
 * 1.1; cli.md C.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/server_int.h"
#include "base/fd.h"

/* The first fd that is handed over (sd_listen_fds(3)). */
#define LISTEN_FIRST_FD 3
/* As many as a jailer hands over (jailer/fds.c), and more. */
#define LISTEN_FDS_MAX 64

/* Bytes of a path without its NUL: 107. */
#define LISTEN_PATH_MAX_LEN (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

#define LISTEN_FAILED "Failed to bind and run the HTTP server: "

/* A positive number of the environment, or 0. */
static long env_number(const char *name)
{
    const char *text = getenv(name);
    char *end;

    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    long number = strtol(text, &end, 10);
    return errno || *end ? 0 : number;
}

/* The first socket of `count` inherited descriptors: TAPs may be among them. FD_NONE: none is
 * one. */
static int find_inherited(long count)
{
    for (int fd = LISTEN_FIRST_FD; fd < LISTEN_FIRST_FD + count; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || S_ISSOCK(st.st_mode))
            return fd;
    }
    return FD_NONE;
}

static int take_inherited(int fd, struct err *err)
{
    if (!fd_is_unix_listener(fd))
        return err_set(err, -EINVAL,
                       LISTEN_FAILED "the inherited fd %d is not a listening Unix stream socket",
                       fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return err_set(err, -errno, LISTEN_FAILED "%s", ERR_OS(errno));

    struct sockaddr_un addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return err_set(err, -errno, LISTEN_FAILED "%s", ERR_OS(errno));
    api_trace_listening("API", addr.sun_path, strnlen(addr.sun_path, sizeof(addr.sun_path)));
    return fd;
}

static int bind_path(const char *kind, const char *path, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len == 0) /* the kernel would choose a name of its own */
        return err_set(err, -EINVAL, LISTEN_FAILED "the path of the socket is empty");
    if (len > LISTEN_PATH_MAX_LEN)
        return err_set(err, -ENAMETOOLONG,
                       LISTEN_FAILED "the path of a socket has at most %zu bytes, this one %zu: %s",
                       LISTEN_PATH_MAX_LEN, len, path);
    memcpy(addr.sun_path, path, len);

    FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(err, -errno, LISTEN_FAILED "%s", ERR_OS(errno));
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        if (errno == EADDRINUSE)
            return err_set(err, -errno,
                           "Failed to open the %s socket at: %s. Check that it is not already "
                           "used.",
                           kind, path);
        return err_set(err, -errno, LISTEN_FAILED "%s: %s", path, ERR_OS(errno));
    }
    if (listen(fd, SOMAXCONN) < 0)
        return err_set(err, -errno, LISTEN_FAILED "%s", ERR_OS(errno));
    api_trace_listening(kind, path, len);
    return fd_steal(&fd);
}

int api_listen_open(const struct api_server_options *options, struct err *err)
{
    if (options->scrapes)
        return bind_path("metrics", options->socket_path, err);
    long count = env_number("LISTEN_PID") == getpid() ? env_number("LISTEN_FDS") : 0;
    int fd = find_inherited(count < LISTEN_FDS_MAX ? count : LISTEN_FDS_MAX);
    if (fd >= 0)
        return take_inherited(fd, err);
    return bind_path("API", options->socket_path, err);
}
