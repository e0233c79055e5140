/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which MSRs a snapshot keeps (snapshot.md 2): those that KVM lists and that hold a guest's state.
 * Ranges, since most come in rows. Thread: vmm.
 */
#include "vmm/arch/x86_64/cpu.h"

struct msr_range {
    uint32_t first;
    uint32_t last;
};

static const struct msr_range kept[] = {
    {0x10, 0x10},   /* TSC */
    {0x17, 0x17},   /* platform id */
    {0x1b, 0x1b},   /* APIC base */
    {0x3b, 0x3b},   /* TSC_ADJUST */
    {0x48, 0x49},   /* SPEC_CTRL, PRED_CMD */
    {0x8b, 0x8b},   /* microcode revision */
    {0xce, 0xce},   /* platform info */
    {0xfe, 0xfe},   /* MTRRcap */
    {0x10a, 0x10a}, /* ARCH_CAPABILITIES */
    {0x122, 0x122}, /* TSX_CTRL */
    {0x140, 0x140}, /* MISC_FEATURES_ENABLES */
    {0x174, 0x176}, /* SYSENTER */
    {0x179, 0x17a}, /* MCG_CAP, MCG_STATUS; not MCG_CTL, which is written by nobody */
    {0x198, 0x19a}, /* performance status and control, clock modulation */
    {0x1a0, 0x1a0}, /* MISC_ENABLE */
    {0x1a2, 0x1a2}, /* temperature target */
    {0x1c9, 0x1c9}, /* last branch: top of the stack */
    {0x1d9, 0x1de}, /* debug control, last branch */
    {0x200, 0x2ff}, /* MTRRs, PAT */
    {0x400, 0x47f}, /* machine check banks */
    {0x606, 0x606}, /* power unit */
    {0x611, 0x611}, /* energy counters, which only read */
    {0x639, 0x641},
    {0x6e0, 0x6e0},           /* TSC deadline */
    {0x800, 0xbff},           /* x2APIC */
    {0xda0, 0xda0},           /* XSS */
    {0x4b564d00, 0x4b564dff}, /* KVM's own: clock, steal time, asynchronous faults */
    {0xc0000080, 0xc0000084}, /* EFER, STAR, LSTAR, CSTAR, SYSCALL_MASK */
    {0xc0000100, 0xc0000103}, /* FS, GS and kernel GS base, TSC_AUX */
    {0xc0010015, 0xc0010015}, /* K7 HWCR */
    {0xc001011f, 0xc001011f}, /* AMD VIRT_SPEC_CTRL */
};

static bool is_kept(uint32_t index)
{
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (index >= kept[i].first && index <= kept[i].last)
            return true;
    return false;
}

void arch_kept_msrs(struct hv_msr_list *list)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (is_kept(list->indexes[i]))
            list->indexes[count++] = list->indexes[i];
    list->count = count;
}

void arch_add_kept_msr(struct hv_msr_list *list, uint32_t index)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->indexes[i] == index)
            return;
    if (list->count < ARRAY_LEN(list->indexes))
        list->indexes[list->count++] = index;
}
