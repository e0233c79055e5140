/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-time work at boot: kernel modules, boot timer, loopback interface. One thread.
 */
#include "guest/init/setup.h"

#include "guest/init/sys.h"
#include "guest/init/text.h"
#include <linux/if.h>
#include <linux/mman.h>
#include <linux/sockios.h>

enum {
    MODULES_LIST_MAX = 8192,
    MODULE_IN_USE = -EEXIST,
    PAGE_SIZE = 4096,
    BOOT_TIMER_VALUE = 123,
    AF_INET_FAMILY = 2,
    SOCK_DGRAM_TYPE = 2,
    PROT_RW = 3,
};

#define BOOT_TIMER_GPA 0xc0000000ul

static void load_module(const char *path)
{
    long fd = sys_open(path, O_RDONLY);
    long err = fd < 0 ? fd : sys_call3(__NR_finit_module, fd, (long)"", 0);

    if (fd >= 0)
        (void)sys_close(fd);
    if (err && err != MODULE_IN_USE)
        text_report("cannot load the module ", path, err, "Going on without it.");
}

void setup_modules(void)
{
    char list[MODULES_LIST_MAX];
    long fd = sys_open("/etc/mayfly/modules", O_RDONLY);
    size_t len = 0;
    char *line = list;

    if (fd < 0)
        return;
    for (;;) {
        long got = sys_read(fd, list + len, sizeof(list) - 1 - len);

        if (got <= 0)
            break;
        len += (size_t)got;
    }
    (void)sys_close(fd);
    list[len] = 0;
    while (*line) {
        char *end = line;

        while (*end && *end != '\n')
            end++;
        if (*end)
            *end++ = 0;
        if (*line == '/')
            load_module(line);
        line = end;
    }
}

int setup_signal_boot_timer(void)
{
    long fd = sys_open("/dev/mem", O_RDWR | O_SYNC);
    long at;

    if (fd < 0)
        return (int)fd;
    at = sys_call6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_SHARED, fd, (long)BOOT_TIMER_GPA);
    (void)sys_close(fd);
    if (at < 0 && at > -PAGE_SIZE)
        return (int)at;
    *(volatile unsigned char *)at = BOOT_TIMER_VALUE;
    (void)sys_call3(__NR_munmap, at, PAGE_SIZE, 0);
    return 0;
}

void setup_loopback(void)
{
    struct ifreq req = {.ifr_name = "lo"};
    long fd = sys_call3(__NR_socket, AF_INET_FAMILY, SOCK_DGRAM_TYPE, 0);

    if (fd < 0)
        return;
    if (sys_ioctl(fd, SIOCGIFFLAGS, (long)&req) == 0) {
        long err;

        req.ifr_flags = (short)(req.ifr_flags | IFF_UP);
        err = sys_ioctl(fd, SIOCSIFFLAGS, (long)&req);
        if (err)
            text_report("cannot bring up ", "lo", err, "Going on without it.");
    }
    (void)sys_close(fd);
}
