/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every class of virtio device, in attach order (devices.md 2): how the machine finds the devices
 * that were staged, and their states. A class without save and restore is none. Thread: vmm.
 */
#include <errno.h>

#include "vmm/machine/machine_int.h"

static uint32_t drives_count(const struct cfg_vm *config)
{
    return config->drives_count;
}

static uint32_t nics_count(const struct cfg_vm *config)
{
    return config->nics_count;
}

static uint32_t vsocks_count(const struct cfg_vm *config)
{
    return config->has_vsock;
}

static const char *drive_id(const struct cfg_vm *config, uint32_t idx)
{
    return config->drives[idx].drive_id;
}

static const char *nic_id(const struct cfg_vm *config, uint32_t idx)
{
    return config->nics[idx].iface_id;
}

static const char *vsock_id(const struct cfg_vm *config, uint32_t idx)
{
    (void)idx; /* there is one */
    return config->vsock.uds_path;
}

static bool find_drive(const struct machine *machine, const char *id, struct machine_device *ret)
{
    ret->u.blk = machine_find_drive(machine, id);
    if (ret->u.blk)
        ret->virtio = blk_virtio(ret->u.blk);
    return ret->u.blk != NULL;
}

static bool find_nic(const struct machine *machine, const char *id, struct machine_device *ret)
{
    ret->u.net = machine_find_nic(machine, id);
    if (ret->u.net)
        ret->virtio = net_virtio(ret->u.net);
    return ret->u.net != NULL;
}

static bool find_vsock(const struct machine *machine, const char *id, struct machine_device *ret)
{
    (void)id; /* there is one */
    ret->u.vsock = machine->vsock;
    if (ret->u.vsock)
        ret->virtio = vsock_virtio(ret->u.vsock);
    return ret->u.vsock != NULL;
}

static int save_drive(const struct machine_device *device, struct machine_device_state *ret_state,
                      struct err *err)
{
    return blk_save(device->u.blk, &ret_state->u.blk, err);
}

static int restore_drive(const struct machine_device *device,
                         const struct machine_device_state *state, struct err *err)
{
    return blk_restore(device->u.blk, &state->u.blk, err);
}

static int save_nic(const struct machine_device *device, struct machine_device_state *ret_state,
                    struct err *err)
{
    (void)err; /* cannot fail */
    net_save(device->u.net, &ret_state->u.net);
    return 0;
}

static int restore_nic(const struct machine_device *device,
                       const struct machine_device_state *state, struct err *err)
{
    return net_restore(device->u.net, &state->u.net, err);
}

static int save_vsock(const struct machine_device *device, struct machine_device_state *ret_state,
                      struct err *err)
{
    (void)err; /* cannot fail */
    vsock_save(device->u.vsock, &ret_state->u.vsock);
    return 0;
}

static int restore_vsock(const struct machine_device *device,
                         const struct machine_device_state *state, struct err *err)
{
    return vsock_restore(device->u.vsock, &state->u.vsock, err);
}

const struct machine_class machine_classes[MACHINE_CLASSES_COUNT] = {
    {MACHINE_DEVICE_BLK, "block", drives_count, drive_id, find_drive, save_drive, restore_drive},
    {MACHINE_DEVICE_NET, "net", nics_count, nic_id, find_nic, save_nic, restore_nic},
    {MACHINE_DEVICE_VSOCK, "vsock", vsocks_count, vsock_id, find_vsock, save_vsock, restore_vsock},
};

const struct machine_class *machine_class_of(enum machine_device_kind kind)
{
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++)
        if (machine_classes[i].kind == kind)
            return &machine_classes[i];
    return NULL;
}

uint32_t machine_devices_count(const struct cfg_vm *config)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++)
        count += machine_classes[i].count(config);
    return count;
}

int machine_find_device(const struct machine *machine, const struct machine_class *class,
                        const struct cfg_vm *config, uint32_t idx,
                        struct machine_device *ret_device, struct err *err)
{
    const char *id = class->id(config, idx);
    *ret_device = (struct machine_device){.class = class};
    if (!class->find(machine, id, ret_device))
        return err_set(err, -ENODEV, "%s was not opened", id);
    return 0;
}
