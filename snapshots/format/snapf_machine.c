/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a machine's state, member by member, in the order of the file. What KVM keeps are
 * Linux's uapi structs byte for byte: a stable ABI, so nothing is parsed between file and ioctl.
 * All but those have fixed widths of ours. Single thread.
 */
#include <assert.h>
#include <stddef.h>

#include "snapshots/format/snapf_int.h"

static_assert(sizeof(struct kvm_regs) == 144, "KVM's ABI");
static_assert(sizeof(struct kvm_sregs) == 312, "KVM's ABI");
static_assert(sizeof(struct kvm_debugregs) == 128, "KVM's ABI");
static_assert(sizeof(struct kvm_xcrs) == 392, "KVM's ABI");
static_assert(sizeof(struct kvm_lapic_state) == 1024, "KVM's ABI");
static_assert(sizeof(struct kvm_vcpu_events) == 64, "KVM's ABI");
static_assert(sizeof(struct kvm_cpuid_entry2) == 40, "KVM's ABI");
static_assert(sizeof(struct kvm_msr_entry) == 16, "KVM's ABI");
static_assert(sizeof(struct kvm_clock_data) == 48, "KVM's ABI");
static_assert(sizeof(struct kvm_irqchip) == 520, "KVM's ABI");
static_assert(sizeof(struct kvm_pit_state2) == 112, "KVM's ABI");
static_assert(offsetof(struct kvm_sregs, apic_base) == 272, "KVM's ABI");
static_assert(offsetof(struct kvm_clock_data, realtime) == 16, "KVM's ABI");

#define UAPI(code, member) snapf_bytes(code, &(member), sizeof(member))

void snapf_code_vm(struct snapf_code *code, struct hv_vm_state *state)
{
    uint32_t irqchip = state->irqchip;
    snapf_u32_max(code, &irqchip, HV_IRQCHIP_FULL);
    state->irqchip = irqchip == HV_IRQCHIP_FULL ? HV_IRQCHIP_FULL : HV_IRQCHIP_SPLIT;
    UAPI(code, state->clock);
    if (state->irqchip != HV_IRQCHIP_FULL)
        return;
    for (uint32_t i = 0; i < HV_STATE_CHIPS_COUNT; i++)
        UAPI(code, state->chips[i]);
    UAPI(code, state->pit);
}

void snapf_code_vcpu(struct snapf_code *code, struct hv_vcpu_state *state)
{
    snapf_u32(code, &state->mp_state);
    snapf_u32(code, &state->tsc_khz);
    UAPI(code, state->regs);
    UAPI(code, state->sregs);
    UAPI(code, state->debugregs);
    UAPI(code, state->xcrs);
    UAPI(code, state->lapic);
    UAPI(code, state->events);
    snapf_u32_max(code, &state->cpuid.count, HV_CPUID_ENTRIES_MAX);
    snapf_bytes(code, state->cpuid.entries, state->cpuid.count * sizeof(state->cpuid.entries[0]));
    snapf_u32_max(code, &state->msrs_count, HV_STATE_MSRS_MAX);
    snapf_bytes(code, state->msrs, state->msrs_count * sizeof(state->msrs[0]));
    snapf_u32_max(code, &state->xsave_size, HV_STATE_XSAVE_SIZE_MAX);
    snapf_bytes_trimmed(code, state->xsave, state->xsave_size);
}

static void code_serial(struct snapf_code *code, struct serial_state *state)
{
    snapf_u8(code, &state->ier);
    snapf_u8(code, &state->fcr);
    snapf_u8(code, &state->lcr);
    snapf_u8(code, &state->mcr);
    snapf_u8(code, &state->scr);
    snapf_u8(code, &state->dll);
    snapf_u8(code, &state->dlm);
    snapf_u8(code, &state->lsr_errors);
    snapf_bool(code, &state->thre_pending);
    snapf_u32_max(code, &state->rx_count, SERIAL_STATE_RX_SIZE);
    snapf_bytes(code, state->rx, sizeof(state->rx));
}

static void code_ioapic(struct snapf_code *code, struct ioapic_state *state)
{
    snapf_u32(code, &state->id);
    snapf_u32_max(code, &state->pins_count, IOAPIC_STATE_PINS_MAX);
    snapf_u8(code, &state->index);
    for (uint32_t i = 0; i < IOAPIC_STATE_PINS_MAX; i++)
        snapf_u64(code, &state->entries[i]);
}

void snapf_code_legacy(struct snapf_code *code, struct machine_state *state)
{
    code_serial(code, &state->serial);
    code_ioapic(code, &state->ioapic);
    snapf_u64(code, &state->generation.place.vmgenid_base);
    snapf_u64(code, &state->generation.place.vmclock_base);
    snapf_u32(code, &state->generation.vmgenid_gsi);
    snapf_u32(code, &state->generation.vmclock_gsi);
}

void snapf_code_memory(struct snapf_code *code, struct machine_state *state)
{
    snapf_u32_max(code, &state->regions_count, GMEM_REGIONS_MAX);
    for (uint32_t i = 0; i < state->regions_count; i++) {
        snapf_u64(code, &state->regions[i].base.v);
        snapf_u64(code, &state->regions[i].size);
    }
}

static void code_queue(struct snapf_code *code, struct vq_state *state)
{
    snapf_u16(code, &state->setup.size);
    snapf_bool(code, &state->setup.ready);
    snapf_u64(code, &state->setup.desc);
    snapf_u64(code, &state->setup.avail);
    snapf_u64(code, &state->setup.used);
    snapf_u16(code, &state->next_avail);
    snapf_u16(code, &state->next_used);
    snapf_u16(code, &state->signalled);
}

static void code_virtio(struct snapf_code *code, struct virtio_state *state)
{
    snapf_u32(code, &state->device_type);
    snapf_u32_max(code, &state->queues_count, VIRTIO_QUEUES_MAX);
    snapf_u64(code, &state->acked);
    snapf_u32(code, &state->config_generation);
    snapf_u32(code, &state->irq_bits);
    snapf_bool(code, &state->active);
    snapf_bool(code, &state->broken);
    for (uint32_t i = 0; i < state->queues_count; i++)
        code_queue(code, &state->queues[i]);
    snapf_u32(code, &state->status);
    snapf_u32(code, &state->device_features_sel);
    snapf_u32(code, &state->driver_features_sel);
    snapf_u32(code, &state->queue_sel);
}

static void code_limiter(struct snapf_code *code, struct rl_state *state)
{
    for (uint32_t i = 0; i < RL_KINDS_COUNT; i++) {
        struct rl_bucket_state *bucket = &state->buckets[i];
        snapf_bool(code, &bucket->limited);
        snapf_u64(code, &bucket->size);
        snapf_u64(code, &bucket->burst_initial);
        snapf_u64(code, &bucket->burst);
        snapf_u64(code, &bucket->refill_time_ms);
        snapf_u64(code, &bucket->budget);
        snapf_u64(code, &bucket->elapsed_ns);
    }
}

static void code_blk(struct snapf_code *code, struct blk_state *state)
{
    code_limiter(code, &state->rl);
    snapf_u64(code, &state->file_size);
    snapf_bool(code, &state->read_only);
}

static void code_net(struct snapf_code *code, struct net_state *state)
{
    code_limiter(code, &state->rx_rl);
    code_limiter(code, &state->tx_rl);
}

static void code_vsock(struct snapf_code *code, struct vsock_state *state)
{
    snapf_u32(code, &state->last_local_port);
    snapf_bool(code, &state->reset_pending);
    snapf_u16(code, &state->reset_avail_idx);
}

void snapf_code_device(struct snapf_code *code, struct machine_device_state *state)
{
    uint32_t kind = state->kind;
    snapf_u32(code, &kind);
    snapf_u64(code, &state->base);
    snapf_u32(code, &state->gsi);
    code_virtio(code, &state->virtio);
    switch (kind) {
    case MACHINE_DEVICE_BLK:
        state->kind = MACHINE_DEVICE_BLK;
        code_blk(code, &state->u.blk);
        break;
    case MACHINE_DEVICE_NET:
        state->kind = MACHINE_DEVICE_NET;
        code_net(code, &state->u.net);
        break;
    case MACHINE_DEVICE_VSOCK:
        state->kind = MACHINE_DEVICE_VSOCK;
        code_vsock(code, &state->u.vsock);
        break;
    default:
        code->bad = true;
        break;
    }
}
