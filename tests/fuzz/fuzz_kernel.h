/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel fuzz targets share: one small guest and one unnamed file, made at the first input
 * and kept, and what must hold for every kernel that the loader accepts. Single thread.
 */
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/fuzz/fuzz_check.h"
#include "vmm/arch/x86_64/arch.h"

#define FUZZ_GUEST_SIZE (32ull * 1024 * 1024)

struct fuzz_guest {
    struct gmem *gmem;
    int fd;
};

/* The guest of this process; lives until it ends. */
static inline struct fuzz_guest *fuzz_guest(void)
{
    static struct fuzz_guest guest = {.fd = FD_NONE};
    if (guest.fd != FD_NONE)
        return &guest;
    struct gmem_range ranges[GMEM_REGIONS_MAX];
    uint32_t count = 0;
    struct err err = ERR_INIT;
    FUZZ_CHECK(arch_memory_ranges(FUZZ_GUEST_SIZE, ranges, &count, &err) == 0);
    FUZZ_CHECK(gmem_create(ranges, count, GMEM_BACKING_HEAP, false, &guest.gmem, &err) == 0);
    guest.fd = memfd_create("fuzz-kernel", MFD_CLOEXEC);
    FUZZ_CHECK(guest.fd >= 0);
    return &guest;
}

/* Loads the bytes as a kernel file. Was it accepted? */
static inline bool fuzz_load_kernel(struct fuzz_guest *guest, const uint8_t *data, size_t size,
                                    struct arch_kernel *ret_kernel)
{
    struct err err = ERR_INIT;
    FUZZ_CHECK(ftruncate(guest->fd, 0) == 0);
    FUZZ_CHECK(pwrite(guest->fd, data, size, 0) == (ssize_t)size);
    int rc = arch_load_kernel(guest->gmem, guest->fd, ret_kernel, &err);
    FUZZ_CHECK(rc == 0 || (rc < 0 && err.code == rc && err.msg[0] != '\0'));
    return rc == 0;
}

/* An accepted kernel lies in RAM, and an initrd and boot structures can be made for it. */
static inline void fuzz_boot_kernel(struct fuzz_guest *guest, const struct arch_kernel *kernel)
{
    FUZZ_CHECK(kernel->entry >= LAYOUT_HIMEM && kernel->entry < FUZZ_GUEST_SIZE);
    FUZZ_CHECK(kernel->end > LAYOUT_HIMEM && kernel->end <= FUZZ_GUEST_SIZE);
    FUZZ_CHECK(kernel->is_bzimage || kernel->entry < kernel->end);

    struct err err = ERR_INIT;
    struct arch_initrd initrd = {0};
    if (arch_load_initrd(guest->gmem, guest->fd, kernel, &initrd, &err) == 0)
        FUZZ_CHECK(initrd.base >= kernel->end && initrd.base % GMEM_PAGE_SIZE == 0 &&
                   gmem_contains(guest->gmem, gpa(initrd.base), initrd.size));
    else
        FUZZ_CHECK(err.code < 0 && err.msg[0] != '\0');

    static const uint8_t seed[ARCH_RNG_SEED_SIZE] = {1};
    struct arch_cmdline cmdline;
    FUZZ_CHECK(arch_cmdline_init(&cmdline, NULL, &err) == 0);
    struct arch_boot boot = {.kernel = kernel,
                             .initrd = &initrd,
                             .cmdline = &cmdline,
                             .rsdp = LAYOUT_RSDP,
                             .rng_seed = seed};
    int rc = arch_write_boot(guest->gmem, &boot, &err);
    FUZZ_CHECK(rc == 0 || kernel->is_bzimage); /* a bzImage may take short command lines only */

    struct kvm_regs regs;
    struct kvm_sregs sregs = {0};
    arch_boot_regs(kernel, &regs, &sregs);
    FUZZ_CHECK(regs.rip == kernel->entry);
}
