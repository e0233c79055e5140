/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM as ranges: one run of bytes from address 0, cut where devices live (devices.md 8.1,
 * 11). Thread: vmm, before the guest runs. Pure.
 */
#include "vmm/arch/x86_64/arch.h"

#include <errno.h>

#include "base/ck.h"
#include "vmm/arch/x86_64/load_int.h"

/* Where RAM may lie; the last piece is open-ended (what the host cannot map, mmap refuses). */
static const struct {
    uint64_t base;
    uint64_t end;
} ram_windows[] = {
    {0, LAYOUT_MMIO_GAP_BASE},
    {LAYOUT_MMIO_GAP_END, LAYOUT_GAP64_BASE},
    {LAYOUT_GAP64_END, UINT64_MAX},
};
static_assert(ARRAY_LEN(ram_windows) <= GMEM_REGIONS_MAX, "a window is at most one region");

int arch_memory_ranges(uint64_t size, struct gmem_range *ret_ranges, uint32_t *ret_count,
                       struct err *err)
{
    if (size == 0 || size % ARCH_MIB != 0)
        return err_set(err, -EINVAL, "guest memory of %llu bytes is not a positive number of MiB",
                       (unsigned long long)size);

    struct gmem_range ranges[ARRAY_LEN(ram_windows)];
    uint32_t count = 0;
    uint64_t left = size;
    for (; left > 0 && count < ARRAY_LEN(ram_windows); count++) {
        uint64_t room = ram_windows[count].end - ram_windows[count].base;
        uint64_t part = left < room ? left : room;
        ranges[count] = (struct gmem_range){gpa(ram_windows[count].base), part};
        left -= part;
    }
    /* No host maps this much; said in the words of the mmap that would refuse it (api.md,
     * machine-config). */
    if (left > 0)
        return err_set(err, -EINVAL, "Cannot create mmap region: %s", ERR_OS(ENOMEM));

    for (uint32_t i = 0; i < count; i++)
        ret_ranges[i] = ranges[i];
    *ret_count = count;
    return 0;
}
