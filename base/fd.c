/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: closing, whole reads and writes, eventfds, whole files, table size.
 * Any thread; no state.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ck.h"

/* First buffer for a file that does not tell its size (pipes, /proc). */
#define FD_READ_START_SIZE 4096u

void fd_close(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    /* The fd is gone whatever close says; what it carried was written with checked writes. */
    (void)close(*fd);
    *fd = FD_NONE;
    errno = saved;
}

ssize_t fd_read_full(int fd, void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, (char *)buf + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t fd_pread_full(int fd, void *buf, size_t len, uint64_t off)
{
    uint64_t end;
    if (!ck_add(off, (uint64_t)len, &end) || end > INT64_MAX)
        return -EOVERFLOW;

    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)buf + done, len - done, (int64_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fd_write_full(int fd, const void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, (const char *)buf + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        done += (size_t)n;
    }
    return 0;
}

/* The lowest free fd from `entries` - 1 on, made and closed, so that no open fd is replaced. */
static int table_grow(uint64_t entries)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, (int)(entries - 1));
    if (fd < 0 && errno == EMFILE)
        return 0; /* the last entry is in use: the table has its full size */
    if (fd < 0)
        return -errno;
    fd_close(&fd);
    return 0;
}

int fd_pwrite_full(int fd, const void *buf, size_t len, uint64_t off)
{
    const uint8_t *from = buf;
    while (len > 0) {
        ssize_t done = pwrite(fd, from, len, (off_t)off);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        from += done;
        off += (uint64_t)done;
        len -= (size_t)done;
    }
    return 0;
}

int fd_stat(int fd, struct stat *ret_stat)
{
    return syscall(SYS_fstat, fd, ret_stat) < 0 ? -errno : 0; /* x86-64: the kernel's struct */
}

bool fd_is_same_file(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

bool fd_is_file_at(const struct stat *file, const char *path)
{
    struct stat other;
    return path && stat(path, &other) == 0 && fd_is_same_file(file, &other);
}

static bool has_socket_option(int fd, int option, int wanted)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

bool fd_is_unix_listener(int fd)
{
    return has_socket_option(fd, SO_DOMAIN, AF_UNIX) &&
           has_socket_option(fd, SO_TYPE, SOCK_STREAM) && has_socket_option(fd, SO_ACCEPTCONN, 1);
}

int fd_fill_standard(void)
{
    struct pollfd standard[] = {{.fd = 0}, {.fd = 1}, {.fd = 2}};
    if (poll(standard, ARRAY_LEN(standard), 0) < 0)
        return -errno;
    /* Ascending: open takes the lowest free number. Not O_CLOEXEC: what a jailer becomes has no
     * /dev/null of its own. */
    for (size_t i = 0; i < ARRAY_LEN(standard); i++) {
        if ((standard[i].revents & POLLNVAL) && open("/dev/null", O_RDWR) < 0)
            return -errno;
    }
    return 0;
}

int fd_fail_stdout(int rc, struct err *err)
{
    return err_set(err, rc,
                   "Cannot write to standard output: %s (%s): what was asked for is not printed "
                   "whole. See where standard output goes, and run it again.",
                   ERR_OS(rc), err_name(rc));
}

int fd_flush_stdout(struct err *err)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return fd_fail_stdout(errno ? -errno : -EIO, err); /* an earlier one's reason is forgotten */
}

int fd_presize_table(void)
{
    int rc = table_grow(FD_TABLE_ENTRIES);
    if (rc != -EINVAL)
        return rc;
    /* The soft limit is below that: as much of it as the hard one allows. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    limit.rlim_cur = limit.rlim_max < FD_TABLE_ENTRIES ? limit.rlim_max : FD_TABLE_ENTRIES;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    return limit.rlim_cur == 0 ? -EMFILE : table_grow(limit.rlim_cur);
}

int fd_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int fd_event_raise(int fd)
{
    const uint64_t one = 1;

    for (;;) {
        ssize_t n = write(fd, &one, sizeof(one));
        if (n == (ssize_t)sizeof(one))
            return 0;
        if (n >= 0)
            return -EIO;
        if (errno == EAGAIN)
            return 0; /* full: whoever waits is awake already */
        if (errno != EINTR)
            return -errno;
    }
}

int fd_event_take(int fd)
{
    uint64_t count;

    for (;;) {
        ssize_t n = read(fd, &count, sizeof(count));
        if (n == (ssize_t)sizeof(count))
            return 1;
        if (n >= 0)
            return -EIO;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static ssize_t read_once(int fd, void *buf, size_t len)
{
    ssize_t n;
    do {
        n = read(fd, buf, len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Reads to the end of file into a growing buffer of at most max_size + 1 bytes; hint: bytes
 * expected. */
static int read_all(int fd, size_t hint, size_t max_size, char **ret_buf, size_t *ret_len)
{
    size_t size = hint < FD_READ_START_SIZE ? FD_READ_START_SIZE : hint + 1;
    char *buf = NULL;
    size_t len = 0;

    for (;;) {
        /* One byte beyond the limit tells a file of just that size from a larger one. */
        if (size > max_size + 1)
            size = max_size + 1;
        char *grown = realloc(buf, size + 1);
        if (!grown) {
            free(buf);
            return -ENOMEM;
        }
        buf = grown;
        /* A regular file's short read is its end: no second call only to see that. */
        ssize_t n =
            hint && len == 0 ? read_once(fd, buf, size) : fd_read_full(fd, buf + len, size - len);
        if (n < 0 || len + (size_t)n > max_size) {
            free(buf);
            return n < 0 ? (int)n : -EFBIG;
        }
        len += (size_t)n;
        if (len < size)
            break;
        size = size > SIZE_MAX / 4 ? max_size + 1 : size * 2;
    }
    buf[len] = '\0';
    *ret_buf = buf;
    *ret_len = len;
    return 0;
}

int fd_read_file(const char *path, size_t max_size, char **ret_buf, size_t *ret_len,
                 struct err *err)
{
    if (max_size > SIZE_MAX / 4)
        return err_set(err, -EINVAL, "Cannot read %s: size limit out of range", path);

    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "Cannot open %s: %s", path, ERR_OS(errno));

    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "Cannot examine %s: %s", path, ERR_OS(errno));
    if (S_ISDIR(st.st_mode))
        return err_set(err, -EISDIR, "Cannot read %s: %s; name a file", path, ERR_OS(EISDIR));

    size_t hint = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 0;
    int rc = hint > max_size ? -EFBIG : read_all(fd, hint, max_size, ret_buf, ret_len);
    if (rc == -EFBIG)
        return err_set(err, rc, "Cannot read %s: it is larger than the limit of %zu bytes", path,
                       max_size);
    if (rc < 0)
        return err_set(err, rc, "Cannot read %s: %s", path, ERR_OS(rc));
    return 0;
}
