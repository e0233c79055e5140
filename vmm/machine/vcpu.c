/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs: boot state on the vmm thread, then one thread each that enters the guest and serves its
 * port and MMIO exits. They are stopped by a flag, immediate_exit and a signal, never cancelled.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/metrics.h"
#include "vmm/machine/machine_int.h"

/* Deep enough for a device handler and a signal frame with AVX-512 state; touched pages only cost
 * memory. */
#define VCPU_STACK_SIZE (128u * 1024)
/* One string-IO exit carries at most a page (KVM api.rst, KVM_EXIT_IO). */
#define VCPU_IO_COUNT_MAX 4096u

/* Memory that is not there looks like anything to the guest and to KVM: what it looked like is
 * kept. */
static void blame_memory(const struct vcpu *vcpu, struct err *err)
{
    const struct machine *machine = vcpu->machine;
    struct err seen = *err;
    if (gmem_is_reserved(machine->gmem))
        IGNORE_RESULT(err_set(err, -EFAULT,
                              "the guest ran before its memory was loaded, on address space that "
                              "--warm had reserved: a fault of this program, please report it (%s)",
                              seen.msg));
    if (gmem_file_is_cut(machine->gmem))
        IGNORE_RESULT(err_set(
            err, MACHINE_MEMORY_CUT,
            "the memory file %s was cut while the VM lived: the guest's memory is gone. Nobody may "
            "change that file before all of its VMs have ended (%s)",
            machine->memory_path ? machine->memory_path : "", seen.msg));
}

/* The guest could not go on: ends the VM with the reason. */
static void die(struct vcpu *vcpu, struct err *err)
{
    metric_inc(&metrics.vcpu.failures);
    blame_memory(vcpu, err);
    machine_report_end(vcpu->machine, MACHINE_END_ERROR, err);
}

static int serve_io(struct vcpu *vcpu, struct err *err)
{
    struct hv_access io;
    if (hv_vcpu_io(&vcpu->hv, &io) < 0 || io.count > VCPU_IO_COUNT_MAX)
        return err_set(err, -EIO, "vCPU %u: KVM reported a port access of impossible size",
                       vcpu->hv.idx);
    metric_inc(io.is_write ? &metrics.vcpu.exit_io_out : &metrics.vcpu.exit_io_in);
    const struct bus *bus = &vcpu->machine->pio;
    for (uint32_t i = 0; i < io.count; i++) {
        uint8_t *data = io.data + (size_t)i * io.len;
        bool taken = io.is_write ? bus_write(bus, io.addr, data, io.len)
                                 : bus_read(bus, io.addr, data, io.len);
        if (!taken)
            log_guest_warn("guest %s port 0x%llx (%u bytes), where no device is",
                           io.is_write ? "wrote" : "read", (unsigned long long)io.addr, io.len);
    }
    return 0;
}

static int take_late_write(struct vcpu *vcpu, struct hv_late_write *ret_write)
{
    struct machine *machine = vcpu->machine;
    (void)pthread_mutex_lock(&machine->late_lock);
    int rc = hv_vcpu_late_write(&vcpu->hv, ret_write);
    (void)pthread_mutex_unlock(&machine->late_lock);
    return rc;
}

/*
 * Carries out the writes that the kernel kept. An exit comes after all that its vCPU wrote before
 * it, so these come first; a ring's worth at most, since other vCPUs may go on filling it.
 */
int machine_serve_late_writes(struct vcpu *vcpu, struct err *err)
{
    struct hv_late_write write;
    for (uint32_t i = 0; i < HV_LATE_WRITES_MAX; i++) {
        int rc = take_late_write(vcpu, &write);
        if (rc < 0)
            return err_set(err, rc, "vCPU %u: KVM's ring of coalesced writes is damaged",
                           vcpu->hv.idx);
        if (rc == 0)
            break;
        (void)bus_write(&vcpu->machine->mmio, write.addr, write.data, write.len); /* as asked for */
    }
    return 0;
}

static int serve_mmio(struct vcpu *vcpu, struct err *err)
{
    struct hv_access mmio;
    int rc = machine_serve_late_writes(vcpu, err);
    if (rc < 0)
        return rc;
    if (hv_vcpu_mmio(&vcpu->hv, &mmio) < 0)
        return err_set(err, -EIO, "vCPU %u: KVM reported an MMIO access of impossible size",
                       vcpu->hv.idx);
    metric_inc(mmio.is_write ? &metrics.vcpu.exit_mmio_write : &metrics.vcpu.exit_mmio_read);
    const struct bus *bus = &vcpu->machine->mmio;
    bool taken = mmio.is_write ? bus_write(bus, mmio.addr, mmio.data, mmio.len)
                               : bus_read(bus, mmio.addr, mmio.data, mmio.len);
    if (!taken)
        log_guest_warn("guest %s address 0x%llx (%u bytes), where neither memory nor device is",
                       mmio.is_write ? "wrote" : "read", (unsigned long long)mmio.addr, mmio.len);
    return 0;
}

static int fail_run(const struct vcpu *vcpu, int rc, struct err *err)
{
    return err_set(err, rc, "vCPU %u: KVM_RUN failed: %s", vcpu->hv.idx, ERR_OS(rc));
}

static int serve_exit(struct vcpu *vcpu, enum hv_exit why, struct err *err)
{
    switch (why) {
    case HV_EXIT_INTERRUPTED:
        /* Before the flags are looked at again: a kick follows the flag that it is for. One that
         * nobody took back, of a pause that was given up, would keep the guest out for ever. */
        hv_vcpu_unkick(&vcpu->hv);
        return 0;
    case HV_EXIT_IO:
        return serve_io(vcpu, err);
    case HV_EXIT_MMIO:
        return serve_mmio(vcpu, err);
    case HV_EXIT_SHUTDOWN:
        return err_set(err, -EIO, "vCPU %u: the guest shut down by a triple fault", vcpu->hv.idx);
    case HV_EXIT_HLT:
        return err_set(err, -EIO, "vCPU %u: KVM handed a HLT to the monitor", vcpu->hv.idx);
    case HV_EXIT_SYSTEM_EVENT:
        return err_set(err, -EIO, "vCPU %u: the guest asked for shutdown or reset through KVM",
                       vcpu->hv.idx);
    case HV_EXIT_FAIL_ENTRY:
    case HV_EXIT_INTERNAL_ERROR:
    case HV_EXIT_OTHER:
        return hv_vcpu_explain_exit(&vcpu->hv, err);
    }
    return err_set(err, -EIO, "vCPU %u: exit of unknown kind", vcpu->hv.idx);
}

/* Has KVM finish what the last exit began, so that the vCPU's state is whole: a register that is
 * still to be read is in no state. What exits on the way is served. */
static int settle(struct vcpu *vcpu, struct err *err)
{
    enum hv_exit why = HV_EXIT_OTHER;
    int rc = 0;
    while (rc == 0 && why != HV_EXIT_INTERRUPTED) {
        hv_vcpu_kick(&vcpu->hv);
        rc = hv_vcpu_run(&vcpu->hv, &why);
        rc = rc < 0 ? fail_run(vcpu, rc, err) : serve_exit(vcpu, why, err);
    }
    return rc;
}

/* Sleeps while the machine is paused, if it is. has_run: KVM may have begun something. Returns 1:
 * it was, or stops; 0; or negative. */
static int rest(struct vcpu *vcpu, bool has_run, struct err *err)
{
    /* Who ends a pause to stop says so before: nobody enters the guest between the two. */
    if (!atomic_load_explicit(&vcpu->machine->pausing, memory_order_acquire))
        return atomic_load_explicit(&vcpu->machine->stopping, memory_order_acquire);
    int rc = has_run ? settle(vcpu, err) : 0;
    if (rc < 0)
        return rc;
    machine_park_vcpu(vcpu);
    return 1;
}

static int enter(struct vcpu *vcpu, struct err *err)
{
    enum hv_exit why;
    int rc = hv_vcpu_run(&vcpu->hv, &why);
    return rc < 0 ? fail_run(vcpu, rc, err) : serve_exit(vcpu, why, err);
}

static void *vcpu_main(void *arg)
{
    struct vcpu *vcpu = arg;
    struct machine *machine = vcpu->machine;
    struct err err = ERR_INIT;
    bool has_run = false;

    log_name_thread(vcpu->name);
    thread_enter(&machine->options.vcpu_entry);
    while (!atomic_load_explicit(&machine->stopping, memory_order_acquire)) {
        int rc = rest(vcpu, has_run, &err);
        if (rc == 0) {
            if (!has_run)
                metrics_phase_reached(METRICS_PHASE_FIRST_RUN);
            has_run = true;
            rc = enter(vcpu, &err);
        }
        if (rc < 0) {
            die(vcpu, &err);
            break;
        }
    }
    machine_vcpu_left(machine);
    return NULL;
}

int machine_create_vcpus(struct machine *machine, const struct cfg_machine *config, struct err *err)
{
    machine->vcpus = calloc(config->vcpu_count, sizeof(*machine->vcpus));
    if (!machine->vcpus)
        return err_set(err, -ENOMEM, "no memory for %u vCPUs", config->vcpu_count);
    for (uint32_t i = 0; i < config->vcpu_count; i++) {
        struct vcpu *vcpu = &machine->vcpus[i];
        vcpu->machine = machine;
        vcpu->hv.fd = -1;
        (void)snprintf(vcpu->name, sizeof(vcpu->name), "fc_vcpu %u", i);
        int rc = hv_vcpu_create(&machine->vm, i, &vcpu->hv, err);
        if (rc < 0)
            return rc;
        machine->vcpus_count = i + 1;
    }
    return 0;
}

/* What all vCPUs share while they are being set up; on the heap, since the lists are large. */
struct setup {
    struct hv_cpuid cpuid;
    struct hv_msrs msrs;
    struct kvm_lapic_state lapic;
    struct arch_cpu_config cpu;
};

static int setup_one(struct vcpu *vcpu, struct setup *setup, const struct arch_kernel *kernel,
                     struct err *err)
{
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};
    struct kvm_fpu fpu = {0};

    arch_cpuid_set_index(&setup->cpuid, vcpu->hv.idx, &setup->cpu);
    int rc = hv_vcpu_set_cpuid(&vcpu->hv, &setup->cpuid, err);
    if (rc < 0)
        return rc;
    arch_boot_msrs(&setup->msrs);
    rc = arch_template_msrs(&vcpu->hv, &setup->cpu, &setup->msrs, err);
    if (rc == 0)
        rc = hv_vcpu_set_msrs(&vcpu->hv, &setup->msrs, err);
    if (rc == 0)
        rc = hv_vcpu_get_sregs(&vcpu->hv, &sregs, err);
    if (rc < 0)
        return rc;
    arch_boot_regs(kernel, &regs, &sregs);
    arch_boot_fpu(&fpu);
    rc = hv_vcpu_set_sregs(&vcpu->hv, &sregs, err);
    if (rc == 0)
        rc = hv_vcpu_set_regs(&vcpu->hv, &regs, err);
    if (rc == 0)
        rc = hv_vcpu_set_fpu(&vcpu->hv, &fpu, err);
    if (rc == 0)
        rc = hv_vcpu_get_lapic(&vcpu->hv, &setup->lapic, err);
    if (rc < 0)
        return rc;
    arch_boot_lapic(&setup->lapic);
    return hv_vcpu_set_lapic(&vcpu->hv, &setup->lapic, err);
}

static int setup_shared(struct machine *machine, const struct cfg_vm *config, struct setup *setup,
                        struct err *err)
{
    struct arch_host_cpu host;
    arch_host_cpu_read(&host);
    setup->cpu = (struct arch_cpu_config){
        .tsc_khz = machine->hv.tsc_khz,
        .vcpus_count = machine->vcpus_count,
        .smt = config->machine.smt,
        .static_template =
            config->machine.has_cpu_template ? config->machine.cpu_template : CFG_TEMPLATE_NONE,
        .custom_template = config->has_cpu_template ? &config->cpu_template : NULL,
    };
    int rc = hv_supported_cpuid(&machine->hv, &setup->cpuid, err);
    if (rc == 0)
        rc = arch_cpuid_prepare(&setup->cpuid, &host, &setup->cpu, err);
    return rc;
}

int machine_setup_vcpus(struct machine *machine, const struct cfg_vm *config,
                        const struct arch_kernel *kernel, struct err *err)
{
    struct setup *setup = calloc(1, sizeof(*setup));
    if (!setup)
        return err_set(err, -ENOMEM, "no memory for the vCPUs' boot state");
    int rc = setup_shared(machine, config, setup, err);
    for (uint32_t i = 0; rc == 0 && i < machine->vcpus_count; i++)
        rc = setup_one(&machine->vcpus[i], setup, kernel, err);
    free(setup);
    return rc;
}

static void on_kick_signal(int signum)
{
    (void)signum; /* its only work is to interrupt KVM_RUN */
}

/* SIGRTMIN kicks vCPUs; 35 is what musl calls SIGRTMIN and must be harmless too (cli.md D). */
int machine_install_kick_signals(struct err *err)
{
    struct sigaction action = {.sa_handler = on_kick_signal};
    if (sigaction(SIGRTMIN, &action, NULL) < 0 || sigaction(35, &action, NULL) < 0)
        return err_set(err, -errno, "installing the vCPU kick signal: %s", ERR_OS(errno));
    return 0;
}

int machine_start_vcpus(struct machine *machine, struct err *err)
{
    pthread_attr_t attr;
    int rc = -pthread_attr_init(&attr);
    if (rc == 0)
        rc = -pthread_attr_setstacksize(&attr, VCPU_STACK_SIZE);
    for (uint32_t i = 0; rc == 0 && i < machine->vcpus_count; i++) {
        struct vcpu *vcpu = &machine->vcpus[i];
        /* A thread is born with its maker's name: clients look for it once the VM runs. */
        (void)prctl(PR_SET_NAME, vcpu->name); /* 15 bytes at most: cannot fail */
        rc = -pthread_create(&vcpu->thread, &attr, vcpu_main, vcpu);
        if (rc < 0)
            break;
        vcpu->started = true;
    }
    (void)prctl(PR_SET_NAME, machine->thread_name);
    (void)pthread_attr_destroy(&attr);
    if (rc < 0)
        return err_set(err, rc, "starting a vCPU thread: %s", ERR_OS(rc));
    return 0;
}

void machine_kick_vcpu(struct vcpu *vcpu)
{
    if (!vcpu->started)
        return;
    hv_vcpu_kick(&vcpu->hv);
    (void)pthread_kill(vcpu->thread, SIGRTMIN); /* ESRCH: it left by itself */
}

void machine_stop_vcpus(struct machine *machine)
{
    atomic_store_explicit(&machine->stopping, true, memory_order_release);
    machine_unpark_vcpus(machine);
    for (uint32_t i = 0; i < machine->vcpus_count; i++)
        machine_kick_vcpu(&machine->vcpus[i]);
    for (uint32_t i = 0; i < machine->vcpus_count; i++) {
        struct vcpu *vcpu = &machine->vcpus[i];
        if (vcpu->started)
            (void)pthread_join(vcpu->thread, NULL); /* our own thread, joined once */
        vcpu->started = false;
    }
}

void machine_close_vcpus(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->vcpus_count; i++)
        hv_vcpu_close(&machine->vcpus[i].hv);
    free(machine->vcpus);
    machine->vcpus = NULL;
    machine->vcpus_count = 0;
}
