/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls of mayfly-init, without a libc: raw x86-64 wrappers, one thread, no errno.
 * Every function returns what the kernel returned: 0 or more, or -errno.
 */
#pragma once

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/time_types.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* umount2: detach now, free when no longer used. The kernel's public headers leave it out. */
#define MNT_DETACH 2

static inline long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long sys_call3(long nr, long a, long b, long c)
{
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long sys_open(const char *path, int flags)
{
    return sys_call3(__NR_open, (long)path, flags | O_CLOEXEC, 0);
}

static inline long sys_close(long fd)
{
    return sys_call3(__NR_close, fd, 0, 0);
}

static inline long sys_read(long fd, void *buf, size_t len)
{
    return sys_call3(__NR_read, fd, (long)buf, (long)len);
}

static inline long sys_write(long fd, const void *buf, size_t len)
{
    return sys_call3(__NR_write, fd, (long)buf, (long)len);
}

static inline long sys_pread(long fd, void *buf, size_t len, uint64_t off)
{
    return sys_call6(__NR_pread64, fd, (long)buf, (long)len, (long)off, 0, 0);
}

static inline long sys_ioctl(long fd, unsigned long req, long arg)
{
    return sys_call3(__NR_ioctl, fd, (long)req, arg);
}

static inline long sys_mkdir(const char *path, int mode)
{
    return sys_call3(__NR_mkdir, (long)path, mode, 0);
}

static inline long sys_mount(const char *source, const char *target, const char *type,
                             unsigned long flags, const char *data)
{
    return sys_call6(__NR_mount, (long)source, (long)target, (long)type, (long)flags, (long)data,
                     0);
}

static inline long sys_umount(const char *target, int flags)
{
    return sys_call3(__NR_umount2, (long)target, flags, 0);
}

static inline long sys_execve(const char *path, char *const argv[], char *const envp[])
{
    return sys_call3(__NR_execve, (long)path, (long)argv, (long)envp);
}

static inline void sys_sleep_ns(uint64_t ns)
{
    struct __kernel_timespec ts = {(long long)(ns / 1000000000u), (long long)(ns % 1000000000u)};

    (void)sys_call3(__NR_nanosleep, (long)&ts, 0, 0);
}

/* CLOCK_MONOTONIC: nanoseconds since the guest kernel began to keep time. */
static inline uint64_t sys_clock_ns(void)
{
    struct __kernel_timespec ts = {0, 0};

    (void)sys_call3(__NR_clock_gettime, 1, (long)&ts, 0);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline NORETURN void sys_exit(int status)
{
    for (;;)
        (void)sys_call3(__NR_exit_group, status, 0, 0);
}
