/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine ahead of its snapshot: all that depends on its shape alone is made, and its vCPUs'
 * threads sleep. A state of that shape moves in; before any other thing the warm machine is taken
 * back. Thread: vmm.
 */
#include <errno.h>
#include <sys/random.h>

#include "base/log.h"
#include "vmm/machine/machine_int.h"

static int reserve_memory(struct machine *machine, const struct cfg_machine *shape, struct err *err)
{
    struct gmem_range ranges[GMEM_REGIONS_MAX];
    uint32_t ranges_count;
    /* mem_size_mib is a configuration's: its bytes fit. */
    int rc = arch_memory_ranges(shape->mem_size_mib << 20, ranges, &ranges_count, err);
    if (rc == 0)
        rc = gmem_reserve(ranges, ranges_count, shape->track_dirty_pages, &machine->gmem, err);
    if (rc == 0)
        rc = hv_vm_add_memory(&machine->vm, machine->gmem, shape->track_dirty_pages, err);
    return rc < 0 ? err_prefix(err, "mem_size_mib %llu: ", (unsigned long long)shape->mem_size_mib)
                  : 0;
}

int machine_warm(struct machine *machine, const struct cfg_machine *shape, struct err *err)
{
    machine_begin_paused(machine);
    int rc = machine_make_vm(machine, err);
    if (rc == 0)
        rc = reserve_memory(machine, shape, err);
    if (rc == 0)
        rc = hv_vm_create_irqchip(&machine->vm, machine->options.irqchip, err);
    if (rc == 0)
        rc = machine_create_vcpus(machine, shape, err);
    if (rc == 0)
        rc = machine_connect_legacy(machine, err);
    if (rc == 0)
        rc = machine_start_vcpus(machine, err);
    if (rc == 0 && getrandom(machine->warm_vmgenid, sizeof(machine->warm_vmgenid), 0) !=
                       sizeof(machine->warm_vmgenid))
        rc = err_set(err, -errno, "getrandom for VMGenID: %s", ERR_OS(errno));
    if (rc < 0)
        machine_take_back(machine);
    else
        machine->is_warm = true;
    return rc;
}

bool machine_is_warm(const struct machine *machine)
{
    return machine->is_warm;
}

void machine_leave_warm(struct machine *machine, const char *why)
{
    if (!machine_is_warm(machine))
        return;
    log_info("The VM that --warm made is given up, and another is made: %s", why);
    machine_take_back(machine);
}

/* What of the shape differs, or NULL. */
static const char *difference(const struct machine *machine, const struct machine_state *state,
                              const struct cfg_machine *config)
{
    if (machine->vcpus_count != state->vcpus_count)
        return "the snapshot has another vcpu_count";
    if (machine->vm.irqchip != state->vm.irqchip)
        return "the snapshot has the other --irqchip";
    if (config->huge_pages == CFG_HUGE_PAGES_2M)
        return "memory of 2M pages cannot be reserved ahead";
    if (gmem_tracks_dirty(machine->gmem) != config->track_dirty_pages)
        return "the load asks for another track_dirty_pages";
    if (!gmem_has_shape(machine->gmem, state->regions, state->regions_count,
                        config->track_dirty_pages))
        return "the snapshot has another mem_size_mib";
    return NULL;
}

struct gmem *machine_warm_memory(struct machine *machine, const struct machine_state *state,
                                 const struct cfg_machine *config)
{
    if (!machine_is_warm(machine))
        return NULL;
    const char *why = difference(machine, state, config);
    if (why)
        machine_leave_warm(machine, why);
    return machine->gmem;
}
