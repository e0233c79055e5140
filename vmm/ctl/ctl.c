/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of all actions: phases, latch, category and handler, one row each; and the walk from an
 * action to its reply. Thread: vmm. Spec: api.md 3.1, 5.
 */
#include "vmm/ctl/ctl_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"
#include "vmm/config/cfg_fields.h"

/* What a load of a VM with one vCPU allocates, in bytes. */
#define LOAD_HEAP_SIZE (72u * 1024)

#define PRE .phases = CTL_PHASES_PRE, .refusal = CTL_AFTER_START
#define POST .phases = CTL_PHASES_POST, .refusal = CTL_BEFORE_START
#define BOOT PRE, .latches = true
#define RULE(prefix, function) .category = (prefix), .handler = (function)

const struct ctl_rule ctl_rules[CTL_ACTIONS_COUNT] = {
    [CTL_MACHINE_CONFIG_GET] = {.phases = CTL_PHASES_ALL},
    [CTL_VM_CONFIG_GET] = {.phases = CTL_PHASES_ALL},
    [CTL_MMDS_GET] = {.phases = CTL_PHASES_ALL, RULE("MMDS error: ", ctl_get_mmds)},
    [CTL_BOOT_SOURCE_PUT] = {BOOT, RULE("Boot source error: ", ctl_put_boot_source)},
    [CTL_MACHINE_CONFIG_PUT] = {BOOT, RULE("Machine config error: ", ctl_put_machine)},
    [CTL_MACHINE_CONFIG_PATCH] = {BOOT, RULE("Machine config error: ", ctl_patch_machine)},
    [CTL_CPU_CONFIG_PUT] = {PRE, RULE("Configure CPU error: ", ctl_put_cpu_config)},
    [CTL_DRIVE_PUT] = {.phases = CTL_PHASES_PRE,
                       .refusal = CTL_NO_PCI,
                       .latches = true,
                       RULE("Drive config error: ", ctl_put_drive)},
    [CTL_NIC_PUT] = {.phases = CTL_PHASES_PRE,
                     .refusal = CTL_NO_PCI,
                     .latches = true,
                     RULE("Network config error: ", ctl_put_nic)},
    [CTL_VSOCK_PUT] = {BOOT, RULE("Vsock config error: ", ctl_put_vsock)},
    [CTL_MMDS_CONFIG_PUT] = {BOOT, RULE("MMMDS config error: ", ctl_put_mmds_config)},
    [CTL_LOGGER_PUT] = {PRE, RULE("Logger error: ", ctl_put_logger)},
    [CTL_METRICS_PUT] = {PRE, RULE("Metrics error: ", ctl_put_metrics)},
    [CTL_SERIAL_PUT] = {PRE, RULE("", ctl_put_serial)},
    [CTL_MMDS_PUT] = {.phases = CTL_PHASES_ALL, RULE("", ctl_put_mmds)},
    [CTL_MMDS_PATCH] = {.phases = CTL_PHASES_ALL, RULE("", ctl_patch_mmds)},
    [CTL_DRIVE_PATCH] = {POST, RULE("Drive config error: ", ctl_patch_drive)},
    [CTL_NIC_PATCH] = {POST, RULE("Network config error: ", ctl_patch_nic)},
    [CTL_DEVICE_DELETE] = {POST, RULE("", ctl_delete_device)},
    [CTL_INSTANCE_START] = {PRE, RULE("Start microvm error: ", ctl_start)},
    [CTL_METRICS_FLUSH] = {POST, RULE("Internal VMM error: ", ctl_flush_metrics)},
    [CTL_CTRL_ALT_DEL] = {POST, RULE("Internal VMM error: ", ctl_send_ctrl_alt_del)},
    [CTL_PAUSE] = {POST, RULE("Internal VMM error: ", ctl_pause)},
    [CTL_RESUME] = {POST, RULE("Internal VMM error: ", ctl_resume)},
    [CTL_SNAPSHOT_CREATE] = {POST, RULE("Create snapshot error: ", ctl_create_snapshot)},
    [CTL_SNAPSHOT_LOAD] = {PRE, RULE("Load snapshot error: ", ctl_load_snapshot)},
    [CTL_EXCLUDED] = {.phases = CTL_PHASES_ALL, RULE("", ctl_refuse_excluded)},
};

static enum ctl_state state_of(enum ctl_phase phase)
{
    switch (phase) {
    case CTL_PHASE_EMPTY:
    case CTL_PHASE_CONFIGURED:
        return CTL_STATE_NOT_STARTED;
    case CTL_PHASE_RUNNING:
        return CTL_STATE_RUNNING;
    case CTL_PHASE_PAUSED:
        return CTL_STATE_PAUSED;
    }
    return CTL_STATE_NOT_STARTED;
}

void ctl_enter(struct ctl *ctl, enum ctl_phase phase)
{
    if (ctl->phase == phase)
        return; /* paused again, say: nothing for the owner to do */
    ctl->phase = phase;
    ctl->options.hooks.state(ctl->options.hooks.ctx, state_of(phase));
}

static int carry_out(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct ctl_rule *rule = &ctl_rules[action->kind];
    if (!(rule->phases & ctl->phase))
        return err_set(err, -EPERM, "%s", rule->refusal);
    if (rule->latches && ctl->phase == CTL_PHASE_EMPTY)
        ctl_enter(ctl, CTL_PHASE_CONFIGURED);
    if (!rule->handler)
        return 0;
    int rc = rule->handler(ctl, action, err);
    if (rc == 0)
        return 0;
    ctl->options.hooks.explain(ctl->options.hooks.ctx, err);
    return err_prefix(err, "%s", rule->category);
}

void ctl_do(void *ctx, struct ctl_action *action, struct ctl_reply *ret_reply)
{
    struct ctl *ctl = ctx;
    *ret_reply = (struct ctl_reply){0};
    free(ctl->metadata); /* of the reply before */
    ctl->metadata = NULL;
    assert(action->kind < CTL_ACTIONS_COUNT);
    ret_reply->code = carry_out(ctl, action, &ret_reply->err);
    ret_reply->vm = ctl->config;
    ret_reply->metadata = ctl->metadata;
    ctl_action_done(action);
}

int ctl_create(const struct ctl_options *options, struct ctl **ret_ctl, struct err *err)
{
    struct ctl *ctl = calloc(1, sizeof(*ctl));
    struct cfg_vm *config = calloc(1, sizeof(*config));
    int rc = 0;
    if (!ctl || !config) {
        rc = err_set(err, -ENOMEM, "no memory for the VM's configuration");
        goto err_free;
    }
    *ctl = (struct ctl){.options = *options, .config = config, .phase = CTL_PHASE_EMPTY};
    cfg_vm_init(config);
    rc = machine_create(&options->machine, &ctl->machine, err);
    if (rc < 0)
        goto err_free;
    *ret_ctl = ctl;
    return 0;

err_free:
    free(config);
    free(ctl);
    return rc;
}

void ctl_prepare(struct ctl *ctl)
{
    machine_prepare(ctl->machine);
}

int ctl_warm(struct ctl *ctl, const struct cfg_machine *shape, struct err *err)
{
    int rc = machine_warm(ctl->machine, shape, err);
    if (rc == 0)
        heap_populate(LOAD_HEAP_SIZE);
    return rc;
}

void ctl_free(struct ctl *ctl)
{
    if (!ctl)
        return;
    snap_watch_free(ctl->watch);
    machine_free(ctl->machine);
    cfg_vm_done(ctl->config);
    cfg_object_done(&cfg_object_serial, &ctl->serial);
    snap_past_done(&ctl->past);
    free(ctl->metadata);
    free(ctl->config);
    free(ctl);
}
