/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initrd goes to the end of the first RAM region, page-aligned down, below the highest address
 * that a bzImage allows for it and above everything the kernel uses before it reads the memory map
 * (devices.md 8.2). Thread: vmm, before the guest runs.
 */
#include "vmm/arch/x86_64/arch.h"

#include <errno.h>
#include <string.h>

#include "base/ck.h"
#include "vmm/arch/x86_64/boot_int.h"
#include "vmm/arch/x86_64/load_int.h"

/* First byte that the initrd may not use. */
static uint64_t initrd_limit(const struct gmem *gmem, const struct arch_kernel *kernel)
{
    uint64_t limit = arch_low_ram_end(gmem);
    if (kernel->is_bzimage) {
        struct boot_setup_header header;
        memcpy(&header, kernel->setup_header, sizeof(header));
        uint64_t allowed = (uint64_t)le32_get(header.initrd_addr_max) + 1;
        if (allowed < limit)
            limit = allowed;
    }
    return limit;
}

int arch_load_initrd(struct gmem *gmem, int fd, const struct arch_kernel *kernel,
                     struct arch_initrd *ret_initrd, struct err *err)
{
    uint64_t size;
    int rc = arch_file_size(fd, "initrd", ARCH_INITRD_SIZE_MAX, &size, err);
    if (rc < 0)
        return rc;
    if (size == 0)
        return err_set(err, -EINVAL, "the initrd file is empty");

    uint64_t floor;
    if (!ck_align_up(kernel->end, ARCH_PAGE_SIZE, &floor))
        return err_set(err, -EINVAL, "the kernel leaves no room for an initrd");
    uint64_t limit = initrd_limit(gmem, kernel);
    uint64_t room = limit > floor ? ck_align_down(limit, ARCH_PAGE_SIZE) - floor : 0;
    uint64_t base;
    if (!ck_sub(limit, size, &base) || (base = ck_align_down(base, ARCH_PAGE_SIZE)) < floor)
        return err_set(err, -ENOMEM,
                       "the initrd has %llu bytes, behind the kernel (up to 0x%llx) %llu are free:"
                       " raise mem_size_mib or shrink the initrd",
                       (unsigned long long)size, (unsigned long long)kernel->end,
                       (unsigned long long)room);

    rc = arch_load_bytes(gmem, base, fd, 0, size, "initrd", err);
    if (rc < 0)
        return rc;
    *ret_initrd = (struct arch_initrd){.base = base, .size = size};
    return 0;
}
