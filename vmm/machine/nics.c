/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's network interfaces from staging to their end. Thread: vmm. Spec: api.md 7, PUT and
 * PATCH /network-interfaces.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/machine_int.h"

static uint32_t nic_idx(const struct machine *machine, const char *iface_id)
{
    uint32_t idx = 0;
    while (idx < machine->nics_count && strcmp(machine->nics[idx].id, iface_id) != 0)
        idx++;
    return idx;
}

struct net *machine_find_nic(const struct machine *machine, const char *iface_id)
{
    uint32_t idx = nic_idx(machine, iface_id);
    return idx < machine->nics_count ? machine->nics[idx].net : NULL;
}

/* The order is the configuration's (place_nics): here it does not matter. */
static void drop_nic(struct machine *machine, const char *iface_id)
{
    uint32_t idx = nic_idx(machine, iface_id);
    if (idx == machine->nics_count)
        return;
    net_free(machine->nics[idx].net);
    free(machine->nics[idx].id);
    machine->nics[idx] = machine->nics[--machine->nics_count];
}

/* Room for one more. Returns 0 or -ENOMEM. */
static int reserve_nic(struct machine *machine)
{
    struct staged_nic *nics = realloc(machine->nics, (machine->nics_count + 1) * sizeof(*nics));
    if (!nics)
        return -ENOMEM;
    machine->nics = nics;
    return 0;
}

int machine_stage_nic(struct machine *machine, const struct cfg_nic *nic, struct err *err)
{
    const struct net_env env = {machine->options.loop, machine->options.clock, tap_open,
                                tap_set_offload};
    struct net *net = NULL;
    drop_nic(machine, nic->iface_id); /* first: the new one may ask for the same TAP */
    char *id = reserve_nic(machine) < 0 ? NULL : strdup(nic->iface_id);
    if (!id)
        return err_set(err, -ENOMEM, "no memory for interface %s", nic->iface_id);
    int rc = net_create(nic, &env, &net, err);
    if (rc < 0) {
        free(id);
        return rc;
    }
    machine->nics[machine->nics_count++] = (struct staged_nic){.id = id, .net = net};
    return 0;
}

int machine_patch_nic(struct machine *machine, const struct cfg_nic_patch *patch, struct err *err)
{
    struct net *net = machine_find_nic(machine, patch->iface_id);
    if (!net)
        return err_set(err, -ENOENT, "Failed perform action on device: Device not found");
    net_replace_limiters(net, &patch->rx_rate_limiter, &patch->tx_rate_limiter);
    return 0;
}

const char *machine_nic_host_name(const struct machine *machine, const char *iface_id)
{
    const struct net *net = machine_find_nic(machine, iface_id);
    return net ? net_host_name(net) : NULL;
}

void machine_free_nics(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->nics_count; i++) {
        net_free(machine->nics[i].net);
        free(machine->nics[i].id);
    }
    free(machine->nics);
    machine->nics = NULL;
    machine->nics_count = 0;
}
