/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes the guest an x86-64 PC: memory map, kernel loading and boot protocols (Linux boot
 * protocol 2.15, PVH), boot CPU state. ACPI stands in acpi.h, CPUID and MSRs in cpu.h. Thread:
 * vmm, before the guest runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/config/cfg.h"
#include "vmm/hv/hv.h"
#include "vmm/mem/gmem.h"

/*
 * RAM regions for `size` bytes of guest memory (a multiple of 1 MiB): cut by the 3-4 GiB and
 * 256-512 GiB holes.
 * ret_ranges: room for GMEM_REGIONS_MAX. Returns 0 or -EINVAL.
 */
MUST_CHECK int arch_memory_ranges(uint64_t size, struct gmem_range *ret_ranges, uint32_t *ret_count,
                                  struct err *err);

enum arch_protocol { ARCH_PROTOCOL_LINUX64, ARCH_PROTOCOL_PVH };

/* setup_header of the Linux boot protocol from offset 0x1f1: kept from a bzImage, made up for an
 * ELF. */
#define ARCH_SETUP_HEADER_SIZE 0x80u

struct arch_kernel {
    enum arch_protocol protocol;
    uint64_t entry;  /* guest-physical */
    uint64_t end;    /* first byte behind the loaded image (incl. bss or init_size) */
    bool is_bzimage; /* setup_header below is the file's */
    uint8_t setup_header[ARCH_SETUP_HEADER_SIZE];
};

#define ARCH_KERNEL_SIZE_MAX (1024ull * 1024 * 1024)
#define ARCH_INITRD_SIZE_MAX (4ull * 1024 * 1024 * 1024)

/*
 * Loads an ELF64 vmlinux or a bzImage (setup header >= 2.12, XLF_KERNEL_64) from `fd` into guest
 * memory. Every header field is checked against file and RAM before anything is loaded. `fd` is
 * borrowed.
 * Returns 0 with *ret_kernel, or: -ENOEXEC (not a kernel, or a header that is truncated or
 * nonsense), -EISDIR, -EINVAL (not a regular file, empty), -EFBIG (above ARCH_KERNEL_SIZE_MAX),
 * -ENOMEM (more than the guest's RAM, or no host memory), -ENODATA (the file shrank meanwhile), or
 * -errno of the read.
 */
MUST_CHECK int arch_load_kernel(struct gmem *gmem, int fd, struct arch_kernel *ret_kernel,
                                struct err *err);

struct arch_initrd {
    uint64_t base; /* guest-physical; 0 when there is none */
    uint64_t size; /* bytes */
};

/*
 * Loads the initrd at the end of the first region, page-aligned down; must not reach the kernel.
 * `fd` is borrowed. Returns 0 with *ret_initrd, or: -EISDIR, -EINVAL (not a regular file, empty),
 * -EFBIG (above ARCH_INITRD_SIZE_MAX), -ENOMEM (does not fit behind the kernel, or no host memory),
 * -ENODATA (the file shrank meanwhile), or -errno of the read.
 */
MUST_CHECK int arch_load_initrd(struct gmem *gmem, int fd, const struct arch_kernel *kernel,
                                struct arch_initrd *ret_initrd, struct err *err);

/* The guest's command line being built (devices.md 8.3). In the caller's storage. */
struct arch_cmdline {
    char text[CFG_CMDLINE_MAX_SIZE]; /* what the guest gets, NUL-terminated */
    uint32_t len;                    /* without NUL */
    uint32_t insert_at;              /* where appended words go: before " -- rest" */
};

#define ARCH_CMDLINE_DEFAULT                                                                       \
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd "             \
    "swiotlb=noforce"

/* Starts from boot_args (NULL: the default) split at the first " -- "; then appends "pci=off".
 * Returns 0 or -E2BIG. */
MUST_CHECK int arch_cmdline_init(struct arch_cmdline *ret_cmdline, const char *boot_args,
                                 struct err *err);
/* Appends one word (printable ASCII) to the first half, one space before it. Returns 0,
 * -EINVAL (empty or not printable) or -E2BIG; the line is then as it was. */
MUST_CHECK int arch_cmdline_append(struct arch_cmdline *cmdline, struct err *err, const char *fmt,
                                   ...) PRINTF_LIKE(3, 4);

/* RNG seed handed to the guest by setup_data. */
#define ARCH_RNG_SEED_SIZE 64u

struct arch_boot {
    const struct arch_kernel *kernel;
    const struct arch_initrd *initrd;
    const struct arch_cmdline *cmdline;
    uint64_t rsdp;           /* guest-physical; 0: no ACPI */
    const uint8_t *rng_seed; /* ARCH_RNG_SEED_SIZE bytes, or NULL */
};

/*
 * Writes command line, setup_data, zero page or PVH start info, GDT and page tables. Everything
 * that `boot` points at is borrowed for the call. Returns 0, -E2BIG (a command line longer than the
 * bzImage takes), -EINVAL (the kernel ends above 3 GiB or the initrd above 4 GiB) or -EFAULT (a
 * guest with less than 1 MiB).
 */
MUST_CHECK int arch_write_boot(struct gmem *gmem, const struct arch_boot *boot, struct err *err);

/* Registers of a vCPU that is about to enter `kernel` (the APs wait for SIPI with the same).
 * Pure. */
void arch_boot_regs(const struct arch_kernel *kernel, struct kvm_regs *ret_regs,
                    struct kvm_sregs *sregs);

/* MP floating pointer and table at LAYOUT_SYSTEM_BASE (devices.md 7). vcpus_count:
 * 1..CFG_VCPUS_MAX. ret_end: first byte behind. Returns 0, -EINVAL (vcpus_count) or -EFAULT. */
MUST_CHECK int arch_write_mptable(struct gmem *gmem, uint32_t vcpus_count, uint64_t *ret_end,
                                  struct err *err);
