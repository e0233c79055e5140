/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel and initrd loaders share: the file as it was found and the checks on its place in
 * RAM. Private to vmm/arch/x86_64. Thread: vmm, before the guest runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/arch/x86_64/arch.h"

/* Enough for every setup header and, in practice, for an ELF's program headers. */
#define ARCH_FILE_HEAD_SIZE 4096u
#define ARCH_PAGE_SIZE 4096ull
#define ARCH_MIB (1024ull * 1024)

/* A kernel file before anything of it is believed. `fd` is borrowed. */
struct arch_file {
    int fd;
    uint64_t size;     /* bytes */
    uint32_t head_len; /* bytes of `head` that the file has */
    uint8_t head[ARCH_FILE_HEAD_SIZE];
};

/*
 * Size of the file behind `fd`. what: "kernel" or "initrd", for the sentence. Returns 0, -EISDIR,
 * -EINVAL (not a regular file), -EFBIG (more than max_size bytes) or -errno of fstat.
 */
MUST_CHECK int arch_file_size(int fd, const char *what, uint64_t max_size, uint64_t *ret_size,
                              struct err *err);

/* End of the first RAM region, the only one that a kernel or initrd is put into. */
uint64_t arch_low_ram_end(const struct gmem *gmem);

/* Does a kernel that ends at `end` fit the first region? Returns 0 or -ENOMEM with the MiB
 * needed. */
MUST_CHECK int arch_check_kernel_end(const struct gmem *gmem, uint64_t end, struct err *err);

/* Moves file bytes [off, off + len) to guest address `addr`. what: as above, for the sentence.
 * Returns 0, -EFAULT (outside RAM), -ENODATA (the file became shorter), -ENOMEM (the host cannot
 * back the memory) or -errno of the read. */
MUST_CHECK int arch_load_bytes(struct gmem *gmem, uint64_t addr, int fd, uint64_t off, uint64_t len,
                               const char *what, struct err *err);

/* Does the file begin as an ELF, or as a bzImage with a setup header, does? Nothing more is
 * checked. */
bool arch_elf_is(const struct arch_file *file);
bool arch_bzimage_is(const struct arch_file *file);

/* Check everything, then load. *ret_kernel is set on success only. Return as arch_load_kernel. */
MUST_CHECK int arch_elf_load(struct gmem *gmem, const struct arch_file *file,
                             struct arch_kernel *ret_kernel, struct err *err);
MUST_CHECK int arch_bzimage_load(struct gmem *gmem, const struct arch_file *file,
                                 struct arch_kernel *ret_kernel, struct err *err);
