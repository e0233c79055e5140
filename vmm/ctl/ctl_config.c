/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked for before the start: checked whole, opened, and only then kept, so that a refused
 * request changes nothing. Thread: vmm. Spec: api.md 7.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vmm/config/cfg_fields.h"
#include "vmm/config/cfg_refusal.h"
#include "vmm/ctl/ctl_int.h"

/* vsock(7): below it are the hypervisor, this host and the loopback. */
#define CID_GUEST_FIRST 3u

int ctl_put_boot_source(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    struct cfg_boot_source *asked = &action->u.boot_source;
    int rc = cfg_boot_source_validate(asked, err);
    if (rc == 0)
        rc = machine_stage_boot_source(ctl->machine, asked, err);
    if (rc < 0)
        return rc;
    cfg_object_done(&cfg_object_boot_source, &ctl->config->boot_source);
    ctl->config->boot_source = *asked;
    *asked = (struct cfg_boot_source){0};
    return 0;
}

/* A static template was named: the last writer wins. */
static void drop_custom_template(struct cfg_vm *config)
{
    cfg_object_done(&cfg_object_cpu_template, &config->cpu_template);
    config->has_cpu_template = false;
}

int ctl_put_machine(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct cfg_machine *asked = &action->u.machine;
    int rc = cfg_machine_put(asked, &ctl->config->machine, err);
    if (rc == 0 && asked->has_cpu_template)
        drop_custom_template(ctl->config);
    return rc;
}

int ctl_patch_machine(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct cfg_machine_patch *patch = &action->u.machine_patch;
    int rc = cfg_machine_patch_apply(patch, &ctl->config->machine, err);
    if (rc == 0 && patch->machine.has_cpu_template)
        drop_custom_template(ctl->config);
    return rc;
}

int ctl_put_cpu_config(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    struct cfg_vm *config = ctl->config;
    (void)err; /* stored only; checked at the start */
    cfg_object_done(&cfg_object_cpu_template, &config->cpu_template);
    config->cpu_template = action->u.cpu_template;
    config->has_cpu_template = true;
    config->machine.has_cpu_template = false;
    config->machine.cpu_template = CFG_TEMPLATE_NONE;
    action->u.cpu_template = (struct cfg_cpu_template){0};
    return 0;
}

int ctl_open_drive(struct ctl *ctl, const struct cfg_drive *drive, struct err *err)
{
    uint32_t tail_size = 0;
    int rc = machine_stage_drive(ctl->machine, drive, &tail_size, err);
    if (rc == 0 && tail_size)
        log_warn("Disk size of %s is not a multiple of sector size 512; the last %u bytes will "
                 "not be visible to the guest.",
                 drive->path_on_host, tail_size);
    return rc;
}

int ctl_stage_drive(struct ctl *ctl, const struct cfg_drive *drive, struct err *err)
{
    int rc = ctl_open_drive(ctl, drive, err);
    return rc < 0 ? err_prefix(err, "Unable to create the virtio block device: ") : 0;
}

int ctl_put_drive(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    struct cfg_drive *asked = &action->u.drive;
    int rc = cfg_drive_validate(asked, err);
    if (rc == 0)
        rc = cfg_drives_check(ctl->config, asked, err);
    if (rc == 0)
        rc = ctl_stage_drive(ctl, asked, err);
    return rc < 0 ? rc : cfg_drives_put(ctl->config, asked, err);
}

/* What an interface needs for Linux to bring it up (one that the driver chooses, when absent). */
static void warn_of_mac(const struct cfg_nic *nic)
{
    static const uint8_t none[sizeof(nic->guest_mac)];
    bool is_none = memcmp(nic->guest_mac, none, sizeof(none)) == 0;
    if (nic->has_guest_mac && (is_none || nic->guest_mac[0] & 1))
        log_warn("The network interface %s has a MAC address that no interface may have: it is "
                 "zero or a group's.",
                 nic->iface_id);
}

/* The kernel may have chosen a name, "tap%d". What was inherited keeps its "fd:N": the name
 * alone would not open it again. */
static int echo_host_name(const struct ctl *ctl, struct cfg_nic *nic, struct err *err)
{
    const char *name = machine_nic_host_name(ctl->machine, nic->iface_id);
    if (!name || strncmp(nic->host_dev_name, "fd:", 3) == 0 ||
        strcmp(name, nic->host_dev_name) == 0)
        return 0;
    char *copy = strdup(name);
    if (!copy)
        return err_set(err, -ENOMEM, "no memory for the name of interface %s", nic->iface_id);
    free(nic->host_dev_name);
    nic->host_dev_name = copy;
    return 0;
}

int ctl_open_nic(struct ctl *ctl, struct cfg_nic *nic, struct err *err)
{
    int rc = machine_stage_nic(ctl->machine, nic, err);
    return rc < 0 ? rc : echo_host_name(ctl, nic, err);
}

int ctl_stage_nic(struct ctl *ctl, struct cfg_nic *nic, struct err *err)
{
    int rc = ctl_open_nic(ctl, nic, err);
    return rc < 0 ? err_prefix(err, "Could not create the network device: ") : 0;
}

int ctl_stage_vsock(struct ctl *ctl, const struct cfg_vsock *vsock, struct err *err)
{
    int rc = machine_stage_vsock(ctl->machine, vsock, err);
    return rc < 0 ? err_prefix(err, "Cannot create backend for vsock device: ") : 0;
}

static const char *vsock_hint(int code)
{
    switch (-code) {
    case EADDRINUSE:
        return "there is something already, the socket of another VM or what one left behind. End "
               "that VM, remove the file, or name another path: uds_path, of a load in "
               "vsock_override";
    case ENOENT:
    case ENOTDIR:
        return "its directory is not there. Make it, or name another path";
    case EACCES:
    case EPERM:
    case EROFS:
        return "this process may make nothing there. Name another path";
    default:
        return "name another path";
    }
}

int ctl_explain_vsock(const struct cfg_vsock *vsock, struct err *err)
{
    const struct err why = *err;
    size_t len = strlen(vsock->uds_path);
    if (why.code == -ENAMETOOLONG)
        return err_set(err, why.code, "%s: uds_path has %zu bytes, and 107 fit (%s)", why.msg, len,
                       vsock->uds_path);
    return err_set(err, why.code, "%s (%s: %s: %s)", why.msg, vsock->uds_path, err_name(why.code),
                   vsock_hint(why.code));
}

void ctl_abandon_sockets(struct ctl *ctl)
{
    struct err err = ERR_INIT;
    if (machine_unlink_vsock(ctl->machine, &err) < 0)
        log_warn("The vsock's socket stays where it is; remove it before the next try: %s",
                 err.msg);
}

int ctl_put_nic(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    struct cfg_nic *asked = &action->u.nic;
    int rc = cfg_nic_validate(asked, err);
    if (rc == 0)
        rc = cfg_nics_check(ctl->config, asked, err);
    if (rc < 0)
        return rc;
    if (cfg_nics_find(ctl->config, asked->iface_id))
        log_warn("The network interface %s is there already and is replaced; it comes behind the "
                 "others, and without the metadata service until PUT /mmds/config names it again.",
                 asked->iface_id);
    warn_of_mac(asked);
    rc = ctl_stage_nic(ctl, asked, err);
    if (rc == 0)
        rc = cfg_nics_put(ctl->config, asked, err);
    else
        cfg_nics_drop(ctl->config, asked->iface_id); /* its TAP was closed for the new one */
    return rc;
}

int ctl_put_vsock(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    struct cfg_vsock *asked = &action->u.vsock;
    int rc = cfg_vsock_validate(asked, err);
    if (rc < 0)
        return rc;
    if (asked->guest_cid < CID_GUEST_FIRST || asked->guest_cid == UINT32_MAX)
        log_warn("Vsock: a guest cannot have the CID %u; 3 to 4294967294 are for guests.",
                 asked->guest_cid);
    rc = ctl_stage_vsock(ctl, asked, err);
    cfg_vsock_drop(ctl->config); /* gone for the new one, whatever becomes of that */
    if (rc < 0)
        return rc;
    ctl->config->has_vsock = true;
    ctl->config->vsock = *asked;
    *asked = (struct cfg_vsock){0};
    return 0;
}

int ctl_put_mmds_config(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    int rc = cfg_mmds_validate(&action->u.mmds, err);
    if (rc == 0)
        rc = cfg_mmds_check_nics(&action->u.mmds, ctl->config, err);
    if (rc == 0)
        cfg_mmds_put(ctl->config, &action->u.mmds);
    return rc;
}

/* Once the VM runs there has to be an interface with the service. */
static int check_reachable(const struct ctl *ctl, struct err *err)
{
    if (ctl->phase & CTL_PHASES_PRE || ctl->config->has_mmds)
        return 0;
    return err_set(err, -ENODATA, "The MMDS data store is not initialized.");
}

int ctl_get_mmds(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)action; /* says nothing more */
    int rc = check_reachable(ctl, err);
    return rc < 0 ? rc : machine_render_metadata(ctl->machine, &ctl->metadata, err);
}

/* The document is larger than it may be, or something else is wrong: each has its category. */
static int fail_mmds(struct err *err)
{
    return err_prefix(err, err->code == -EMSGSIZE ? "MMDS limit exceeded error: " : "MMDS error: ");
}

int ctl_put_mmds(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct ctl_metadata *asked = &action->u.metadata;
    int rc = check_reachable(ctl, err);
    if (rc == 0)
        rc = machine_put_metadata(ctl->machine, asked->text, asked->len, err);
    return rc < 0 ? fail_mmds(err) : 0;
}

int ctl_patch_mmds(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct ctl_metadata *asked = &action->u.metadata;
    int rc = check_reachable(ctl, err);
    if (rc == 0)
        rc = machine_patch_metadata(ctl->machine, asked->text, asked->len, err);
    return rc < 0 ? fail_mmds(err) : 0;
}

int ctl_load_metadata(struct ctl *ctl, const char *text, size_t len, struct err *err)
{
    return machine_put_metadata(ctl->machine, text, len, err);
}

int ctl_put_serial(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)err; /* stored only; the file is opened at the start */
    cfg_object_done(&cfg_object_serial, &ctl->serial);
    ctl->serial = action->u.serial;
    action->u.serial = (struct cfg_serial){0};
    return 0;
}

int ctl_put_logger(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct ctl_sinks *sinks = &ctl->options.hooks.sinks;
    return sinks->logger(sinks->ctx, &action->u.logger, err);
}

int ctl_put_metrics(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct ctl_sinks *sinks = &ctl->options.hooks.sinks;
    return sinks->metrics(sinks->ctx, &action->u.metrics, err);
}
