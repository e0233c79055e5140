/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drive and interface lists of a VM, with their rules for order and identity (api.md 7, 9).
 * Thread: the one that builds the config.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config/cfg_fields.h"
#include "vmm/config/cfg_lists_int.h"
#include "vmm/config/cfg_text.h"

/* ------------------------------------------------------------------ drives of a VM */

/* Index of a drive's id, or drives_count. */
static uint32_t drive_idx(const struct cfg_vm *vm, const char *drive_id)
{
    uint32_t idx = 0;

    while (idx < vm->drives_count && strcmp(vm->drives[idx].drive_id, drive_id) != 0)
        idx++;
    return idx;
}

static void limiter_patch(struct cfg_rate_limiter *limiter, const struct cfg_rate_limiter *patch)
{
    if (!patch->present)
        return;
    limiter->present = true;
    if (patch->bandwidth.present)
        limiter->bandwidth = patch->bandwidth;
    if (patch->ops.present)
        limiter->ops = patch->ops;
}

int cfg_drives_patch(struct cfg_vm *vm, struct cfg_drive_patch *patch, struct err *err)
{
    uint32_t idx = drive_idx(vm, patch->drive_id);
    if (idx == vm->drives_count)
        return err_set(err, -ENOENT, "there is no drive of that id");
    struct cfg_drive *drive = &vm->drives[idx];
    if (patch->path_on_host) {
        free(drive->path_on_host);
        drive->path_on_host = patch->path_on_host;
        patch->path_on_host = NULL;
    }
    limiter_patch(&drive->rate_limiter, &patch->rate_limiter);
    return 0;
}

const struct cfg_drive *cfg_drives_find(const struct cfg_vm *vm, const char *drive_id)
{
    uint32_t idx = drive_idx(vm, drive_id);

    return idx < vm->drives_count ? &vm->drives[idx] : NULL;
}

int cfg_drives_check(const struct cfg_vm *vm, const struct cfg_drive *drive, struct err *err)
{
    uint32_t idx = drive_idx(vm, drive->drive_id);

    for (uint32_t i = 0; drive->is_root_device && i < vm->drives_count; i++) {
        if (vm->drives[i].is_root_device && i != idx)
            return err_set(err, -EEXIST, "A root block device already exists!");
    }
    return idx == CFG_DRIVES_MAX ? cfg_fail_full(err, "drives", CFG_DRIVES_MAX) : 0;
}

int cfg_drives_put(struct cfg_vm *vm, struct cfg_drive *drive, struct err *err)
{
    int ret = cfg_drives_check(vm, drive, err);
    if (ret < 0)
        return ret;
    uint32_t idx = drive_idx(vm, drive->drive_id);
    if (idx < vm->drives_count) {
        cfg_object_done(&cfg_object_drive, &vm->drives[idx]);
    } else {
        struct cfg_drive *drives = realloc(vm->drives, (idx + 1) * sizeof(*drives));
        if (!drives)
            return cfg_fail_memory(err);
        vm->drives = drives;
        vm->drives_count++;
    }
    vm->drives[idx] = *drive;
    *drive = (struct cfg_drive){0};
    if (vm->drives[idx].is_root_device && idx != 0) {
        struct cfg_drive first = vm->drives[0];
        vm->drives[0] = vm->drives[idx];
        vm->drives[idx] = first;
    }
    return 0;
}

/* ------------------------------------------------------------------ interfaces of a VM */

/* Index of an interface's id, or nics_count. */
static uint32_t nic_idx(const struct cfg_vm *vm, const char *iface_id)
{
    uint32_t idx = 0;

    while (idx < vm->nics_count && strcmp(vm->nics[idx].iface_id, iface_id) != 0)
        idx++;
    return idx;
}

const struct cfg_nic *cfg_nics_find(const struct cfg_vm *vm, const char *iface_id)
{
    uint32_t idx = nic_idx(vm, iface_id);

    return idx < vm->nics_count ? &vm->nics[idx] : NULL;
}

int cfg_nics_check(const struct cfg_vm *vm, const struct cfg_nic *nic, struct err *err)
{
    uint32_t idx = nic_idx(vm, nic->iface_id);

    for (uint32_t i = 0; nic->has_guest_mac && i < vm->nics_count; i++) {
        if (i != idx && vm->nics[i].has_guest_mac &&
            memcmp(vm->nics[i].guest_mac, nic->guest_mac, sizeof(nic->guest_mac)) == 0)
            return err_set(err, -EEXIST, "The MAC address is already in use: %s",
                           cfg_mac_text(nic->guest_mac, (char[CFG_MAC_TEXT_SIZE]){0}));
    }
    if (idx == CFG_NICS_MAX)
        return cfg_fail_full(err, "network interfaces", CFG_NICS_MAX);
    return 0;
}

/* Of the metadata service's interfaces those that are there, once each and in their order. */
static void settle_mmds(struct cfg_vm *vm)
{
    struct cfg_mmds *mmds = &vm->mmds;
    char *asked[CFG_MMDS_NICS_MAX];
    uint32_t asked_count = mmds->network_interfaces_count;

    memcpy(asked, mmds->network_interfaces, sizeof(asked));
    mmds->network_interfaces_count = 0;
    for (uint32_t i = 0; i < vm->nics_count; i++) {
        uint32_t idx = 0;
        while (idx < asked_count && (!asked[idx] || strcmp(asked[idx], vm->nics[i].iface_id) != 0))
            idx++;
        if (idx == asked_count)
            continue;
        mmds->network_interfaces[mmds->network_interfaces_count++] = asked[idx];
        asked[idx] = NULL;
    }
    for (uint32_t i = 0; i < asked_count; i++)
        free(asked[i]);
    if (mmds->network_interfaces_count == 0) {
        cfg_object_done(&cfg_object_mmds, mmds);
        vm->has_mmds = false;
    }
}

void cfg_mmds_put(struct cfg_vm *vm, struct cfg_mmds *mmds)
{
    cfg_object_done(&cfg_object_mmds, &vm->mmds);
    vm->mmds = *mmds;
    vm->has_mmds = true;
    *mmds = (struct cfg_mmds){0};
    settle_mmds(vm);
}

void cfg_nics_drop(struct cfg_vm *vm, const char *iface_id)
{
    uint32_t idx = nic_idx(vm, iface_id);

    if (idx == vm->nics_count)
        return;
    /* The last takes its place, as in the reference. */
    cfg_object_done(&cfg_object_nic, &vm->nics[idx]);
    vm->nics_count--;
    vm->nics[idx] = vm->nics[vm->nics_count];
    if (vm->has_mmds)
        settle_mmds(vm);
}

void cfg_vsock_drop(struct cfg_vm *vm)
{
    cfg_object_done(&cfg_object_vsock, &vm->vsock);
    cfg_object_init(&cfg_object_vsock, &vm->vsock);
    vm->has_vsock = false;
}

void cfg_nics_patch(struct cfg_vm *vm, const struct cfg_nic_patch *patch)
{
    uint32_t idx = nic_idx(vm, patch->iface_id);

    if (idx == vm->nics_count)
        return;
    limiter_patch(&vm->nics[idx].rx_rate_limiter, &patch->rx_rate_limiter);
    limiter_patch(&vm->nics[idx].tx_rate_limiter, &patch->tx_rate_limiter);
}

int cfg_nics_put(struct cfg_vm *vm, struct cfg_nic *nic, struct err *err)
{
    int rc = cfg_nics_check(vm, nic, err);
    if (rc < 0)
        return rc;
    struct cfg_nic *nics = realloc(vm->nics, (vm->nics_count + 1) * sizeof(*nics));
    if (!nics)
        return cfg_fail_memory(err);
    vm->nics = nics;
    cfg_nics_drop(vm, nic->iface_id);
    vm->nics[vm->nics_count++] = *nic;
    *nic = (struct cfg_nic){0};
    return 0;
}
