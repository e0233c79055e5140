/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine from a state (snapshot.md 4): built as at boot, in the order that KVM is quick with,
 * but every place and line is the state's. It is paused when this is done. Thread: vmm.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "vmm/machine/machine_int.h"

/* The guest has the one it booted with; it cannot be given another. */
static void warn_of_irqchip(const struct machine *machine, enum hv_irqchip irqchip)
{
    const struct machine_options *options = &machine->options;
    if (options->irqchip_is_asked && options->irqchip != irqchip)
        log_warn("--irqchip %s is ignored: the snapshot's guest has the %s irqchip and keeps it",
                 hv_irqchip_name(options->irqchip), hv_irqchip_name(irqchip));
}

static int restore_vm(struct machine *machine, const struct machine_state *state,
                      const struct machine_restore *how, struct err *err)
{
    warn_of_irqchip(machine, state->vm.irqchip);
    if (machine_is_warm(machine))
        return 0;
    int rc = machine_make_vm(machine, err);
    if (rc == 0)
        rc = hv_vm_add_memory(&machine->vm, machine->gmem, how->track_dirty_pages, err);
    if (rc == 0)
        rc = hv_vm_create_irqchip(&machine->vm, state->vm.irqchip, err);
    return rc;
}

/* What the state has beyond this host's list is for the next snapshot, too. */
static int keep_msrs(struct machine *machine, const struct hv_vcpu_state *state, struct err *err)
{
    struct hv_msr_list list = {.count = 0};
    for (uint32_t i = 0; i < state->msrs_count; i++)
        list.indexes[list.count++] = state->msrs[i].index;
    arch_kept_msrs(&list);
    int rc = 0;
    for (uint32_t i = 0, known = 0; rc == 0 && i < state->msrs_count; i++) {
        bool is_known = known < list.count && list.indexes[known] == state->msrs[i].index;
        if (is_known)
            known++;
        else
            rc = machine_keep_msr(machine, state->msrs[i].index, err);
    }
    return rc;
}

static int restore_vcpus(struct machine *machine, const struct machine_state *state,
                         const struct cfg_machine *config, struct err *err)
{
    int rc = machine_is_warm(machine) ? 0 : machine_create_vcpus(machine, config, err);
    if (rc == 0)
        rc = keep_msrs(machine, &state->vcpus[0], err);
    for (uint32_t i = 0; rc == 0 && i < machine->vcpus_count; i++)
        rc = hv_vcpu_restore(&machine->vcpus[i].hv, &state->vcpus[i], err);
    return rc;
}

static int restore_legacy(struct machine *machine, const struct machine_state *state,
                          struct err *err)
{
    int rc = machine_place_legacy(machine, state->ioapic.pins_count, err);
    if (rc == 0)
        rc = serial_restore(machine->serial, &state->serial, err);
    if (rc == 0 && machine->ioapic)
        rc = ioapic_restore(machine->ioapic, &state->ioapic, err);
    return rc < 0 ? rc : machine_load_routes(machine, err);
}

static int restore_device(struct machine *machine, const struct machine_device *device,
                          const struct machine_device_state *state, struct err *err)
{
    int rc = machine_place_at(machine, device, state->base, state->gsi, err);
    if (rc < 0)
        return rc;
    rc = device->class->restore(device, state, err);
    if (rc < 0)
        return rc;
    return vmmio_restore(machine->placed[machine->placed_count - 1].vmmio, &state->virtio, err);
}

static int restore_devices(struct machine *machine, const struct machine_state *state,
                           const struct cfg_vm *config, struct err *err)
{
    uint32_t seen[MACHINE_CLASSES_COUNT] = {0};
    for (uint32_t i = 0; i < state->devices_count; i++) {
        const struct machine_device_state *from = &state->devices[i];
        const struct machine_class *class = machine_class_of(from->kind);
        struct machine_device device;
        uint32_t idx = seen[class - machine_classes]++;
        int rc = machine_find_device(machine, class, config, idx, &device, err);
        if (rc == 0)
            rc = restore_device(machine, &device, from, err);
        if (rc < 0)
            return err_prefix(err,
                              "Failed to restore devices: Error restoring MMIO devices: "
                              "%s device %s: ",
                              class->name, class->id(config, idx));
    }
    return 0;
}

/* Lines that may have been up while the state was taken. After the irqchip's state, which would
 * undo it. */
static void renotify(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->placed_count; i++)
        vmmio_renotify(machine->placed[i].vmmio);
    serial_renotify(machine->serial);
}

/* Tells the guest that it is another VM from now on, before it runs. */
static int next_generation(struct machine *machine, const struct machine_generation *generation,
                           struct err *err)
{
    uint8_t id[ARCH_VMGENID_SIZE];
    machine->generation = *generation;
    if (machine_is_warm(machine))
        memcpy(id, machine->warm_vmgenid, sizeof(id));
    else if (getrandom(id, sizeof(id), 0) != sizeof(id))
        return err_set(err, -errno, "getrandom for VMGenID: %s", ERR_OS(errno));
    int rc = arch_generation_next(machine->gmem, &generation->place, id, err);
    if (rc == 0)
        rc = hv_vm_pulse(&machine->vm, generation->vmgenid_gsi, err);
    if (rc == 0)
        rc = hv_vm_pulse(&machine->vm, generation->vmclock_gsi, err);
    return rc;
}

/* The vCPUs whose guest has a clock: KVM would only refuse the others. */
static void tell_clocks(struct machine *machine, const struct machine_state *state)
{
    for (uint32_t i = 0; i < machine->vcpus_count; i++)
        if (hv_vcpu_state_clock(&state->vcpus[i]) != 0)
            machine_tell_clock(&machine->vcpus[i]);
}

static int restore(struct machine *machine, const struct machine_state *state,
                   const struct cfg_vm *config, const struct machine_restore *how, struct err *err)
{
    int rc = restore_vm(machine, state, how, err);
    if (rc == 0)
        rc = restore_vcpus(machine, state, &config->machine, err);
    if (rc == 0)
        rc = hv_vm_restore(&machine->vm, &state->vm, how->clock_realtime, err);
    if (rc == 0)
        rc = restore_legacy(machine, state, err);
    if (rc == 0)
        rc = restore_devices(machine, state, config, err);
    if (rc == 0)
        rc = machine_attach_metadata(machine, config, err);
    if (rc == 0)
        rc = next_generation(machine, &state->generation, err);
    if (rc < 0)
        return rc;
    renotify(machine);
    tell_clocks(machine, state);
    return 0;
}

int machine_restore(struct machine *machine, const struct machine_state *state,
                    const struct cfg_vm *config, const struct machine_restore *how, struct err *err)
{
    machine->gmem = how->gmem;
    machine_begin_paused(machine);
    machine_start_boot_timer(machine);
    /* NULL, too, when there is no memory for it: a sentence lacks it. */
    machine->memory_path = how->memory_path ? strdup(how->memory_path) : NULL;
    int rc = restore(machine, state, config, how, err);
    if (rc == 0 && !machine_is_warm(machine))
        rc = machine_start_vcpus(machine, err);
    if (rc < 0)
        machine_take_back(machine);
    machine->is_warm = false; /* it is a snapshot's now, or nothing */
    return rc;
}
