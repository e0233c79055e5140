/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake with a page-fault handler, byte for byte the reference's (snapshot.md 6). Thread:
 * vmm.
 */
#include "snapshots/snap_uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define UFFD_FAILED                                                                                \
    "Failed to restore from snapshot: Failed to load guest memory: Error creating guest memory "   \
    "from uffd: "
#define UFFD_FLAGS (O_CLOEXEC | O_NONBLOCK)
/* Handlers read the message with a buffer of this size. */
#define MESSAGE_MAX_SIZE 1024u

/* The node where there is one, since a jail gives its rights by that; else the system call. */
static int open_uffd(void)
{
    FD_AUTO int node = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (node >= 0) {
        int fd = ioctl(node, USERFAULTFD_IOC_NEW, UFFD_FLAGS);
        if (fd >= 0)
            return fd;
    }
    int fd = (int)syscall(SYS_userfaultfd, UFFD_FLAGS);
    return fd < 0 ? -errno : fd;
}

static int create_uffd(int *ret_fd, struct err *err)
{
    FD_AUTO int fd = open_uffd();
    if (fd < 0)
        return err_set(err, fd,
                       "Failed to create userfaultfd: %s. Make /dev/userfaultfd usable, or "
                       "set vm.unprivileged_userfaultfd to 1",
                       ERR_OS(fd));
    /* Nothing of ours removes pages; handlers expect that they would be told. */
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMOVE};
    if (ioctl(fd, UFFDIO_API, &api) < 0)
        return err_set(err, -errno, "Failed to create userfaultfd: UFFDIO_API: %s", ERR_OS(errno));
    *ret_fd = fd_steal(&fd);
    return 0;
}

static int register_regions(const struct gmem *gmem, int uffd, struct err *err)
{
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        const struct gmem_region_view view = gmem_region_at(gmem, i);
        struct uffdio_register range = {
            .range = {.start = (uintptr_t)view.host, .len = view.size},
            .mode = UFFDIO_REGISTER_MODE_MISSING,
        };
        if (ioctl(uffd, UFFDIO_REGISTER, &range) < 0)
            return err_set(err, -errno, "Failed to register memory with userfaultfd: %s",
                           ERR_OS(errno));
    }
    return 0;
}

/* What to do when the socket cannot be connected to. */
static const char *connect_hint(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return "there is no socket: start the page-fault handler first, and name its socket in "
               "backend_path";
    case ECONNREFUSED:
        return "no handler listens there: it has ended, or that is no socket. Start the page-fault "
               "handler, which makes the socket anew";
    case EACCES:
        return "this process may not write to the socket or enter its directory: give it the "
               "right, or move the socket";
    default:
        return "see what is at the path; it must be a stream socket on which the page-fault "
               "handler listens";
    }
}

static int connect_handler(const char *path, int *ret_fd, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return err_set(err, -ENAMETOOLONG,
                       "Failed to connect to UDS Unix stream: path must be shorter than SUN_LEN: "
                       "backend_path has %zu bytes, and %zu fit (%s)",
                       strlen(path), sizeof(addr.sun_path) - 1, path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_set(err, -errno, "Failed to connect to UDS Unix stream: %s (%s: %s: %s)",
                       ERR_OS(errno), path, err_name(errno), connect_hint(errno));
    *ret_fd = fd_steal(&fd);
    return 0;
}

/* The regions as handlers parse them; page_size_kib is in bytes too, which is how it is. Returns
 * the length. */
static size_t write_message(const struct gmem *gmem, uint64_t page_size,
                            char ret_text[static MESSAGE_MAX_SIZE])
{
    size_t len = 0;
    uint64_t off = 0;
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        const struct gmem_region_view view = gmem_region_at(gmem, i);
        /* At most GMEM_REGIONS_MAX times 180 bytes. */
        len += (size_t)snprintf(ret_text + len, MESSAGE_MAX_SIZE - len,
                                "%c{\"base_host_virt_addr\":%llu,\"size\":%llu,\"offset\":%llu,"
                                "\"page_size\":%llu,\"page_size_kib\":%llu}",
                                i == 0 ? '[' : ',', (unsigned long long)(uintptr_t)view.host,
                                (unsigned long long)view.size, (unsigned long long)off,
                                (unsigned long long)page_size, (unsigned long long)page_size);
        off += view.size;
    }
    ret_text[len++] = ']';
    return len;
}

/* One message: the regions, and the descriptor beside them. */
static int send_regions(const struct gmem *gmem, uint64_t page_size, int peer, int uffd,
                        struct err *err)
{
    char text[MESSAGE_MAX_SIZE];
    struct iovec iov = {text, write_message(gmem, page_size, text)};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &uffd, sizeof(uffd));
    ssize_t len = sendmsg(peer, &message, MSG_NOSIGNAL);
    if (len != (ssize_t)iov.iov_len)
        return err_set(err, len < 0 ? -errno : -EIO,
                       "Failed to send the memory's description to the page-fault handler: %s",
                       ERR_OS(len < 0 ? errno : EIO));
    return 0;
}

static int hand_over(const struct cfg_mem_source *source, const struct snap_watch_news *news,
                     struct gmem *gmem, uint64_t page_size, struct snap_watch **ret_watch,
                     struct err *err)
{
    bool ends = source->on_handler_exit == CFG_HANDLER_EXIT_EXIT;
    FD_AUTO int uffd = FD_NONE;
    FD_AUTO int peer = FD_NONE;
    int rc = create_uffd(&uffd, err);
    if (rc == 0)
        rc = register_regions(gmem, uffd, err);
    if (rc == 0)
        rc = connect_handler(source->backend_path, &peer, err);
    if (rc == 0)
        rc = send_regions(gmem, page_size, peer, uffd, err);
    if (rc == 0)
        rc = snap_watch_create(gmem, uffd, peer, ends, news, ret_watch, err);
    if (rc == 0)
        gmem_set_foreign(gmem, fd_steal(&uffd), fd_steal(&peer));
    return rc;
}

int snap_uffd_create(const struct cfg_mem_source *source, const struct machine_state *state,
                     const struct cfg_machine *config, const struct snap_watch_news *news,
                     struct gmem *reserved, struct gmem **ret_gmem, struct snap_watch **ret_watch,
                     struct err *err)
{
    static const enum gmem_backing backings[] = {
        [CFG_HUGE_PAGES_NONE] = GMEM_BACKING_DEFAULT,
        [CFG_HUGE_PAGES_TRANSPARENT] = GMEM_BACKING_THP,
        [CFG_HUGE_PAGES_2M] = GMEM_BACKING_HUGETLB,
    };
    bool is_huge = config->huge_pages == CFG_HUGE_PAGES_2M;
    struct gmem *gmem = reserved;
    int none = FD_NONE;
    int rc = reserved
                 ? gmem_fill(reserved, &none, backings[config->huge_pages], err)
                 : gmem_create(state->regions, state->regions_count, backings[config->huge_pages],
                               config->track_dirty_pages, &gmem, err);
    if (rc == 0)
        rc = hand_over(source, news, gmem, is_huge ? GMEM_HUGE_SIZE : GMEM_PAGE_SIZE, ret_watch,
                       err);
    if (rc < 0) {
        if (!reserved)
            gmem_free(gmem);
        return err_prefix(err, UFFD_FAILED);
    }
    *ret_gmem = gmem;
    return 0;
}

int snap_uffd_end_load(struct snap_watch *watch, const struct cfg_mem_source *source, int rc,
                       struct err *err)
{
    int end = snap_watch_end_load(watch, source->backend_path, rc, err);
    return end == rc ? rc : err_prefix(err, UFFD_FAILED);
}
