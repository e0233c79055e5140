/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When metrics are written: as the VM starts to run, every minute while it runs, and whenever it is
 * asked for. Thread: vmm. Spec: cli.md F.1.
 */
#pragma once

#include <stdbool.h>

#include "vmm/ctl/action.h"
#include "vmm/loop/loop.h"

/* In the caller's storage. */
struct app_flush {
    struct loop *loop;
    struct loop_timer timer;
    bool has_run; /* the VM */
};

/* loop: borrowed; outlives the flush's use. */
void app_flush_init(struct app_flush *flush, struct loop *loop);

/* The VM has entered the state: its first run is told at once, and the minutes are counted while it
 * runs. */
void app_flush_on_state(struct app_flush *flush, enum ctl_state state);

/* Writes now; what fails is logged. */
void app_flush_now(void);
