/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TAP interface. No state beside the struct. Spec: devices.md 4; Linux' Documentation/networking/
 * tuntap.rst and <linux/if_tun.h>.
 */
#include "devices/backend/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cmdline.h"
#include "base/fd.h"

#define TUN_PATH "/dev/net/tun"
#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

/* Linux 6.2; Debian 12's headers are older. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define OPEN_FAILED "Open tap device failed: "

static int open_tun(void)
{
    int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Makes the descriptor that interface's. Returns 0 or -errno. */
static int attach(int fd, const char *name, int flags)
{
    struct ifreq request = {.ifr_flags = (short)flags};
    memcpy(request.ifr_name, name, strnlen(name, sizeof(request.ifr_name) - 1));
    return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
}

static bool attaches_with(const char *name, int flags)
{
    FD_AUTO int fd = open_tun();
    return fd >= 0 && attach(fd, name, flags) == 0;
}

/* Why it could not be opened, and what to do. The kernel says EINVAL whichever flag differs: the
 * others are tried. */
static const char *advice(const char *name, int rc)
{
    if (rc == -EBUSY)
        return "another process has it open: give each VM a tap of its own";
    if (rc == -EPERM)
        return "it belongs to another user, or there is none and making one needs CAP_NET_ADMIN: "
               "ip "
               "tuntap add mode tap user UID";
    if (rc == -EINVAL && attaches_with(name, TAP_FLAGS | IFF_MULTI_QUEUE))
        return "it was made with multi_queue: make it without";
    if (rc == -EINVAL && attaches_with(name, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
        return "it is a tun, which carries no Ethernet: ip tuntap add mode tap";
    if (rc == -EINVAL && if_nametoindex(name) == 0)
        return "no interface may have this name; an inherited tap is fd:N, a number";
    return "there is an interface of that name and it is no tap: ip tuntap add mode tap";
}

static int fail_ifreq(const char *name, int rc, const char *what, struct err *err)
{
    return err_set(err, rc,
                   OPEN_FAILED "Error while creating ifreq structure: %s. Invalid TUN/TAP Backend "
                               "provided by %s. Check our documentation on setting up the network "
                               "devices. (%s)",
                   ERR_OS(rc), name, what);
}

static int open_name(const char *name, int *ret_fd, struct err *err)
{
    if (strlen(name) >= IFNAMSIZ)
        return err_set(err, -ENAMETOOLONG, OPEN_FAILED "Invalid interface name");
    FD_AUTO int fd = open_tun();
    if (fd < 0)
        return err_set(err, fd, OPEN_FAILED "Couldn't open " TUN_PATH ": %s", ERR_OS(fd));
    int rc = attach(fd, name, TAP_FLAGS);
    if (rc < 0)
        return fail_ifreq(name, rc, advice(name, rc), err);
    *ret_fd = fd_steal(&fd);
    return 0;
}

/* The N of "fd:N", or -1. */
static int inherited_fd(const char *name)
{
    static const char scheme[] = "fd:";
    if (strncmp(name, scheme, strlen(scheme)) != 0)
        return -1;
    return cmdline_parse_fd(name + strlen(scheme));
}

static int open_inherited(const char *name, int inherited, int *ret_fd, struct err *err)
{
    struct ifreq request = {0};
    if (ioctl(inherited, TUNGETIFF, &request) < 0)
        return fail_ifreq(name, errno == EBADF ? -EBADF : -ENOTTY,
                          "no tap was inherited under this number", err);
    unsigned flags = (unsigned short)request.ifr_flags;
    if ((flags & (TAP_FLAGS | IFF_TUN)) != TAP_FLAGS)
        return fail_ifreq(name, -EINVAL,
                          "TUNSETIFF has to ask for IFF_TAP, IFF_NO_PI and IFF_VNET_HDR", err);
    FD_AUTO int fd = fcntl(inherited, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return fail_ifreq(name, -errno, "no copy of it could be made", err);
    int status = fcntl(fd, F_GETFL);
    if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
        return fail_ifreq(name, -errno, "it could not be made non-blocking", err);
    *ret_fd = fd_steal(&fd);
    return 0;
}

/* Segmentation that not every kernel has; nothing is switched on. */
static bool can_offload(const struct tap *tap, unsigned offload)
{
    bool can = tap_set_offload(tap, TUN_F_CSUM | offload) == 0;
    return tap_set_offload(tap, 0) == 0 && can;
}

static int prepare(struct tap *tap, struct err *err)
{
    struct ifreq request = {0};
    int header_size = TAP_HEADER_SIZE;
    if (ioctl(tap->fd, TUNGETIFF, &request) < 0)
        return fail_ifreq(tap->name, -errno, "TUNGETIFF failed", err);
    memcpy(tap->name, request.ifr_name, sizeof(tap->name));
    tap->name[sizeof(tap->name) - 1] = '\0';
    if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header_size) < 0)
        return err_set(err, -errno,
                       OPEN_FAILED "Error while setting vnet header size: %s. Invalid TUN/TAP "
                                   "Backend provided by %s.",
                       ERR_OS(errno), tap->name);
    tap->has_ufo = can_offload(tap, TUN_F_UFO);
    tap->has_uso = can_offload(tap, TUN_F_USO4 | TUN_F_USO6);
    return 0;
}

int tap_open(const char *name, struct tap *ret_tap, struct err *err)
{
    struct tap tap = {.fd = FD_NONE};
    int inherited = inherited_fd(name);
    int rc = inherited < 0 ? open_name(name, &tap.fd, err)
                           : open_inherited(name, inherited, &tap.fd, err);
    if (rc == 0)
        rc = prepare(&tap, err);
    if (rc < 0) {
        tap_close(&tap);
        return rc;
    }
    *ret_tap = tap;
    return 0;
}

void tap_close(struct tap *tap)
{
    fd_close(&tap->fd);
}

int tap_set_offload(const struct tap *tap, unsigned offload)
{
    return ioctl(tap->fd, TUNSETOFFLOAD, (unsigned long)offload) < 0 ? -errno : 0;
}

ssize_t tap_read(const struct tap *tap, const struct iovec *iov, uint32_t iov_count)
{
    ssize_t len;
    do {
        len = readv(tap->fd, iov, (int)iov_count);
    } while (len < 0 && errno == EINTR);
    return len < 0 ? -errno : len;
}

ssize_t tap_write(const struct tap *tap, const struct iovec *iov, uint32_t iov_count)
{
    ssize_t len;
    do {
        len = writev(tap->fd, iov, (int)iov_count);
    } while (len < 0 && errno == EINTR);
    return len < 0 ? -errno : len;
}
