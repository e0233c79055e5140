/* SPDX-License-Identifier: Apache-2.0 */
/* When metrics are written. Thread: vmm; its struct and the process's metrics. Spec: cli.md F.1. */
#include "vmm/app/flush.h"

#include "base/log.h"
#include "base/metrics.h"

#define PERIOD_NS (60 * NS_PER_S)

void app_flush_now(void)
{
    struct err err = ERR_INIT;
    if (metrics_flush(&err) < 0)
        log_error("%s", err.msg);
}

static void on_timer(struct loop_timer *timer)
{
    struct app_flush *flush = timer->ctx;
    app_flush_now();
    loop_timer_arm(flush->loop, timer, PERIOD_NS);
}

void app_flush_init(struct app_flush *flush, struct loop *loop)
{
    *flush = (struct app_flush){.loop = loop, .timer = {.fn = on_timer, .ctx = flush}};
}

void app_flush_on_state(struct app_flush *flush, enum ctl_state state)
{
    loop_timer_disarm(flush->loop, &flush->timer);
    if (state == CTL_STATE_NOT_STARTED)
        return;
    if (!flush->has_run)
        app_flush_now();
    flush->has_run = true;
    if (state == CTL_STATE_PAUSED)
        return;
    loop_timer_arm(flush->loop, &flush->timer, PERIOD_NS);
}
