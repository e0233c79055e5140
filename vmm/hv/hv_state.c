/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State out of KVM and into it (KVM api.rst 4): one vCPU, then the VM. The orders are KVM's: what
 * is read may deliver what is pending, and what is written may be looked at by what is written
 * next. Thread: vmm, while no vCPU is in KVM_RUN.
 */
#include "vmm/hv/hv_state.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/hv/hv_int.h"

#define MSR_TSC 0x10u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u
#define KVM_CLOCK_ENABLED 1u
#define TSC_FAR (1ull << 36) /* ticks: more than ten seconds of any CPU */
#define DR6_FRESH 0xffff0ff0u
#define DR7_FRESH 0x400u
#define MSR_TSC_DEADLINE 0x6e0u
/* A guest's frequency is set only when the host's differs by more (devices.md 10). */
#define TSC_TOLERANCE_PPM 250u

int hv_msr_index_list(const struct hv *hv, struct hv_msr_list *ret_list, struct err *err)
{
    static_assert(offsetof(struct kvm_msr_list, indices) == offsetof(struct hv_msr_list, indexes),
                  "KVM's head");
    ret_list->count = HV_STATE_MSRS_MAX;
    int rc = hv_ioctl(hv->fd, KVM_GET_MSR_INDEX_LIST, ret_list);
    return rc < 0 ? hv_fail(hv, err, rc, "KVM_GET_MSR_INDEX_LIST", NULL) : 0;
}

/* One step: a call on one part of the state. */
struct step {
    const char *call;
    unsigned long request;
    size_t off; /* of its argument in struct hv_vcpu_state */
};
#define STEP(request, member)                                                                      \
    {                                                                                              \
#request, request, offsetof(struct hv_vcpu_state, member)                                  \
    }

static int run_steps(struct hv_vcpu *vcpu, const struct step *steps, size_t count,
                     const char *state, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = hv_ioctl(vcpu->fd, steps[i].request, state + steps[i].off);
        if (rc >= 0)
            continue;
        (void)hv_fail(vcpu->vm->hv, err, rc, steps[i].call, NULL);
        return err_prefix(err, "vCPU %u: ", vcpu->idx);
    }
    return 0;
}

/* As many MSRs a call as KVM takes: those from `done` on, behind `before` that are there. Returns
 * how many. */
static uint32_t msrs_chunk(const struct hv_vcpu_state *state, uint32_t done, uint32_t before,
                           struct hv_msrs *inout_chunk)
{
    uint32_t left = state->msrs_count - done;
    uint32_t taken = left < HV_MSRS_MAX - before ? left : HV_MSRS_MAX - before;
    inout_chunk->count = before + taken;
    inout_chunk->padding = 0;
    memcpy(inout_chunk->entries + before, state->msrs + done, taken * sizeof(*state->msrs));
    return taken;
}

static int read_msrs(struct hv_vcpu *vcpu, struct hv_vcpu_state *state, struct err *err)
{
    struct hv_msrs chunk;
    for (uint32_t done = 0; done < state->msrs_count; done += chunk.count) {
        (void)msrs_chunk(state, done, 0, &chunk); /* chunk.count */
        int rc = hv_vcpu_get_msrs(vcpu, &chunk, err);
        if (rc < 0)
            return rc;
        memcpy(state->msrs + done, chunk.entries, chunk.count * sizeof(*state->msrs));
    }
    return 0;
}

static const struct kvm_msr_entry *find_tsc(const struct hv_vcpu_state *state)
{
    for (uint32_t i = 0; i < state->msrs_count; i++)
        if (state->msrs[i].index == MSR_TSC)
            return &state->msrs[i];
    return NULL;
}

/*
 * Before Linux 6.7 KVM takes a TSC within a second of what it expects, which counts from the VM's
 * making, for a wish to run in step, and ignores the value: a guest that had run for less than a
 * second would wait for its timers until then. One value that is far away first, and the next is
 * taken as it is; the other vCPUs are in step with this one. Returns how many entries that takes.
 */
static uint32_t part_tsc(const struct hv_vcpu *vcpu, const struct hv_vcpu_state *state,
                         struct hv_msrs *ret_chunk)
{
    const struct kvm_msr_entry *tsc = find_tsc(state);
    if (vcpu->idx != 0 || !tsc)
        return 0;
    ret_chunk->entries[0] = (struct kvm_msr_entry){.index = MSR_TSC, .data = tsc->data + TSC_FAR};
    return 1;
}

static int write_msrs(struct hv_vcpu *vcpu, const struct hv_vcpu_state *state, struct err *err)
{
    struct hv_msrs chunk;
    uint32_t before = part_tsc(vcpu, state, &chunk);
    for (uint32_t done = 0, taken; done < state->msrs_count; done += taken, before = 0) {
        taken = msrs_chunk(state, done, before, &chunk);
        int rc = hv_vcpu_set_msrs(vcpu, &chunk, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The list's MSRs, TSC_DEADLINE behind all others. */
static void list_msrs(const struct hv_msr_list *list, struct hv_vcpu_state *state)
{
    bool has_deadline = false;
    state->msrs_count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->indexes[i] == MSR_TSC_DEADLINE)
            has_deadline = true;
        else
            state->msrs[state->msrs_count++] = (struct kvm_msr_entry){.index = list->indexes[i]};
    }
    if (has_deadline)
        state->msrs[state->msrs_count++] = (struct kvm_msr_entry){.index = MSR_TSC_DEADLINE};
}

/* A deadline that has passed reads as 0, and its interrupt may be lost between the two reads: it is
 * then due at once, as with the reference. */
static void arm_passed_deadline(struct hv_vcpu_state *state)
{
    if (state->msrs_count == 0)
        return;
    struct kvm_msr_entry *last = &state->msrs[state->msrs_count - 1];
    if (last->index != MSR_TSC_DEADLINE || last->data != 0)
        return;
    const struct kvm_msr_entry *tsc = find_tsc(state);
    if (tsc)
        last->data = tsc->data;
}

static int save_xsave(struct hv_vcpu *vcpu, struct hv_vcpu_state *state, struct err *err)
{
    const struct hv *hv = vcpu->vm->hv;
    int size = hv_ioctl(vcpu->vm->fd, KVM_CHECK_EXTENSION, (const void *)KVM_CAP_XSAVE2);
    bool has_two = size > (int)HV_STATE_XSAVE_SIZE_MIN;
    state->xsave_size = has_two ? (uint32_t)size : HV_STATE_XSAVE_SIZE_MIN;
    if (state->xsave_size > HV_STATE_XSAVE_SIZE_MAX)
        return err_set(err, -E2BIG, "vCPU %u: its extended state has %u bytes, more than %u",
                       vcpu->idx, state->xsave_size, HV_STATE_XSAVE_SIZE_MAX);
    int rc = hv_ioctl(vcpu->fd, has_two ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, state->xsave);
    if (rc < 0)
        return hv_fail(hv, err, rc, has_two ? "KVM_GET_XSAVE2" : "KVM_GET_XSAVE",
                       HV_NEED(KVM_CAP_XSAVE));
    return 0;
}

/* What the CPU has of VMs inside the guest is not kept: with it only half of the state would be. */
static int refuse_nested(struct hv_vcpu *vcpu, struct err *err)
{
    struct kvm_nested_state nested = {.size = sizeof(nested)};
    int rc = hv_ioctl(vcpu->fd, KVM_GET_NESTED_STATE, &nested);
    bool has_more = rc == -E2BIG; /* VMX or SVM is on */
    bool is_inside = rc == 0 && nested.flags & KVM_STATE_NESTED_GUEST_MODE;
    if (has_more || is_inside)
        return err_set(err, -EOPNOTSUPP,
                       "vCPU %u: the guest runs VMs of its own, which a snapshot cannot keep; stop "
                       "them first",
                       vcpu->idx);
    bool has_none = rc >= 0 || rc == -EINVAL || rc == -ENOTTY; /* a KVM without nesting: no call */
    return has_none ? 0 : hv_fail(vcpu->vm->hv, err, rc, "KVM_GET_NESTED_STATE", NULL);
}

int hv_vcpu_save(struct hv_vcpu *vcpu, const struct hv_msr_list *list,
                 struct hv_vcpu_state *ret_state, struct err *err)
{
    /* The first delivers what is pending, and so comes before all others. */
    static const struct step first[] = {
        STEP(KVM_GET_MP_STATE, mp_state),
        STEP(KVM_GET_REGS, regs),
        STEP(KVM_GET_SREGS, sregs),
    };
    static const struct step second[] = {
        STEP(KVM_GET_XCRS, xcrs),
        STEP(KVM_GET_DEBUGREGS, debugregs),
        STEP(KVM_GET_LAPIC, lapic),
        STEP(KVM_GET_CPUID2, cpuid),
    };
    static const struct step last[] = {STEP(KVM_GET_VCPU_EVENTS, events)};
    const char *state = (const char *)ret_state;

    static_assert(sizeof(struct kvm_mp_state) == sizeof(ret_state->mp_state), "KVM's struct");
    memset(ret_state, 0, sizeof(*ret_state));
    ret_state->cpuid.count = HV_CPUID_ENTRIES_MAX;
    int rc = refuse_nested(vcpu, err);
    if (rc == 0)
        rc = run_steps(vcpu, first, ARRAY_LEN(first), state, err);
    if (rc == 0)
        rc = save_xsave(vcpu, ret_state, err);
    if (rc == 0)
        rc = run_steps(vcpu, second, ARRAY_LEN(second), state, err);
    if (rc == 0)
        rc = hv_vcpu_get_tsc_khz(vcpu, &ret_state->tsc_khz, err);
    if (rc < 0)
        return rc;
    list_msrs(list, ret_state);
    rc = read_msrs(vcpu, ret_state, err);
    arm_passed_deadline(ret_state);
    return rc < 0 ? rc : run_steps(vcpu, last, ARRAY_LEN(last), state, err);
}

/* The guest counts time by the frequency that it was told: a host of another one has to scale. */
static int restore_tsc_khz(struct hv_vcpu *vcpu, uint32_t khz, struct err *err)
{
    uint32_t host_khz = vcpu->vm->hv->tsc_khz;
    uint64_t apart = khz > host_khz ? khz - host_khz : host_khz - khz;
    if (khz == 0 || apart * 1000000 <= (uint64_t)host_khz * TSC_TOLERANCE_PPM)
        return 0;
    int rc = hv_ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (const void *)(uintptr_t)khz);
    if (rc < 0)
        return err_set(err, rc,
                       "vCPU %u: the guest's TSC runs at %u kHz and this host's at %u kHz, which "
                       "its KVM cannot scale: %s",
                       vcpu->idx, khz, host_khz, ERR_OS(rc));
    return 0;
}

/* Is it what a fresh vCPU has? Then a call is saved. */
static bool is_fresh_mp_state(const struct hv_vcpu *vcpu, const struct hv_vcpu_state *state)
{
    return vcpu->idx == 0 && state->mp_state == KVM_MP_STATE_RUNNABLE;
}

static bool is_fresh_debugregs(const struct hv_vcpu_state *state)
{
    static const struct kvm_debugregs fresh = {.dr6 = DR6_FRESH, .dr7 = DR7_FRESH};
    return memcmp(&state->debugregs, &fresh, sizeof(fresh)) == 0;
}

/* XCR0 alone, and of it the x87 bit. */
static bool is_fresh_xcrs(const struct hv_vcpu_state *state)
{
    static const struct kvm_xcrs fresh = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = 1}}};
    return memcmp(&state->xcrs, &fresh, sizeof(fresh)) == 0;
}

static int restore_debugregs(struct hv_vcpu *vcpu, const struct hv_vcpu_state *state,
                             struct err *err)
{
    static const struct step steps[] = {STEP(KVM_SET_DEBUGREGS, debugregs)};
    if (is_fresh_debugregs(state))
        return 0;
    return run_steps(vcpu, steps, ARRAY_LEN(steps), (const char *)state, err);
}

int hv_vcpu_restore(struct hv_vcpu *vcpu, const struct hv_vcpu_state *state, struct err *err)
{
    static const struct step first[] = {
        STEP(KVM_SET_CPUID2, cpuid),
        STEP(KVM_SET_REGS, regs),
        STEP(KVM_SET_SREGS, sregs),
        STEP(KVM_SET_XSAVE, xsave),
    };
    static const struct step xcrs[] = {STEP(KVM_SET_XCRS, xcrs)};
    static const struct step lapic[] = {STEP(KVM_SET_LAPIC, lapic)};
    static const struct step last[] = {STEP(KVM_SET_VCPU_EVENTS, events)};

    int rc = restore_tsc_khz(vcpu, state->tsc_khz, err);
    if (rc == 0 && !is_fresh_mp_state(vcpu, state))
        rc = hv_vcpu_set_mp_state(vcpu, state->mp_state, err);
    if (rc == 0)
        rc = restore_debugregs(vcpu, state, err);
    if (rc == 0)
        rc = run_steps(vcpu, first, ARRAY_LEN(first), (const char *)state, err);
    if (rc == 0 && !is_fresh_xcrs(state))
        rc = run_steps(vcpu, xcrs, ARRAY_LEN(xcrs), (const char *)state, err);
    if (rc == 0)
        rc = run_steps(vcpu, lapic, ARRAY_LEN(lapic), (const char *)state, err);
    if (rc == 0)
        rc = write_msrs(vcpu, state, err);
    return rc < 0 ? rc : run_steps(vcpu, last, ARRAY_LEN(last), (const char *)state, err);
}

uint64_t hv_vcpu_state_clock(const struct hv_vcpu_state *state)
{
    for (uint32_t i = 0; i < state->msrs_count; i++)
        if (state->msrs[i].index == MSR_KVM_SYSTEM_TIME_NEW)
            return state->msrs[i].data & KVM_CLOCK_ENABLED ? state->msrs[i].data & ~1ull : 0;
    return 0;
}

static int save_full(struct hv_vm *vm, struct hv_vm_state *state, struct err *err)
{
    for (uint32_t i = 0; i < HV_STATE_CHIPS_COUNT; i++) {
        state->chips[i].chip_id = i;
        int rc = hv_ioctl(vm->fd, KVM_GET_IRQCHIP, &state->chips[i]);
        if (rc < 0)
            return hv_fail(vm->hv, err, rc, "KVM_GET_IRQCHIP", NULL);
    }
    int rc = hv_ioctl(vm->fd, KVM_GET_PIT2, &state->pit);
    return rc < 0 ? hv_fail(vm->hv, err, rc, "KVM_GET_PIT2", NULL) : 0;
}

int hv_vm_save(struct hv_vm *vm, struct hv_vm_state *ret_state, struct err *err)
{
    memset(ret_state, 0, sizeof(*ret_state));
    ret_state->irqchip = vm->irqchip;
    int rc = hv_ioctl(vm->fd, KVM_GET_CLOCK, &ret_state->clock);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_GET_CLOCK", HV_NEED(KVM_CAP_ADJUST_CLOCK));
    return vm->irqchip == HV_IRQCHIP_FULL ? save_full(vm, ret_state, err) : 0;
}

bool hv_vm_state_has_realtime(const struct hv_vm_state *state)
{
    return state->clock.flags & KVM_CLOCK_REALTIME;
}

static int restore_full(struct hv_vm *vm, const struct hv_vm_state *state, struct err *err)
{
    for (uint32_t i = 0; i < HV_STATE_CHIPS_COUNT; i++) {
        int rc = hv_ioctl(vm->fd, KVM_SET_IRQCHIP, &state->chips[i]);
        if (rc < 0)
            return hv_fail(vm->hv, err, rc, "KVM_SET_IRQCHIP", NULL);
    }
    int rc = hv_ioctl(vm->fd, KVM_SET_PIT2, &state->pit);
    return rc < 0 ? hv_fail(vm->hv, err, rc, "KVM_SET_PIT2", NULL) : 0;
}

int hv_vm_restore(struct hv_vm *vm, const struct hv_vm_state *state, bool realtime, struct err *err)
{
    struct kvm_clock_data clock = {.clock = state->clock.clock};
    if (realtime) {
        clock.flags = KVM_CLOCK_REALTIME;
        clock.realtime = state->clock.realtime;
    }
    int rc = hv_ioctl(vm->fd, KVM_SET_CLOCK, &clock);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_SET_CLOCK", HV_NEED(KVM_CAP_ADJUST_CLOCK));
    return vm->irqchip == HV_IRQCHIP_FULL ? restore_full(vm, state, err) : 0;
}

int hv_vm_dirty_log(struct hv_vm *vm, uint32_t slot, uint64_t *words, struct err *err)
{
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = words};
    int rc = hv_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
    return rc < 0 ? hv_fail(vm->hv, err, rc, "KVM_GET_DIRTY_LOG", NULL) : 0;
}
