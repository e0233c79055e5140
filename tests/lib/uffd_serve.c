/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page-fault handler for one VM: serves its memory from a snapshot's file.
 *
 *   uffd-serve SOCKET MEMORY
 *
 * Listens on SOCKET, takes one monitor's message and descriptor, and fills each page that is
 * touched (docs/snapshots.md). Ends when the monitor has, and says how many pages it has filled.
 * Static, for the lab. Single thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE_SIZE 4096u
#define REGIONS_MAX 8u
#define MESSAGE_MAX_SIZE 4096u

struct region {
    uint64_t base; /* in the monitor */
    uint64_t size;
    uint64_t off; /* in the file */
};

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "uffd-serve: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int take_monitor(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        die(path);
    }
    memcpy(addr.sun_path, path, strlen(path));
    if (listener < 0 || bind(listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(listener, 1) < 0)
        die(path);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        die("accept");
    (void)close(listener);
    return fd;
}

/* The message into *text, which is NUL-terminated. Returns the descriptor that came with it. */
static int take_message(int peer, char text[static MESSAGE_MAX_SIZE])
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {text, MESSAGE_MAX_SIZE - 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t len = recvmsg(peer, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *rights = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!rights || rights->cmsg_type != SCM_RIGHTS)
        die("the monitor's message");
    text[len] = '\0';
    int fd;
    memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
    return fd;
}

static uint64_t member(const char *object, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "\"%s\":", name);
    const char *at = strstr(object, key);
    if (!at) {
        errno = EINVAL;
        die(name);
    }
    return strtoull(at + strlen(key), NULL, 10);
}

static size_t parse(const char *text, struct region ret_regions[static REGIONS_MAX])
{
    size_t count = 0;
    for (const char *at = strchr(text, '{'); at && count < REGIONS_MAX; at = strchr(at + 1, '{'))
        ret_regions[count++] = (struct region){member(at, "base_host_virt_addr"),
                                               member(at, "size"), member(at, "offset")};
    return count;
}

static const char *map_file(const char *path)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0)
        die(path);
    void *map = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        die(path);
    return map;
}

/* Returns how many pages that were: another vCPU may have asked for it before. */
static uint64_t fill(int uffd, const struct region *regions, size_t count, const char *file,
                     uint64_t address)
{
    for (size_t i = 0; i < count; i++) {
        const struct region *region = &regions[i];
        if (address < region->base || address - region->base >= region->size)
            continue;
        uint64_t page = (address - region->base) / PAGE_SIZE * PAGE_SIZE;
        struct uffdio_copy copy = {.dst = region->base + page,
                                   .src = (uintptr_t)file + region->off + page,
                                   .len = PAGE_SIZE};
        if (ioctl(uffd, UFFDIO_COPY, &copy) < 0 && errno != EEXIST && errno != ESRCH)
            die("UFFDIO_COPY");
        return copy.copy == PAGE_SIZE;
    }
    errno = EFAULT;
    die("an address of no region");
}

int main(int argc, char **argv)
{
    char text[MESSAGE_MAX_SIZE];
    struct region regions[REGIONS_MAX];
    struct uffd_msg fault;
    uint64_t pages_count = 0;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: uffd-serve SOCKET MEMORY\n");
        return 2;
    }
    const char *file = map_file(argv[2]);
    int peer = take_monitor(argv[1]);
    int uffd = take_message(peer, text);
    size_t count = parse(text, regions);
    for (;;) {
        struct pollfd fds[] = {{.fd = uffd, .events = POLLIN}, {.fd = peer, .events = POLLRDHUP}};
        if (poll(fds, 2, -1) < 0)
            die("poll");
        if (fds[1].revents & (POLLHUP | POLLRDHUP))
            break;
        if (read(uffd, &fault, sizeof(fault)) == sizeof(fault) &&
            fault.event == UFFD_EVENT_PAGEFAULT)
            pages_count += fill(uffd, regions, count, file, fault.arg.pagefault.address);
    }
    (void)printf("%llu pages\n", (unsigned long long)pages_count);
    return 0;
}
