/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's metadata service: one document for the VM, and a part for each interface that has
 * it, from building to taking down. Thread: vmm. Spec: api.md 7, /mmds; mmds.md 1.
 */
#include <errno.h>
#include <string.h>

#include "base/crypto/crypto.h"
#include "vmm/machine/machine_int.h"

/* Nothing is made before somebody asks for it. */
static int service_ready(struct machine *machine, struct err *err)
{
    const struct machine_options *options = &machine->options;
    const struct mmds_env env = {
        .clock = options->clock,
        .random = crypto_random,
        .vm_id = options->vm_id,
        .data_size_max = options->metadata_max_size,
    };
    if (!machine->mmds && mmds_create(&env, &machine->mmds) < 0)
        return err_set(err, -ENOMEM, "no memory for the metadata");
    return 0;
}

int machine_put_metadata(struct machine *machine, const char *text, size_t len, struct err *err)
{
    int rc = service_ready(machine, err);
    return rc < 0 ? rc : mmds_put(machine->mmds, text, len, err);
}

int machine_patch_metadata(struct machine *machine, const char *text, size_t len, struct err *err)
{
    int rc = service_ready(machine, err);
    return rc < 0 ? rc : mmds_patch(machine->mmds, text, len, err);
}

int machine_render_metadata(struct machine *machine, char **ret_text, struct err *err)
{
    size_t len;
    int rc = service_ready(machine, err);
    if (rc < 0)
        return rc;
    rc = mmds_render(machine->mmds, ret_text, &len);
    return rc < 0 ? err_set(err, rc, "no memory for the metadata") : 0;
}

static bool is_listed(const struct cfg_mmds *mmds, const char *iface_id)
{
    for (uint32_t i = 0; i < mmds->network_interfaces_count; i++)
        if (strcmp(mmds->network_interfaces[i], iface_id) == 0)
            return true;
    return false;
}

int machine_attach_metadata(struct machine *machine, const struct cfg_vm *config, struct err *err)
{
    uint8_t address[4];

    if (!config->has_mmds)
        return 0;
    int rc = service_ready(machine, err);
    if (rc < 0)
        return rc;
    mmds_configure(machine->mmds, config->mmds.version == CFG_MMDS_V2, config->mmds.imds_compat);
    cfg_mmds_address(&config->mmds, address);
    for (uint32_t i = 0; i < machine->nics_count; i++) {
        struct staged_nic *nic = &machine->nics[i];
        if (!is_listed(&config->mmds, nic->id))
            continue;
        if (mmds_nic_create(machine->mmds, address, &nic->mmds) < 0)
            return err_set(err, -ENOMEM, "no memory for the metadata service of interface %s",
                           nic->id);
        net_set_filter(nic->net, mmds_nic_filter(nic->mmds));
    }
    return 0;
}

void machine_detach_metadata(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->nics_count; i++) {
        struct staged_nic *nic = &machine->nics[i];
        if (!nic->mmds)
            continue;
        net_set_filter(nic->net, NULL);
        mmds_nic_free(nic->mmds);
        nic->mmds = NULL;
    }
}
