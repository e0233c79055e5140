/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pausing exactly: vCPU threads leave the guest and park, late writes are carried out, devices
 * finish what is in flight and publish it. After that nothing touches guest memory until the
 * machine goes on. Thread: vmm; vCPU threads park themselves. Spec: api.md 5.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/log.h"
#include "base/metrics.h"
#include "vmm/machine/machine_int.h"

void machine_park_vcpu(struct vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    (void)pthread_mutex_lock(&machine->park_lock);
    machine->parked_count++;
    (void)pthread_cond_broadcast(&machine->park_changed);
    while (atomic_load_explicit(&machine->pausing, memory_order_acquire) &&
           !atomic_load_explicit(&machine->stopping, memory_order_acquire))
        (void)pthread_cond_wait(&machine->park_changed, &machine->park_lock);
    machine->parked_count--;
    (void)pthread_mutex_unlock(&machine->park_lock);
}

void machine_vcpu_left(struct machine *machine)
{
    (void)pthread_mutex_lock(&machine->park_lock);
    machine->left_count++;
    (void)pthread_cond_broadcast(&machine->park_changed);
    (void)pthread_mutex_unlock(&machine->park_lock);
}

void machine_unpark_vcpus(struct machine *machine)
{
    (void)pthread_mutex_lock(&machine->park_lock);
    atomic_store_explicit(&machine->pausing, false, memory_order_release);
    (void)pthread_mutex_unlock(&machine->park_lock);
    /* Behind the lock, or whoever wakes would sleep again for it. */
    (void)pthread_cond_broadcast(&machine->park_changed);
}

static int park_vcpus(struct machine *machine, uint64_t until_ns)
{
    const struct timespec until = clock_timespec(until_ns);
    int rc = 0;
    atomic_store_explicit(&machine->pausing, true, memory_order_release);
    for (uint32_t i = 0; i < machine->vcpus_count; i++)
        machine_kick_vcpu(&machine->vcpus[i]);
    (void)pthread_mutex_lock(&machine->park_lock);
    while (rc == 0 && machine->parked_count + machine->left_count < machine->vcpus_count)
        rc = pthread_cond_clockwait(&machine->park_changed, &machine->park_lock, CLOCK_MONOTONIC,
                                    &until);
    (void)pthread_mutex_unlock(&machine->park_lock);
    return -rc;
}

/* Tells the guest's clock that time passed without it, so that its watchdogs stay calm. */
void machine_tell_clock(struct vcpu *vcpu)
{
    struct err err = ERR_INIT;
    if (hv_vcpu_kvmclock_ctrl(&vcpu->hv, &err) < 0)
        metric_inc(&metrics.vcpu.kvmclock_ctrl_fails); /* a guest without kvmclock */
}

static int quiesce_devices(struct machine *machine, uint64_t until_ns, struct err *err)
{
    for (uint32_t i = 0; i < machine->placed_count; i++) {
        int rc = virtio_dev_pause(machine->placed[i].device.virtio, until_ns);
        if (rc < 0)
            return err_set(err, rc, "device at 0x%llx could not finish what is in flight: %s",
                           (unsigned long long)machine->placed[i].base, ERR_OS(rc));
    }
    return 0;
}

int machine_pause(struct machine *machine, struct err *err)
{
    if (machine->paused)
        return 0;
    uint64_t until_ns = clock_mono_ns() + MACHINE_PAUSE_MAX_NS;
    int rc = park_vcpus(machine, until_ns);
    if (rc < 0)
        rc = err_set(err, rc, "the vCPUs did not stop within 30 s");
    if (rc == 0 && machine->vcpus_count > 0)
        rc = machine_serve_late_writes(&machine->vcpus[0], err);
    if (rc == 0)
        rc = quiesce_devices(machine, until_ns, err);
    if (rc < 0) {
        machine_resume(machine);
        return rc;
    }
    if (machine->serial)
        serial_pause_input(machine->serial, true);
    for (uint32_t i = 0; i < machine->vcpus_count; i++)
        machine_tell_clock(&machine->vcpus[i]);
    machine->paused = true;
    return 0;
}

void machine_begin_paused(struct machine *machine)
{
    atomic_store_explicit(&machine->pausing, true, memory_order_release);
    machine->paused = true;
}

void machine_resume(struct machine *machine)
{
    machine->paused = false;
    for (uint32_t i = 0; i < machine->placed_count; i++)
        virtio_dev_resume(machine->placed[i].device.virtio);
    machine_unpark_vcpus(machine);
    if (machine->serial)
        serial_pause_input(machine->serial, false);
}
