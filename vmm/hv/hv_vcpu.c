/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vCPU: its run area, entering the guest, and its state (KVM api.rst 4.x, 5). Thread: vmm
 * while building, then the vCPU's own.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "vmm/hv/hv_int.h"

#define LATE_RING_SIZE 4096u
#define LATE_RING_ENTRIES                                                                          \
    ((LATE_RING_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

int hv_run_size_get(struct hv *hv, struct err *err)
{
    int size = hv_ioctl(hv->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (size < (int)sizeof(struct kvm_run))
        return hv_fail(hv, err, size < 0 ? size : -EINVAL, "KVM_GET_VCPU_MMAP_SIZE", NULL);
    hv->run_size = (size_t)size;
    return 0;
}

int hv_vcpu_create(struct hv_vm *vm, uint32_t idx, struct hv_vcpu *ret_vcpu, struct err *err)
{
    FD_AUTO int fd = hv_ioctl(vm->fd, KVM_CREATE_VCPU, (const void *)(uintptr_t)idx);
    if (fd < 0) {
        (void)hv_fail(vm->hv, err, fd, "KVM_CREATE_VCPU", NULL);
        return err_prefix(err, "vCPU %u: ", idx);
    }
    void *run = mmap(NULL, vm->hv->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (run == MAP_FAILED)
        return err_set(err, -errno, "vCPU %u: mapping its run area failed: %s", idx, ERR_OS(errno));
    *ret_vcpu = (struct hv_vcpu){.vm = vm, .fd = fd_steal(&fd), .idx = idx, .run = run};
    if (vm->hv->tsc_khz != 0)
        return 0;
    int rc = hv_vcpu_get_tsc_khz(ret_vcpu, &vm->hv->tsc_khz, err);
    if (rc < 0)
        hv_vcpu_close(ret_vcpu);
    return rc;
}

void hv_vcpu_close(struct hv_vcpu *vcpu)
{
    if (vcpu->run)
        (void)munmap(vcpu->run, vcpu->vm->hv->run_size); /* our own mapping: cannot fail */
    vcpu->run = NULL;
    fd_close(&vcpu->fd);
}

int hv_vcpu_run(struct hv_vcpu *vcpu, enum hv_exit *ret_exit)
{
    if (ioctl(vcpu->fd, KVM_RUN, NULL) < 0) {
        /* EAGAIN: an AP was woken before its INIT; entering again is what KVM asks for. */
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
        *ret_exit = HV_EXIT_INTERRUPTED;
        return 0;
    }
    switch (vcpu->run->exit_reason) {
    case KVM_EXIT_IO:
        *ret_exit = HV_EXIT_IO;
        break;
    case KVM_EXIT_MMIO:
        *ret_exit = HV_EXIT_MMIO;
        break;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IOAPIC_EOI: /* of a vector that some level-triggered message had: no line waits */
        *ret_exit = HV_EXIT_INTERRUPTED;
        break;
    case KVM_EXIT_HLT:
        *ret_exit = HV_EXIT_HLT;
        break;
    case KVM_EXIT_SHUTDOWN:
        *ret_exit = HV_EXIT_SHUTDOWN;
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        *ret_exit = HV_EXIT_SYSTEM_EVENT;
        break;
    case KVM_EXIT_FAIL_ENTRY:
        *ret_exit = HV_EXIT_FAIL_ENTRY;
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        *ret_exit = HV_EXIT_INTERNAL_ERROR;
        break;
    default:
        *ret_exit = HV_EXIT_OTHER;
        break;
    }
    return 0;
}

/* immediate_exit is a byte that another thread or a signal handler of this one sets. */
static _Atomic uint8_t *immediate_exit(struct hv_vcpu *vcpu)
{
    return (_Atomic uint8_t *)&vcpu->run->immediate_exit;
}

void hv_vcpu_kick(struct hv_vcpu *vcpu)
{
    atomic_store_explicit(immediate_exit(vcpu), 1, memory_order_seq_cst);
}

void hv_vcpu_unkick(struct hv_vcpu *vcpu)
{
    atomic_store_explicit(immediate_exit(vcpu), 0, memory_order_seq_cst);
}

int hv_vcpu_io(struct hv_vcpu *vcpu, struct hv_access *ret_access)
{
    const struct kvm_run *run = vcpu->run;
    /* Written by the kernel, not by the guest; checked all the same, since it indexes the run
     * area. */
    uint64_t size = (uint64_t)run->io.size * run->io.count;
    if (run->io.data_offset > vcpu->vm->hv->run_size ||
        size > vcpu->vm->hv->run_size - run->io.data_offset)
        return -EIO;
    *ret_access = (struct hv_access){
        .addr = run->io.port,
        .data = (uint8_t *)vcpu->run + run->io.data_offset,
        .len = run->io.size,
        .count = run->io.count,
        .is_write = run->io.direction == KVM_EXIT_IO_OUT,
    };
    return 0;
}

int hv_vcpu_mmio(struct hv_vcpu *vcpu, struct hv_access *ret_access)
{
    struct kvm_run *run = vcpu->run;
    if (run->mmio.len > sizeof(run->mmio.data))
        return -EIO;
    *ret_access = (struct hv_access){
        .addr = run->mmio.phys_addr,
        .data = run->mmio.data,
        .len = run->mmio.len,
        .count = 1,
        .is_write = run->mmio.is_write != 0,
    };
    return 0;
}

/* The kernel's ring of late writes: a page of the run area, the same one in every vCPU's. */
static struct kvm_coalesced_mmio_ring *late_ring(struct hv_vcpu *vcpu)
{
    static_assert(LATE_RING_ENTRIES == HV_LATE_WRITES_MAX, "KVM_COALESCED_MMIO_MAX");
    size_t off = (size_t)KVM_COALESCED_MMIO_PAGE_OFFSET * LATE_RING_SIZE;
    if (vcpu->vm->hv->run_size < off + LATE_RING_SIZE)
        return NULL;
    return (struct kvm_coalesced_mmio_ring *)(void *)((uint8_t *)vcpu->run + off);
}

int hv_vcpu_late_write(struct hv_vcpu *vcpu, struct hv_late_write *ret_write)
{
    struct kvm_coalesced_mmio_ring *ring = late_ring(vcpu);
    if (!ring)
        return 0;
    uint32_t first = ring->first; /* ours alone */
    /* Acquire: the entry is there when the kernel's index says so. */
    uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
    if (first == last)
        return 0;
    if (first >= HV_LATE_WRITES_MAX || last >= HV_LATE_WRITES_MAX)
        return -EIO;
    const struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[first];
    struct hv_late_write write = {.addr = entry->phys_addr, .len = entry->len};
    if (write.len > sizeof(write.data))
        return -EIO;
    memcpy(write.data, entry->data, write.len);
    /* Release: from here on the kernel may write the entry anew. */
    __atomic_store_n(&ring->first, (first + 1) % HV_LATE_WRITES_MAX, __ATOMIC_RELEASE);
    *ret_write = write;
    return 1;
}

/* One state ioctl with its name in the error. */
static int state_call(struct hv_vcpu *vcpu, unsigned long request, const void *arg,
                      const char *call, const struct hv_need *need, struct err *err)
{
    int rc = hv_ioctl(vcpu->fd, request, arg);
    if (rc >= 0)
        return rc;
    (void)hv_fail(vcpu->vm->hv, err, rc, call, need);
    return err_prefix(err, "vCPU %u: ", vcpu->idx);
}

int hv_vcpu_set_cpuid(struct hv_vcpu *vcpu, const struct hv_cpuid *cpuid, struct err *err)
{
    return state_call(vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2", HV_NEED(KVM_CAP_EXT_CPUID),
                      err);
}

int hv_vcpu_get_regs(struct hv_vcpu *vcpu, struct kvm_regs *ret_regs, struct err *err)
{
    return state_call(vcpu, KVM_GET_REGS, ret_regs, "KVM_GET_REGS", NULL, err);
}

int hv_vcpu_set_regs(struct hv_vcpu *vcpu, const struct kvm_regs *regs, struct err *err)
{
    return state_call(vcpu, KVM_SET_REGS, regs, "KVM_SET_REGS", NULL, err);
}

int hv_vcpu_get_sregs(struct hv_vcpu *vcpu, struct kvm_sregs *ret_sregs, struct err *err)
{
    return state_call(vcpu, KVM_GET_SREGS, ret_sregs, "KVM_GET_SREGS", NULL, err);
}

int hv_vcpu_set_sregs(struct hv_vcpu *vcpu, const struct kvm_sregs *sregs, struct err *err)
{
    return state_call(vcpu, KVM_SET_SREGS, sregs, "KVM_SET_SREGS", NULL, err);
}

int hv_vcpu_set_fpu(struct hv_vcpu *vcpu, const struct kvm_fpu *fpu, struct err *err)
{
    return state_call(vcpu, KVM_SET_FPU, fpu, "KVM_SET_FPU", NULL, err);
}

int hv_vcpu_get_lapic(struct hv_vcpu *vcpu, struct kvm_lapic_state *ret_lapic, struct err *err)
{
    return state_call(vcpu, KVM_GET_LAPIC, ret_lapic, "KVM_GET_LAPIC", HV_NEED(KVM_CAP_IRQCHIP),
                      err);
}

int hv_vcpu_set_lapic(struct hv_vcpu *vcpu, const struct kvm_lapic_state *lapic, struct err *err)
{
    return state_call(vcpu, KVM_SET_LAPIC, lapic, "KVM_SET_LAPIC", HV_NEED(KVM_CAP_IRQCHIP), err);
}

int hv_vcpu_set_mp_state(struct hv_vcpu *vcpu, uint32_t mp_state, struct err *err)
{
    struct kvm_mp_state state = {.mp_state = mp_state};
    return state_call(vcpu, KVM_SET_MP_STATE, &state, "KVM_SET_MP_STATE", HV_NEED(KVM_CAP_MP_STATE),
                      err);
}

int hv_vcpu_set_msrs(struct hv_vcpu *vcpu, const struct hv_msrs *msrs, struct err *err)
{
    int done = state_call(vcpu, KVM_SET_MSRS, msrs, "KVM_SET_MSRS", NULL, err);
    if (done < 0)
        return done;
    if ((uint32_t)done < msrs->count)
        return err_set(err, -EINVAL, "vCPU %u: KVM does not take MSR 0x%x with the value 0x%llx",
                       vcpu->idx, msrs->entries[done].index,
                       (unsigned long long)msrs->entries[done].data);
    return 0;
}

int hv_vcpu_get_msrs(struct hv_vcpu *vcpu, struct hv_msrs *msrs, struct err *err)
{
    int done = state_call(vcpu, KVM_GET_MSRS, msrs, "KVM_GET_MSRS", NULL, err);
    if (done < 0)
        return done;
    if ((uint32_t)done < msrs->count)
        return err_set(err, -EINVAL, "vCPU %u: KVM cannot read MSR 0x%x", vcpu->idx,
                       msrs->entries[done].index);
    return 0;
}

int hv_vcpu_kvmclock_ctrl(struct hv_vcpu *vcpu, struct err *err)
{
    return state_call(vcpu, KVM_KVMCLOCK_CTRL, NULL, "KVM_KVMCLOCK_CTRL", NULL, err);
}

int hv_vcpu_get_tsc_khz(struct hv_vcpu *vcpu, uint32_t *ret_khz, struct err *err)
{
    int khz = state_call(vcpu, KVM_GET_TSC_KHZ, NULL, "KVM_GET_TSC_KHZ",
                         HV_NEED(KVM_CAP_GET_TSC_KHZ), err);
    if (khz < 0)
        return khz;
    *ret_khz = (uint32_t)khz;
    return 0;
}
