/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix stream sockets (vsock.md 1). Every descriptor is CLOEXEC and does not block: a listener
 * whose owner is stuck must not stop the event loop. Thread: vmm.
 */
#include "devices/backend/uds.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

static_assert(UDS_PATH_MAX_LEN == sizeof(((struct sockaddr_un *)0)->sun_path) - 1, "unix(7)");

#ifndef SO_PASSRIGHTS /* Debian 12's headers are older */
#define SO_PASSRIGHTS 83
#endif

struct address {
    struct sockaddr_un un;
    socklen_t len;
};

static int address_of(const char *path, struct address *ret_address)
{
    size_t len = strlen(path);
    if (len > UDS_PATH_MAX_LEN)
        return -ENAMETOOLONG;
    *ret_address = (struct address){.un.sun_family = AF_UNIX};
    memcpy(ret_address->un.sun_path, path, len);
    /* Without a path no byte of one is part of the address: else it would be an abstract name. */
    ret_address->len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (len > 0 ? len + 1 : 0));
    return 0;
}

/* Nobody may pass us descriptors: we would be the last to close them, and that may take as long as
 * their owner likes (SO_LINGER). Streams that are accepted inherit it. */
static int open_socket(void)
{
    const int off = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off,
                     sizeof(off)); /* Linux 6.16; else as ever */
    return fd;
}

int uds_listen(const char *path)
{
    struct address address;
    int rc = address_of(path, &address);
    if (rc < 0)
        return rc;
    FD_AUTO int fd = open_socket();
    if (fd < 0)
        return fd;
    if (bind(fd, (const struct sockaddr *)&address.un, address.len) < 0 ||
        listen(fd, SOMAXCONN) < 0)
        return -errno;
    return fd_steal(&fd);
}

int uds_accept(int listener_fd)
{
    int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int uds_connect(const char *path)
{
    struct address address;
    int rc = address_of(path, &address);
    if (rc < 0)
        return rc;
    FD_AUTO int fd = open_socket();
    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)&address.un, address.len) < 0)
        return -errno;
    return fd_steal(&fd);
}

ssize_t uds_read(int fd, const struct iovec *iov, uint32_t iov_count)
{
    ssize_t len;
    do {
        len = readv(fd, iov, (int)iov_count);
    } while (len < 0 && errno == EINTR);
    return len < 0 ? -errno : len;
}

ssize_t uds_peek(int fd, void *buf, size_t size)
{
    ssize_t len;
    do {
        len = recv(fd, buf, size, MSG_PEEK | MSG_DONTWAIT);
    } while (len < 0 && errno == EINTR);
    return len < 0 ? -errno : len;
}

ssize_t uds_write(int fd, const struct iovec *iov, uint32_t iov_count)
{
    ssize_t len;
    do {
        len = writev(fd, iov, (int)iov_count);
    } while (len < 0 && errno == EINTR);
    return len < 0 ? -errno : len;
}

void uds_end_writing(int fd)
{
    (void)shutdown(fd, SHUT_WR); /* fails only when the other side is gone: its end shows that */
}

bool uds_is_hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd};
    return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL);
}
