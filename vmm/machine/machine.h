/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assembles and runs one VM: memory, irqchip, devices and their placement, vCPU threads. Thread:
 * everything here is called on the vmm thread; vCPU threads are the machine's own. Lock order of
 * the whole monitor: bus (read-only while the guest runs), virtio device, IOAPIC, routes, disk
 * ring. late_lock is taken alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "vmm/config/cfg.h"
#include "vmm/hv/hv.h"
#include "vmm/loop/loop.h"

struct machine;

/* How the guest's life ended; an error of any vCPU wins over OK (cli.md C). */
enum machine_end {
    MACHINE_END_NONE,
    MACHINE_END_OK,    /* guest reset or power-off */
    MACHINE_END_ERROR, /* triple fault, KVM error, impossible instruction */
};

struct machine_options {
    const char *kvm_path; /* "/dev/kvm" */
    enum hv_irqchip irqchip;
    bool boot_timer;    /* log the guest's boot time (cli.md G) */
    int console_in_fd;  /* serial input, or FD_NONE; borrowed */
    int console_out_fd; /* serial output; borrowed, non-blocking */
    const struct clock *clock;
    struct loop *loop;
    /* The guest ended; called once, on the loop. reason: the sentence of an error; borrowed. */
    void (*on_end)(void *ctx, enum machine_end end, const struct err *reason);
    void *ctx;
};

/* Makes an empty machine: nothing is opened. options: copied; what they point at outlives the
 * machine.
 * Returns 0 with *ret_machine (machine_free) or -errno. */
MUST_CHECK int machine_create(const struct machine_options *options, struct machine **ret_machine,
                              struct err *err);

/* Stops vCPUs, finishes requests, flushes Writeback disks, frees everything. NULL is fine. */
void machine_free(struct machine *machine);

/*
 * Opens the kernel and initrd now (their content is looked at when the machine is built).
 * Replaces an earlier boot source only on success. Sentences of api.md, PUT /boot-source, without
 * the category.
 */
MUST_CHECK int machine_stage_boot_source(struct machine *machine,
                                         const struct cfg_boot_source *boot, struct err *err);

/*
 * Opens a drive now. The same id replaces the staged one, which survives a failure. Sentences of
 * api.md, PUT /drives, without the category. ret_tail_size: bytes behind the last whole sector,
 * which the guest cannot see.
 */
MUST_CHECK int machine_stage_drive(struct machine *machine, const struct cfg_drive *drive,
                                   uint32_t *ret_tail_size, struct err *err);

/* Builds the VM from what was staged and from `config`: everything up to the first guest entry. */
MUST_CHECK int machine_build(struct machine *machine, const struct cfg_vm *config, struct err *err);

/* Starts the vCPU threads: the guest runs when this returns. */
MUST_CHECK int machine_start(struct machine *machine, struct err *err);

/* Stops and joins the vCPU threads; not started is fine. */
void machine_stop(struct machine *machine);

/* Presses Ctrl+Alt+Del. */
MUST_CHECK int machine_ctrl_alt_del(struct machine *machine, struct err *err);
