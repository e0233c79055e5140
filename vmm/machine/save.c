/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A paused machine's state (snapshot.md 2). Devices first: what their preparation completes may
 * raise an interrupt, which the vCPUs' state then holds. Thread: vmm.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/machine/machine_int.h"

static int save_devices(const struct machine *machine, struct machine_state *state, struct err *err)
{
    state->devices_count = machine->placed_count;
    for (uint32_t i = 0; i < machine->placed_count; i++) {
        const struct placed *placed = &machine->placed[i];
        struct machine_device_state *to = &state->devices[i];
        *to = (struct machine_device_state){
            .kind = placed->device.class->kind, .base = placed->base, .gsi = placed->gsi};
        int rc = placed->device.class->save(&placed->device, to, err);
        if (rc < 0)
            return err_prefix(err, "%s device at 0x%llx: ", placed->device.class->name,
                              (unsigned long long)placed->base);
    }
    /* Behind all of them: an event of one is in its ring. */
    for (uint32_t i = 0; i < machine->placed_count; i++)
        vmmio_save(machine->placed[i].vmmio, &state->devices[i].virtio);
    return 0;
}

int machine_keep_msr(struct machine *machine, uint32_t index, struct err *err)
{
    if (!machine->own_msrs)
        machine->own_msrs = calloc(1, sizeof(*machine->own_msrs));
    if (!machine->own_msrs)
        return err_set(err, -ENOMEM, "no memory for the list of MSRs");
    arch_add_kept_msr(machine->own_msrs, index);
    return 0;
}

static int save_vcpus(struct machine *machine, struct machine_state *state, struct err *err)
{
    struct hv_msr_list msrs;
    int rc = hv_msr_index_list(&machine->hv, &msrs, err);
    if (rc < 0)
        return rc;
    arch_kept_msrs(&msrs);
    for (uint32_t i = 0; machine->own_msrs && i < machine->own_msrs->count; i++)
        arch_add_kept_msr(&msrs, machine->own_msrs->indexes[i]);
    state->vcpus = calloc(machine->vcpus_count, sizeof(*state->vcpus));
    if (!state->vcpus)
        return err_set(err, -ENOMEM, "no memory for the state of %u vCPUs", machine->vcpus_count);
    state->vcpus_count = machine->vcpus_count;
    for (uint32_t i = 0; rc == 0 && i < machine->vcpus_count; i++)
        rc = hv_vcpu_save(&machine->vcpus[i].hv, &msrs, &state->vcpus[i], err);
    return rc;
}

struct gmem *machine_memory(struct machine *machine)
{
    return machine->gmem;
}

int machine_dirty_log(struct machine *machine, uint32_t region_idx, uint64_t *words,
                      struct err *err)
{
    return hv_vm_dirty_log(&machine->vm, region_idx, words, err);
}

int machine_save(struct machine *machine, struct machine_state *ret_state, struct err *err)
{
    *ret_state = (struct machine_state){.generation = machine->generation};
    if (!machine->paused)
        return err_set(err, -EBUSY, "the machine is not paused");
    int rc = save_devices(machine, ret_state, err);
    if (rc == 0)
        rc = save_vcpus(machine, ret_state, err);
    if (rc == 0)
        rc = hv_vm_save(&machine->vm, &ret_state->vm, err);
    if (rc < 0) {
        machine_state_done(ret_state);
        return rc;
    }
    serial_save(machine->serial, &ret_state->serial);
    if (machine->ioapic)
        ioapic_save(machine->ioapic, &ret_state->ioapic);
    ret_state->regions_count = gmem_regions_count(machine->gmem);
    for (uint32_t i = 0; i < ret_state->regions_count; i++) {
        const struct gmem_region_view view = gmem_region_at(machine->gmem, i);
        ret_state->regions[i] = (struct gmem_range){view.base, view.size};
    }
    return 0;
}
