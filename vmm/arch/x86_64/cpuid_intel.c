/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Intel rows of devices.md 10 (Intel SDM 2A, CPUID), and the frequency leaves 0x15 and 0x16
 * that spare a guest without KVM's clock the calibration loop. Thread: vmm, before the guest runs.
 */
#include "vmm/arch/x86_64/cpuid_int.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POWER_EAX_TURBO (1u << 1)
#define POWER_ECX_EPB (1u << 3)
#define FEATURES_EXT_EBX_FDP_EXCPTN_ONLY (1u << 6)
#define FEATURES_EXT_EBX_NO_FPU_CS_DS (1u << 13)
#define FEATURES_EXT_ECX_WAITPKG (1u << 5)

#define BRAND_BASE "Intel(R) Xeon(R) Processor"
#define BRAND_UNIT_LEN 3u /* "GHz" */

/* Leaf 4: who shares each cache, and how many cores the package has. */
static void normalize_leaf_4(struct hv_cpuid *cpuid, const struct arch_cpu_config *config)
{
    uint32_t cpus_per_core = arch_cpus_per_core(config);
    struct kvm_cpuid_entry2 *cache;
    for (uint32_t i = 0; (cache = arch_cpuid_find(cpuid, ARCH_LEAF_CACHES_INTEL, i)) != NULL; i++) {
        if ((cache->eax | cache->ebx | cache->ecx | cache->edx) == 0)
            return;
        uint32_t level = arch_bits_get(cache->eax, 7, 5);
        if (level == 1 || level == 2)
            cache->eax = arch_bits_put(cache->eax, 25, 14, cpus_per_core - 1);
        else if (level == 3)
            cache->eax = arch_bits_put(cache->eax, 25, 14, config->vcpus_count - 1);
        cache->eax = arch_bits_put(cache->eax, 31, 26, config->vcpus_count / cpus_per_core - 1);
    }
}

static void normalize_features(struct hv_cpuid *cpuid)
{
    struct kvm_cpuid_entry2 *entry = arch_cpuid_find(cpuid, ARCH_LEAF_POWER, 0);
    if (entry != NULL) {
        entry->eax &= ~POWER_EAX_TURBO;
        entry->ecx &= ~POWER_ECX_EPB;
    }
    entry = arch_cpuid_find(cpuid, ARCH_LEAF_FEATURES_EXT, 0);
    if (entry != NULL) {
        entry->ebx |= FEATURES_EXT_EBX_FDP_EXCPTN_ONLY | FEATURES_EXT_EBX_NO_FPU_CS_DS;
        entry->ecx &= ~(FEATURES_EXT_ECX_WAITPKG | ARCH_FEATURES_EXT_ECX_SHSTK);
        entry->edx &= ~ARCH_FEATURES_EXT_EDX_IBT;
    }
    entry = arch_cpuid_find(cpuid, ARCH_LEAF_PERFMON, 0);
    if (entry != NULL) {
        entry->eax = 0;
        entry->ebx = 0;
        entry->ecx = 0;
        entry->edx = 0;
    }
}

/* Leaf 0x1f, where the list has it, says what leaf 0xb says. */
static int copy_topology(struct hv_cpuid *cpuid, struct err *err)
{
    bool is_present = false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cpuid->count; i++) {
        if (cpuid->entries[i].function == ARCH_LEAF_TOPOLOGY_V2)
            is_present = true;
        else
            cpuid->entries[kept++] = cpuid->entries[i];
    }
    cpuid->count = kept;
    if (!is_present)
        return 0;
    for (uint32_t i = 0; i < kept; i++) {
        if (cpuid->entries[i].function != ARCH_LEAF_TOPOLOGY)
            continue;
        struct kvm_cpuid_entry2 level = cpuid->entries[i];
        struct kvm_cpuid_entry2 *entry;
        int rc =
            arch_cpuid_add(cpuid, ARCH_LEAF_TOPOLOGY_V2, level.index, level.flags, &entry, err);
        if (rc < 0)
            return rc;
        *entry = level;
        entry->function = ARCH_LEAF_TOPOLOGY_V2;
    }
    return 0;
}

/*
 * The frequency at the end of a host brand string ("... @ 2.90GHz"): digits and dots before a unit.
 * Returns its length with the unit and *ret_start, or 0 when there is none.
 */
static size_t find_frequency(const char *brand, const char **ret_start)
{
    static const char *const units[] = {"THz", "GHz", "MHz"};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        const char *unit = strstr(brand, units[i]);
        if (unit == NULL)
            continue;
        const char *start = unit;
        while (start > brand && ((start[-1] >= '0' && start[-1] <= '9') || start[-1] == '.'))
            start--;
        if (start == unit)
            continue;
        *ret_start = start;
        return (size_t)(unit - start) + BRAND_UNIT_LEN;
    }
    return 0;
}

static int normalize_brand(struct hv_cpuid *cpuid, arch_cpuid_read_fn read, struct err *err)
{
    char host_brand[ARCH_BRAND_SIZE + 1] = {0};
    struct arch_cpuid_regs regs;
    read(ARCH_LEAF_EXT_MAX, 0, &regs);
    for (uint32_t i = 0; i < 3 && regs.eax >= ARCH_LEAF_BRAND + 2; i++) {
        struct arch_cpuid_regs part;
        read(ARCH_LEAF_BRAND + i, 0, &part);
        memcpy(host_brand + 16 * i, &part, sizeof(part));
    }

    const char *frequency = NULL;
    size_t frequency_len = find_frequency(host_brand, &frequency);
    char brand[ARCH_BRAND_SIZE + 1] = BRAND_BASE;
    /* A suffix that does not fit is not a frequency. */
    if (frequency_len > 0 && sizeof(BRAND_BASE " @ ") + frequency_len <= ARCH_BRAND_SIZE)
        (void)snprintf(brand, sizeof(brand), BRAND_BASE " @ %.*s", (int)frequency_len, frequency);
    return arch_cpuid_set_brand(cpuid, brand, err);
}

void arch_tsc_ratio(uint32_t tsc_khz, uint32_t *ret_numerator, uint32_t *ret_denominator)
{
    assert(tsc_khz > 0);
    const uint64_t numerator_max = UINT32_MAX / ARCH_LAPIC_BUS_KHZ;
    uint64_t best_num = 1;
    uint64_t best_den = 1;
    uint64_t best_error = UINT64_MAX; /* best_error / best_den: distance from the wanted kHz */
    for (uint64_t den = 1; den <= numerator_max; den++) {
        uint64_t num = (tsc_khz * den + ARCH_LAPIC_BUS_KHZ / 2) / ARCH_LAPIC_BUS_KHZ;
        if (num > numerator_max)
            break;
        if (num == 0)
            continue;
        uint64_t got_khz = num * ARCH_LAPIC_BUS_KHZ;
        uint64_t want_khz = tsc_khz * den;
        uint64_t error = got_khz > want_khz ? got_khz - want_khz : want_khz - got_khz;
        if (best_error == UINT64_MAX || error * best_den < best_error * den) {
            best_num = num;
            best_den = den;
            best_error = error;
        }
        if (error == 0)
            break;
    }
    *ret_numerator = (uint32_t)best_num;
    *ret_denominator = (uint32_t)best_den;
}

/*
 * Leaves 0x15 and 0x16 where the guest's highest leaf reaches them and neither KVM nor a template
 * filled them. The crystal is the APIC timer's clock, since Linux takes its frequency from there
 * (SDM 3A 11.5.4).
 */
static int set_frequency(struct hv_cpuid *cpuid, uint32_t tsc_khz, struct err *err)
{
    const struct kvm_cpuid_entry2 *vendor = arch_cpuid_find(cpuid, ARCH_LEAF_VENDOR, 0);
    uint32_t leaf_max = vendor == NULL ? 0 : vendor->eax;
    struct kvm_cpuid_entry2 *entry;
    if (tsc_khz == 0 || leaf_max < ARCH_LEAF_TSC)
        return 0;
    int rc = arch_cpuid_add(cpuid, ARCH_LEAF_TSC, 0, 0, &entry, err);
    if (rc < 0)
        return rc;
    if (entry->eax == 0 || entry->ebx == 0) {
        arch_tsc_ratio(tsc_khz, &entry->ebx, &entry->eax);
        entry->ecx = ARCH_LAPIC_BUS_KHZ * 1000u;
    }
    if (leaf_max < ARCH_LEAF_FREQUENCY)
        return 0;
    rc = arch_cpuid_add(cpuid, ARCH_LEAF_FREQUENCY, 0, 0, &entry, err);
    if (rc < 0)
        return rc;
    if (entry->eax == 0) {
        entry->eax = tsc_khz / 1000u; /* base and highest, MHz, 16 bits each */
        entry->ebx = tsc_khz / 1000u;
        entry->ecx = ARCH_LAPIC_BUS_KHZ / 1000u;
    }
    return 0;
}

int arch_cpuid_normalize_intel(struct hv_cpuid *cpuid, const struct arch_cpu_config *config,
                               arch_cpuid_read_fn read, struct err *err)
{
    normalize_leaf_4(cpuid, config);
    normalize_features(cpuid);
    int rc = copy_topology(cpuid, err);
    if (rc < 0)
        return rc;
    rc = normalize_brand(cpuid, read, err);
    if (rc < 0)
        return rc;
    return set_frequency(cpuid, config->tsc_khz, err);
}
