/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a state can be a machine's: everything that neither building nor KVM refuses itself, so
 * that a crafted one ends in a sentence. Thread: vmm.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/ck.h"
#include "vmm/machine/machine_int.h"

void machine_state_done(struct machine_state *state)
{
    free(state->vcpus);
    state->vcpus = NULL;
    state->vcpus_count = 0;
}

static int check_vcpus(const struct machine_state *state, const struct cfg_machine *config,
                       struct err *err)
{
    if (state->vcpus_count != config->vcpu_count)
        return err_set(err, -EINVAL, "it has %u vCPUs, its configuration %u", state->vcpus_count,
                       config->vcpu_count);
    for (uint32_t i = 0; i < state->vcpus_count; i++) {
        const struct hv_vcpu_state *vcpu = &state->vcpus[i];
        if (vcpu->cpuid.count > HV_CPUID_ENTRIES_MAX || vcpu->msrs_count > HV_STATE_MSRS_MAX ||
            vcpu->xsave_size < HV_STATE_XSAVE_SIZE_MIN ||
            vcpu->xsave_size > HV_STATE_XSAVE_SIZE_MAX)
            return err_set(err, -EINVAL,
                           "vCPU %u has %u CPUID entries, %u MSRs and %u bytes of extended state",
                           i, vcpu->cpuid.count, vcpu->msrs_count, vcpu->xsave_size);
    }
    return 0;
}

static int check_memory(const struct machine_state *state, const struct cfg_machine *config,
                        struct err *err)
{
    struct gmem_range ranges[GMEM_REGIONS_MAX];
    uint32_t count = 0;
    uint64_t size;
    if (!ck_mul(config->mem_size_mib, 1024ull * 1024, &size))
        return err_set(err, -EINVAL, "its configuration has %llu MiB of memory",
                       (unsigned long long)config->mem_size_mib);
    int rc = arch_memory_ranges(size, ranges, &count, err);
    if (rc < 0)
        return rc;
    bool same = count == state->regions_count;
    for (uint32_t i = 0; same && i < count; i++)
        same = ranges[i].base.v == state->regions[i].base.v &&
               ranges[i].size == state->regions[i].size;
    if (!same)
        return err_set(err, -EINVAL, "its memory is not laid out as %llu MiB are",
                       (unsigned long long)config->mem_size_mib);
    return 0;
}

static int check_device(const struct machine_device_state *device, uint32_t *gsis, struct err *err)
{
    if (device->base < LAYOUT_VIRTIO_MMIO_BASE || device->base >= LAYOUT_ECAM_BASE ||
        device->base % LAYOUT_VIRTIO_MMIO_STEP != 0)
        return err_set(err, -EINVAL, "its window at 0x%llx is not where devices are",
                       (unsigned long long)device->base);
    if (device->gsi < LAYOUT_GSI_VIRTIO_FIRST || device->gsi > LAYOUT_GSI_LAST ||
        *gsis & 1u << device->gsi)
        return err_set(err, -EINVAL, "its interrupt line %u is not a device's, or another's",
                       device->gsi);
    *gsis |= 1u << device->gsi;
    return virtio_state_check(&device->virtio, err);
}

static int check_devices(const struct machine_state *state, const struct cfg_vm *config,
                         struct err *err)
{
    uint32_t seen[MACHINE_CLASSES_COUNT] = {0};
    uint32_t gsis = 0;
    if (state->devices_count > MACHINE_STATE_DEVICES_MAX)
        return err_set(err, -EINVAL, "it has %u devices, more than %u", state->devices_count,
                       MACHINE_STATE_DEVICES_MAX);
    for (uint32_t i = 0; i < state->devices_count; i++) {
        const struct machine_class *class = machine_class_of(state->devices[i].kind);
        if (!class)
            return err_set(err, -EINVAL, "device %u is of the unknown kind %u", i,
                           state->devices[i].kind);
        seen[class - machine_classes]++;
        if (check_device(&state->devices[i], &gsis, err) < 0)
            return err_prefix(err, "device %u: ", i);
    }
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++)
        if (seen[i] != machine_classes[i].count(config))
            return err_set(err, -EINVAL, "it has %u %s devices, its configuration %u", seen[i],
                           machine_classes[i].name, machine_classes[i].count(config));
    return 0;
}

int machine_state_check(const struct machine_state *state, const struct cfg_vm *config,
                        struct err *err)
{
    const struct machine_generation *generation = &state->generation;
    int rc = check_vcpus(state, &config->machine, err);
    if (rc == 0)
        rc = check_memory(state, &config->machine, err);
    if (rc == 0)
        rc = check_devices(state, config, err);
    if (rc < 0)
        return rc;
    if (state->vm.irqchip != HV_IRQCHIP_SPLIT && state->vm.irqchip != HV_IRQCHIP_FULL)
        return err_set(err, -EINVAL, "its irqchip is of the unknown kind %u", state->vm.irqchip);
    if (state->vm.irqchip == HV_IRQCHIP_SPLIT &&
        (state->ioapic.pins_count == 0 || state->ioapic.pins_count > IOAPIC_PINS_MAX))
        return err_set(err, -EINVAL, "its IOAPIC has %u pins, expected 1 to %u",
                       state->ioapic.pins_count, IOAPIC_PINS_MAX);
    if (generation->vmgenid_gsi > LAYOUT_GSI_LAST || generation->vmclock_gsi > LAYOUT_GSI_LAST)
        return err_set(err, -EINVAL, "VMGenID's line %u or VMClock's %u is beyond the last",
                       generation->vmgenid_gsi, generation->vmclock_gsi);
    return 0;
}
