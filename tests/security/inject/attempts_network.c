/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts on networks and sockets. Data.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/security/inject/inject.h"

#define SOCKET(family, type, protocol)                                                             \
    CALL(socket, ARGS(N(family), N((type) | SOCK_CLOEXEC), N(protocol)), .undo = UNDO_CLOSE)
#define CONNECT(who) CALL(connect, ARGS(R, SOCK(who)))

static const struct {
    struct sockaddr addr;
} loopback = {{AF_INET, {0, 9, 127, 0, 0, 1}}};
static const struct ifreq tap = {.ifr_name = "escape0", .ifr_flags = IFF_TAP | IFF_NO_PI};

/* Who runs this has made it, for another VM. */
static const struct ifreq other_tap = {.ifr_name = "escape1", .ifr_flags = IFF_TAP | IFF_NO_PI};

static const struct attempt list[] = {
    {"socket-inet", "the host's network", .steps = {SOCKET(AF_INET, SOCK_STREAM, 0)}},
    {"connect-inet", "services of the host that trust whoever is local",
     .steps = {SOCKET(AF_INET, SOCK_STREAM, 0),
               CALL(connect, ARGS(R, B(loopback), N(sizeof(loopback))), .passes = {ECONNREFUSED})}},
    {"socket-inet6", "likewise", .steps = {SOCKET(AF_INET6, SOCK_DGRAM, 0)}},
    {"socket-raw", "forged packets", .steps = {SOCKET(AF_INET, SOCK_RAW, 1)}},
    {"socket-packet", "all frames of the host are read and forged",
     .steps = {SOCKET(AF_PACKET, SOCK_RAW, 0x0300)}},
    {"socket-netlink", "addresses and routes", .steps = {SOCKET(AF_NETLINK, SOCK_RAW, 0)}},
    {"socket-vsock", "the host's own vsock", .steps = {SOCKET(AF_VSOCK, SOCK_STREAM, 0)}},
    {"socket-alg", "the kernel's ciphers, rarely used code",
     .steps = {SOCKET(AF_ALG, SOCK_SEQPACKET, 0)}},
    {"socketpair", "descriptors are passed on",
     .steps = {CALL(socketpair, ARGS(N(AF_UNIX), N(SOCK_DGRAM), N(0), Z(8)))}},
    {"connect-abstract", "services of the host, without a path",
     .steps = {SOCKET(AF_UNIX, SOCK_STREAM, 0), CONNECT("abstract")}},
    {"connect-outside", "services of the host, by their path",
     .steps = {SOCKET(AF_UNIX, SOCK_STREAM, 0), CONNECT("outside_sock")}},
    {"connect-vm-api", "another VM is told what to do",
     .steps = {SOCKET(AF_UNIX, SOCK_STREAM, 0), CONNECT("other_api")}},
    {"connect-vm-vsock", "another VM's guest is spoken to",
     .steps = {SOCKET(AF_UNIX, SOCK_STREAM, 0), CONNECT("other_vsock")}},
    {"bind-inside", "others' programs are deceived by a socket",
     .steps = {SOCKET(AF_UNIX, SOCK_STREAM, 0), CALL(bind, ARGS(R, SOCK("inside_new")))}},
    {"bind-abstract", "likewise, without a path",
     .steps = {SOCKET(AF_UNIX, SOCK_STREAM, 0), CALL(bind, ARGS(R, SOCK("abstract_new")))}},
    {"listen", "a door for others",
     .steps = {SOCKET(AF_UNIX, SOCK_STREAM, 0), CALL(listen, ARGS(R, N(1)), .passes = {EINVAL})}},
    {"tap-new", "another interface of the host",
     .steps = {CALL(openat, ARGS(N(AT_FDCWD), T("/dev/net/tun"), N(O_RDWR)), .undo = UNDO_CLOSE),
               CALL(ioctl, ARGS(R, N(TUNSETIFF), B(tap)))}},
    {"tap-other", "another VM's interface",
     .steps = {CALL(openat, ARGS(N(AT_FDCWD), T("/dev/net/tun"), N(O_RDWR)), .undo = UNDO_CLOSE),
               CALL(ioctl, ARGS(R, N(TUNSETIFF), B(other_tap)), .passes = {EBUSY})}},
};

const struct attempt_list attempts_network = {list, ARRAY_LEN(list)};
