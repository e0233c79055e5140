/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMGenID and VMClock in guest memory (devices.md 7; the VMClock page is Amazon's, version 1).
 * Thread: vmm, while no vCPU runs.
 */
#include "vmm/arch/x86_64/generation.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#define VMCLOCK_MAGIC 0x4b4c4356u /* "VCLK" */
#define VMCLOCK_VERSION 1u
#define VMCLOCK_COUNTER_INVALID 0xffu
#define VMCLOCK_FLAG_GENERATION (1u << 8)   /* the generation counter is there */
#define VMCLOCK_FLAG_NOTIFICATION (1u << 9) /* and an interrupt when it changes */

struct wire_vmclock {
    le32_t magic;
    le32_t size;
    le16_t version;
    uint8_t counter_id;
    uint8_t time_type;
    le32_t seq_count; /* odd while the page changes */
    le64_t disruption_marker;
    le64_t flags;
    uint8_t unused[72];
    le64_t vm_generation_counter;
};
static_assert(offsetof(struct wire_vmclock, disruption_marker) == 16, "devices.md 7");
static_assert(offsetof(struct wire_vmclock, vm_generation_counter) == 104, "devices.md 7");
static_assert(sizeof(struct wire_vmclock) == 112, "devices.md 7");

static int fail(const struct arch_generation_place *place, struct err *err)
{
    return err_set(
        err, -EFAULT, "VMGenID at 0x%llx or VMClock at 0x%llx is outside the guest's memory",
        (unsigned long long)place->vmgenid_base, (unsigned long long)place->vmclock_base);
}

static int write_both(struct gmem *gmem, const struct arch_generation_place *place,
                      const uint8_t *id, const struct wire_vmclock *clock)
{
    int rc = gmem_write(gmem, gpa(place->vmclock_base), clock, sizeof(*clock));
    return rc < 0 ? rc : gmem_write(gmem, gpa(place->vmgenid_base), id, ARCH_VMGENID_SIZE);
}

int arch_generation_write(struct gmem *gmem, const struct arch_generation_place *place,
                          const uint8_t id[static ARCH_VMGENID_SIZE], struct err *err)
{
    const struct wire_vmclock clock = {
        .magic = le32_put(VMCLOCK_MAGIC),
        .size = le32_put(GMEM_PAGE_SIZE),
        .version = le16_put(VMCLOCK_VERSION),
        .counter_id = VMCLOCK_COUNTER_INVALID,
        .flags = le64_put(VMCLOCK_FLAG_GENERATION | VMCLOCK_FLAG_NOTIFICATION),
    };
    return write_both(gmem, place, id, &clock) < 0 ? fail(place, err) : 0;
}

/* No vCPU runs: who looked at the page while it was saved looks again, since seq_count is
 * another. */
int arch_generation_next(struct gmem *gmem, const struct arch_generation_place *place,
                         const uint8_t id[static ARCH_VMGENID_SIZE], struct err *err)
{
    struct wire_vmclock clock;
    if (gmem_read(gmem, gpa(place->vmclock_base), &clock, sizeof(clock)) < 0)
        return fail(place, err);
    clock.seq_count = le32_put((le32_get(clock.seq_count) | 1) + 1);
    clock.disruption_marker = le64_put(le64_get(clock.disruption_marker) + 1);
    clock.vm_generation_counter = le64_put(le64_get(clock.vm_generation_counter) + 1);
    return write_both(gmem, place, id, &clock) < 0 ? fail(place, err) : 0;
}
