/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole configuration: its defaults, its release, and the rules of its objects beyond shape and
 * type (api.md 7). Thread: the one that builds the config.
 */
#include "vmm/config/cfg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "base/clock.h"
#include "vmm/config/cfg_fields.h"
#include "vmm/config/cfg_text.h"

#define IFNAME_MAX_LEN 15u    /* IFNAMSIZ without the NUL */
#define SUN_PATH_MAX_LEN 107u /* sockaddr_un.sun_path without the NUL */

int cfg_fail_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory while storing the configuration");
}

void cfg_vm_init(struct cfg_vm *vm)
{
    memset(vm, 0, sizeof(*vm));
    cfg_object_init(&cfg_object_machine, &vm->machine);
    cfg_object_init(&cfg_object_boot_source, &vm->boot_source);
    cfg_object_init(&cfg_object_vsock, &vm->vsock);
    cfg_object_init(&cfg_object_mmds, &vm->mmds);
    cfg_object_init(&cfg_object_logger, &vm->logger);
    cfg_object_init(&cfg_object_metrics, &vm->metrics);
    cfg_object_init(&cfg_object_cpu_template, &vm->cpu_template);
}

void cfg_vm_done(struct cfg_vm *vm)
{
    for (uint32_t i = 0; i < vm->drives_count; i++)
        cfg_object_done(&cfg_object_drive, &vm->drives[i]);
    for (uint32_t i = 0; i < vm->nics_count; i++)
        cfg_object_done(&cfg_object_nic, &vm->nics[i]);
    free(vm->drives);
    free(vm->nics);
    cfg_object_done(&cfg_object_machine, &vm->machine);
    cfg_object_done(&cfg_object_boot_source, &vm->boot_source);
    cfg_object_done(&cfg_object_vsock, &vm->vsock);
    cfg_object_done(&cfg_object_mmds, &vm->mmds);
    cfg_object_done(&cfg_object_logger, &vm->logger);
    cfg_object_done(&cfg_object_metrics, &vm->metrics);
    cfg_object_done(&cfg_object_cpu_template, &vm->cpu_template);
    cfg_vm_init(vm);
}

bool cfg_bucket_limits(const struct cfg_bucket *bucket)
{
    uint64_t refill_time_ns;

    return bucket->present && bucket->size > 0 && bucket->refill_time_ms > 0 &&
           ck_mul(bucket->refill_time_ms, NS_PER_MS, &refill_time_ns);
}

int cfg_machine_validate(const struct cfg_machine *machine, struct err *err)
{
    uint8_t vcpus = machine->vcpu_count;

    if (vcpus == 0 || vcpus > CFG_VCPUS_MAX || (machine->smt && vcpus != 1 && vcpus % 2 != 0))
        return err_set(
            err, -EINVAL,
            "The number of vCPUs must be greater than 0, less than %u and must be 1 or an even "
            "number if SMT is enabled.",
            CFG_VCPUS_MAX);
    bool even = machine->huge_pages != CFG_HUGE_PAGES_NONE;
    if (machine->mem_size_mib == 0 || (even && machine->mem_size_mib % 2 != 0))
        return err_set(
            err, -EINVAL,
            "The memory size (MiB) is either 0, or not a multiple of the configured page size.");
    return 0;
}

int cfg_boot_source_validate(const struct cfg_boot_source *boot, struct err *err)
{
    if (boot->boot_args && strlen(boot->boot_args) >= CFG_CMDLINE_MAX_SIZE)
        return err_set(err, -EINVAL,
                       "The kernel command line is invalid: Invalid cmdline capacity provided.");
    return 0;
}

int cfg_drive_validate(const struct cfg_drive *drive, struct err *err)
{
    if ((drive->path_on_host != NULL) == (drive->socket != NULL))
        return err_set(err, -EINVAL,
                       "Unable to create the virtio block device: Invalid block config.");
    if (drive->socket)
        return err_set(err, -EINVAL,
                       "Unable to create the virtio block device: vhost-user block devices are not "
                       "supported by this VMM; use path_on_host.");
    return 0;
}

int cfg_nic_validate(const struct cfg_nic *nic, struct err *err)
{
    if (nic->has_mtu && nic->mtu < CFG_MTU_MIN)
        return err_set(err, -EINVAL,
                       "Could not create the network device: MTU %u is out of range [%u, %u]",
                       nic->mtu, CFG_MTU_MIN, (unsigned)UINT16_MAX);
    if (strlen(nic->host_dev_name) > IFNAME_MAX_LEN)
        return err_set(
            err, -EINVAL,
            "Could not create the network device: Open tap device failed: Invalid interface name");
    return 0;
}

int cfg_vsock_validate(const struct cfg_vsock *vsock, struct err *err)
{
    if (strlen(vsock->uds_path) > SUN_PATH_MAX_LEN)
        return err_set(
            err, -EINVAL,
            "Cannot create backend for vsock device: Error binding to the host-side Unix socket: "
            "path must be shorter than SUN_LEN");
    return 0;
}

int cfg_mmds_validate(const struct cfg_mmds *mmds, struct err *err)
{
    uint8_t addr[4];

    int ret =
        cfg_ipv4_parse(mmds->ipv4_address ? mmds->ipv4_address : CFG_MMDS_IPV4_DEFAULT, addr, err);
    if (ret < 0)
        return ret;
    if (addr[0] != 169 || addr[1] != 254 || addr[2] == 0 || addr[2] == 255)
        return err_set(err, -EINVAL, "The MMDS IPv4 address is not link local.");
    if (mmds->network_interfaces_count == 0)
        return err_set(
            err, -EINVAL,
            "The list of network interface IDs that allow forwarding MMDS requests is empty.");
    return 0;
}

void cfg_mmds_address(const struct cfg_mmds *mmds, uint8_t ret_addr[static 4])
{
    struct err err = ERR_INIT;
    IGNORE_RESULT(cfg_ipv4_parse(mmds->ipv4_address ? mmds->ipv4_address : CFG_MMDS_IPV4_DEFAULT,
                                 ret_addr, &err)); /* checked */
}

int cfg_mmds_check_nics(const struct cfg_mmds *mmds, const struct cfg_vm *vm, struct err *err)
{
    for (uint32_t i = 0; i < mmds->network_interfaces_count; i++) {
        if (!cfg_nics_find(vm, mmds->network_interfaces[i]))
            return err_set(
                err, -EINVAL,
                "The list of network interface IDs provided contains at least one ID that does "
                "not correspond to any existing network interface.");
    }
    return 0;
}
