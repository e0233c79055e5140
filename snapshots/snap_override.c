/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overrides of a load. A limiter is put into the state as one that was just made: the device takes
 * it from there like a saved one. Thread: vmm.
 */
#include "snapshots/snap_override.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"

#define IDS_MAX_SIZE 512u

static int replace_text(char **text, const char *by, struct err *err)
{
    char *copy = strdup(by);
    if (!copy)
        return err_set(err, -ENOMEM, "no memory for an override");
    free(*text);
    *text = copy;
    return 0;
}

/* ------------------------------------------------------------------ limiters */

/* The state of a kind's device number `idx`: in the configuration's order, which is the state's. */
static struct machine_device_state *find_state(struct machine_state *state,
                                               enum machine_device_kind kind, uint32_t idx)
{
    for (uint32_t i = 0; i < state->devices_count; i++)
        if (state->devices[i].kind == kind && idx-- == 0)
            return &state->devices[i];
    return NULL; /* machine_state_check has counted them */
}

static struct rl_bucket_config bucket_config(const struct cfg_bucket *bucket)
{
    return rl_bucket_asked(bucket->present, bucket->size, bucket->one_time_burst,
                           bucket->refill_time_ms);
}

/* All of it: a bucket that is absent limits nothing, as in a request that makes the device. */
static void override_limiter(const struct cfg_rate_limiter *by, struct cfg_rate_limiter *limiter,
                             struct rl_state *state)
{
    if (!by->present)
        return;
    const struct rl_bucket_config configs[RL_KINDS_COUNT] = {
        [RL_BYTES] = bucket_config(&by->bandwidth),
        [RL_OPS] = bucket_config(&by->ops),
    };
    *limiter = *by;
    rl_state_start(configs, state);
}

/* ------------------------------------------------------------------ interfaces */

/* What could have been meant: "the snapshot has eth0, eth1". */
static int fail_unknown_nic(const struct cfg_vm *config, const char *iface_id, struct err *err)
{
    char ids[IDS_MAX_SIZE] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < config->nics_count && len < sizeof(ids); i++)
        len += (size_t)snprintf(ids + len, sizeof(ids) - len, "%s%s", i > 0 ? ", " : "",
                                config->nics[i].iface_id);
    if (config->nics_count == 0)
        return err_set(err, -EINVAL,
                       "Unknown Network Device. network_overrides names the interface %s, and the "
                       "snapshot has none: leave it out",
                       iface_id);
    return err_set(err, -EINVAL,
                   "Unknown Network Device. network_overrides names the interface %s; the "
                   "snapshot has: %s",
                   iface_id, ids);
}

/* As in the reference the last one wins; whoever names one twice wanted something else. */
static bool is_named_later(const struct cfg_snapshot_load *load, uint32_t idx)
{
    const char *iface_id = load->network_overrides[idx].iface_id;
    for (uint32_t i = idx + 1; i < load->network_overrides_count; i++)
        if (strcmp(load->network_overrides[i].iface_id, iface_id) == 0) {
            log_warn("network_overrides names the interface %s more than once: the later one, %s, "
                     "is taken",
                     iface_id, load->network_overrides[i].host_dev_name);
            return true;
        }
    return false;
}

static int override_nic(const struct cfg_nic_override *override, struct cfg_nic *nic,
                        struct net_state *state, struct err *err)
{
    int rc = replace_text(&nic->host_dev_name, override->host_dev_name, err);
    if (rc < 0)
        return rc;
    if (override->has_guest_mac) {
        nic->has_guest_mac = true;
        memcpy(nic->guest_mac, override->guest_mac, sizeof(nic->guest_mac));
    }
    override_limiter(&override->rx_rate_limiter, &nic->rx_rate_limiter, &state->rx_rl);
    override_limiter(&override->tx_rate_limiter, &nic->tx_rate_limiter, &state->tx_rl);
    return 0;
}

/* When all have theirs: two may have changed their MACs with each other. */
static int check_macs(const struct cfg_vm *config, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < config->nics_count; i++)
        rc = cfg_nics_check(config, &config->nics[i], err);
    return rc;
}

static int override_nics(const struct cfg_snapshot_load *load, struct cfg_vm *config,
                         struct machine_state *state, struct err *err)
{
    for (uint32_t i = 0; i < load->network_overrides_count; i++) {
        const struct cfg_nic_override *override = &load->network_overrides[i];
        const struct cfg_nic *nic = cfg_nics_find(config, override->iface_id);
        if (!nic)
            return fail_unknown_nic(config, override->iface_id, err);
        uint32_t idx = (uint32_t)(nic - config->nics);
        struct machine_device_state *device = find_state(state, MACHINE_DEVICE_NET, idx);
        if (!device || is_named_later(load, i))
            continue;
        int rc = override_nic(override, &config->nics[idx], &device->u.net, err);
        if (rc < 0)
            return rc;
    }
    return load->network_overrides_count > 0 ? check_macs(config, err) : 0;
}

static bool is_overridden(const struct cfg_snapshot_load *load, const char *iface_id)
{
    for (uint32_t i = 0; i < load->network_overrides_count; i++)
        if (strcmp(load->network_overrides[i].iface_id, iface_id) == 0)
            return true;
    return false;
}

/* A descriptor of the process that saved it is none of ours. */
static int check_inherited(const struct cfg_snapshot_load *load, const struct cfg_vm *config,
                           struct err *err)
{
    for (uint32_t i = 0; i < config->nics_count; i++) {
        const struct cfg_nic *nic = &config->nics[i];
        if (strncmp(nic->host_dev_name, "fd:", 3) == 0 && !is_overridden(load, nic->iface_id))
            return err_set(err, -EINVAL,
                           "interface %s was the inherited descriptor %s: name its TAP here in "
                           "network_overrides",
                           nic->iface_id, nic->host_dev_name);
    }
    return 0;
}

/* ------------------------------------------------------------------ drives */

const struct cfg_drive_override *snap_override_of_drive(const struct cfg_snapshot_load *load,
                                                        const char *drive_id)
{
    for (uint32_t i = 0; i < load->drive_overrides_count; i++)
        if (strcmp(load->drive_overrides[i].drive_id, drive_id) == 0)
            return &load->drive_overrides[i];
    return NULL;
}

static int fail_unknown_drive(const struct cfg_vm *config, const char *drive_id, struct err *err)
{
    char ids[IDS_MAX_SIZE] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < config->drives_count && len < sizeof(ids); i++)
        len += (size_t)snprintf(ids + len, sizeof(ids) - len, "%s%s", i > 0 ? ", " : "",
                                config->drives[i].drive_id);
    if (config->drives_count == 0)
        return err_set(
            err, -EINVAL,
            "drive_overrides names the drive %s, and the snapshot has none: leave it out",
            drive_id);
    return err_set(err, -EINVAL, "drive_overrides names the drive %s; the snapshot has: %s",
                   drive_id, ids);
}

static bool is_same_file(const char *one, const char *other)
{
    struct stat file;
    return stat(one, &file) == 0 && fd_is_file_at(&file, other);
}

static int fail_shared(const struct cfg_drive *drive, const char *whose, const char *id,
                       struct err *err)
{
    return err_set(err, -EINVAL,
                   "drive_overrides has the drive %s written to %s, which is %s%s: name a file of "
                   "its own",
                   drive->drive_id, drive->path_on_host, whose, id);
}

/* What a drive writes is nothing that this VM, or another of the snapshot, lives from. */
static int check_own_file(const struct cfg_snapshot_load *load, const struct cfg_vm *config,
                          const struct cfg_drive *drive, struct err *err)
{
    bool is_file = load->mem_backend.backend_type == CFG_MEM_BACKEND_FILE;
    if (is_same_file(drive->path_on_host, load->snapshot_path))
        return fail_shared(drive, "the snapshot's state file", "", err);
    if (is_file && is_same_file(drive->path_on_host, load->mem_backend.backend_path))
        return fail_shared(drive, "the snapshot's memory file", "", err);
    for (uint32_t i = 0; i < config->drives_count; i++) {
        const struct cfg_drive *other = &config->drives[i];
        if (other != drive && is_same_file(drive->path_on_host, other->path_on_host))
            return fail_shared(drive, "the file of the drive ", other->drive_id, err);
    }
    return 0;
}

/* Of those that the load names, when all of them are where they are to be. */
static int check_own_files(const struct cfg_snapshot_load *load, const struct cfg_vm *config,
                           struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < config->drives_count; i++) {
        const struct cfg_drive *drive = &config->drives[i];
        const struct cfg_drive_override *override = snap_override_of_drive(load, drive->drive_id);
        if (override && override->path_on_host && !drive->is_read_only)
            rc = check_own_file(load, config, drive, err);
    }
    return rc;
}

static int override_drives(const struct cfg_snapshot_load *load, struct cfg_vm *config,
                           struct machine_state *state, struct err *err)
{
    for (uint32_t i = 0; i < load->drive_overrides_count; i++) {
        const struct cfg_drive_override *override = &load->drive_overrides[i];
        const struct cfg_drive *found = cfg_drives_find(config, override->drive_id);
        if (!found)
            return fail_unknown_drive(config, override->drive_id, err);
        uint32_t idx = (uint32_t)(found - config->drives);
        struct cfg_drive *drive = &config->drives[idx];
        struct machine_device_state *device = find_state(state, MACHINE_DEVICE_BLK, idx);
        if (override->path_on_host &&
            replace_text(&drive->path_on_host, override->path_on_host, err) < 0)
            return -ENOMEM;
        if (device)
            override_limiter(&override->rate_limiter, &drive->rate_limiter, &device->u.blk.rl);
    }
    return check_own_files(load, config, err);
}

/* ------------------------------------------------------------------ the others, and all */

static int override_vsock(const struct cfg_snapshot_load *load, struct cfg_vm *config,
                          struct err *err)
{
    const struct cfg_vsock_override *override = &load->vsock_override;
    if (!override->present)
        return 0;
    if (!config->has_vsock)
        return err_set(err, -EINVAL,
                       "Unknown Vsock Device. The snapshot has no vsock: leave out vsock_override");
    return replace_text(&config->vsock.uds_path, override->uds_path, err);
}

static void override_machine(const struct cfg_snapshot_load *load, struct cfg_machine *machine)
{
    static const enum cfg_huge_pages pages[] = {
        [CFG_LOAD_HUGE_PAGES_NONE] = CFG_HUGE_PAGES_NONE,
        [CFG_LOAD_HUGE_PAGES_TRANSPARENT] = CFG_HUGE_PAGES_TRANSPARENT,
        [CFG_LOAD_HUGE_PAGES_2M] = CFG_HUGE_PAGES_2M,
    };
    machine->track_dirty_pages = load->track_dirty_pages;
    if (load->huge_pages != CFG_LOAD_HUGE_PAGES_SNAPSHOT)
        machine->huge_pages = pages[load->huge_pages];
}

int snap_override(const struct cfg_snapshot_load *load, struct cfg_vm *config,
                  struct machine_state *state, struct err *err)
{
    int rc = override_nics(load, config, state, err);
    if (rc == 0)
        rc = check_inherited(load, config, err);
    if (rc == 0)
        rc = override_drives(load, config, state, err);
    if (rc == 0)
        rc = override_vsock(load, config, err);
    if (rc == 0)
        override_machine(load, &config->machine);
    return rc;
}
