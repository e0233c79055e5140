/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's floor: the least a program can do that binds a Unix socket, accepts and answers. Every
 * request gets a reply of the size that Mayfly's has; the one that starts a VM also the least that
 * KVM needs for one. One connection at a time, blocking; requests come whole. One thread; part of
 * perf, not of the product. Usage: api_floor SOCKET.
 */
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "perf/native/floor_vm.h"

#define HEAD "Server: Firecracker API\r\nConnection: keep-alive\r\n"

static const char info[] =
    "HTTP/1.1 200 \r\n" HEAD "Content-Type: application/json\r\nContent-Length: 97\r\n\r\n"
    "{\"id\":\"anonymous-instance\",\"state\":\"Not started\",\"vmm_version\":\"1.16.1\","
    "\"app_name\":\"Firecracker\"}";
static const char no_content[] = "HTTP/1.1 204 \r\n" HEAD "\r\n";

static void answer(int fd)
{
    static char request[4096];
    static const char start[] = "PUT /actions ";
    ssize_t len;

    while ((len = recv(fd, request, sizeof(request), 0)) > 0) {
        const struct kvm_run *state;
        bool is_get = request[0] == 'G';
        if ((size_t)len > strlen(start) && memcmp(request, start, strlen(start)) == 0)
            (void)make_vm(&state);
        const char *text = is_get ? info : no_content;
        size_t text_len = is_get ? sizeof(info) - 1 : sizeof(no_content) - 1;
        if (send(fd, text, text_len, MSG_NOSIGNAL) != (ssize_t)text_len)
            break;
    }
    (void)close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof(addr.sun_path))
        errx(2, "usage: api_floor SOCKET");
    memcpy(addr.sun_path, argv[1], strlen(argv[1]));
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(listener, SOMAXCONN) < 0)
        err(1, "%s", argv[1]);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            err(1, "accept");
        answer(fd);
    }
}
