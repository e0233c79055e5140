/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state file's content in which every member has a value of its own, and a file's bytes as a test
 * changes them. Single thread.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "snapshots/format/snapf.h"
#include "tests/unit/unit.h"

/* The header's parts, in bytes from the beginning. */
#define FILE_MAJOR_OFF 8u
#define FILE_MINOR_OFF 12u
#define FILE_SECTIONS_COUNT_OFF 20u
#define FILE_LEN_OFF 24u
#define FILE_SUM_OFF 32u
#define FILE_HEADER_SIZE 48u

struct bytes {
    uint8_t *data; /* heap */
    size_t len;
};

/* Numbers that do not come twice; the same ones in each run. */
struct distinct {
    uint64_t state;
};

static inline uint64_t distinct_next(struct distinct *distinct)
{
    distinct->state ^= distinct->state << 13;
    distinct->state ^= distinct->state >> 7;
    distinct->state ^= distinct->state << 17;
    return distinct->state;
}

/* No byte is 0. */
static inline void distinct_fill(struct distinct *distinct, void *bytes, size_t len)
{
    uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(distinct_next(distinct) % 255 + 1);
}

#define FILL(distinct, member) distinct_fill(distinct, &(member), sizeof(member))

static inline void fill_vm(struct distinct *from, enum hv_irqchip irqchip, struct hv_vm_state *vm)
{
    vm->irqchip = irqchip;
    FILL(from, vm->clock);
    if (irqchip != HV_IRQCHIP_FULL)
        return;
    FILL(from, vm->chips);
    FILL(from, vm->pit);
}

static inline void fill_vcpu(struct distinct *from, struct hv_vcpu_state *vcpu)
{
    FILL(from, vcpu->mp_state);
    FILL(from, vcpu->tsc_khz);
    FILL(from, vcpu->regs);
    FILL(from, vcpu->sregs);
    FILL(from, vcpu->debugregs);
    FILL(from, vcpu->xcrs);
    FILL(from, vcpu->lapic);
    FILL(from, vcpu->events);
    vcpu->cpuid.count = 3;
    distinct_fill(from, vcpu->cpuid.entries, 3 * sizeof(vcpu->cpuid.entries[0]));
    vcpu->msrs_count = 5;
    distinct_fill(from, vcpu->msrs, 5 * sizeof(vcpu->msrs[0]));
    vcpu->xsave_size = HV_STATE_XSAVE_SIZE_MIN + 64;
    distinct_fill(from, vcpu->xsave, 700); /* zeros behind */
}

static inline void fill_serial(struct distinct *from, struct serial_state *serial)
{
    FILL(from, serial->ier);
    FILL(from, serial->fcr);
    FILL(from, serial->lcr);
    FILL(from, serial->mcr);
    FILL(from, serial->scr);
    FILL(from, serial->dll);
    FILL(from, serial->dlm);
    FILL(from, serial->lsr_errors);
    serial->thre_pending = true;
    serial->rx_count = 63;
    FILL(from, serial->rx);
}

static inline void fill_limiter(struct distinct *from, struct rl_state *rl)
{
    for (uint32_t i = 0; i < RL_KINDS_COUNT; i++) {
        rl->buckets[i].limited = true;
        FILL(from, rl->buckets[i].size);
        FILL(from, rl->buckets[i].burst_initial);
        FILL(from, rl->buckets[i].burst);
        FILL(from, rl->buckets[i].refill_time_ms);
        FILL(from, rl->buckets[i].budget);
        FILL(from, rl->buckets[i].elapsed_ns);
    }
}

static inline void fill_queue(struct distinct *from, struct vq_state *queue)
{
    FILL(from, queue->setup.size);
    queue->setup.ready = true;
    FILL(from, queue->setup.desc);
    FILL(from, queue->setup.avail);
    FILL(from, queue->setup.used);
    FILL(from, queue->next_avail);
    FILL(from, queue->next_used);
    FILL(from, queue->signalled);
}

static inline void fill_virtio(struct distinct *from, uint32_t queues_count,
                               struct virtio_state *virtio)
{
    FILL(from, virtio->device_type);
    virtio->queues_count = queues_count;
    FILL(from, virtio->acked);
    FILL(from, virtio->config_generation);
    FILL(from, virtio->irq_bits);
    virtio->active = true;
    virtio->broken = true;
    for (uint32_t i = 0; i < queues_count; i++)
        fill_queue(from, &virtio->queues[i]);
    FILL(from, virtio->status);
    FILL(from, virtio->device_features_sel);
    FILL(from, virtio->driver_features_sel);
    FILL(from, virtio->queue_sel);
}

/* One of each kind. */
static inline void fill_devices(struct distinct *from, struct machine_state *machine)
{
    static const enum machine_device_kind kinds[] = {MACHINE_DEVICE_BLK, MACHINE_DEVICE_NET,
                                                     MACHINE_DEVICE_VSOCK};
    machine->devices_count = ARRAY_LEN(kinds);
    for (uint32_t i = 0; i < ARRAY_LEN(kinds); i++) {
        machine->devices[i].kind = kinds[i];
        FILL(from, machine->devices[i].base);
        FILL(from, machine->devices[i].gsi);
        fill_virtio(from, i + 1, &machine->devices[i].virtio);
    }
    fill_limiter(from, &machine->devices[0].u.blk.rl);
    FILL(from, machine->devices[0].u.blk.file_size);
    machine->devices[0].u.blk.read_only = true;
    fill_limiter(from, &machine->devices[1].u.net.rx_rl);
    fill_limiter(from, &machine->devices[1].u.net.tx_rl);
    FILL(from, machine->devices[2].u.vsock.last_local_port);
    machine->devices[2].u.vsock.reset_pending = true;
    FILL(from, machine->devices[2].u.vsock.reset_avail_idx);
}

static inline void fill_machine(struct distinct *from, enum hv_irqchip irqchip,
                                struct machine_state *machine)
{
    fill_vm(from, irqchip, &machine->vm);
    machine->vcpus_count = 2;
    machine->vcpus = calloc(2, sizeof(*machine->vcpus));
    assert_non_null(machine->vcpus);
    for (uint32_t i = 0; i < 2; i++)
        fill_vcpu(from, &machine->vcpus[i]);
    fill_serial(from, &machine->serial);
    FILL(from, machine->ioapic.id);
    machine->ioapic.pins_count = 23;
    FILL(from, machine->ioapic.index);
    FILL(from, machine->ioapic.entries);
    FILL(from, machine->generation.place.vmgenid_base);
    FILL(from, machine->generation.place.vmclock_base);
    FILL(from, machine->generation.vmgenid_gsi);
    FILL(from, machine->generation.vmclock_gsi);
    machine->regions_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        FILL(from, machine->regions[i].base.v);
        FILL(from, machine->regions[i].size);
    }
    fill_devices(from, machine);
}

static inline void fill_bases(struct distinct *from, struct snapf_bases *bases)
{
    bases->count = 2;
    for (uint32_t i = 0; i < bases->count; i++) {
        struct snapf_base *base = &bases->bases[i];
        base->drive_idx = 5 + i;
        base->is_file = i == 1;
        FILL(from, base->size);
        FILL(from, base->dev);
        FILL(from, base->ino);
        FILL(from, base->mtime_ns);
        FILL(from, base->ctime_ns);
        FILL(from, base->digest);
    }
}

/* Every member has a value that no other has; padding stays 0. */
static inline void content_fill(enum hv_irqchip irqchip, struct snapf_content *content)
{
    struct distinct from = {0x5eed0001};
    memset(content, 0, sizeof(*content));
    content->info.build = strdup("mayfly 0.1.0");
    content->info.kernel = strdup("6.1.0");
    content->info.cpu = strdup("");
    content->config = malloc(300);
    assert_non_null(content->config);
    content->config_len = 300;
    distinct_fill(&from, content->config, content->config_len);
    fill_machine(&from, irqchip, &content->machine);
    content->samples_count = 3;
    for (uint32_t i = 0; i < content->samples_count; i++) {
        FILL(&from, content->samples[i].off);
        FILL(&from, content->samples[i].sum);
    }
    FILL(&from, content->id);
    FILL(&from, content->predecessor);
    content->memory_stamp = (struct snapf_stamp){.s = 0x123456789, .ns = 987654321};
    fill_bases(&from, &content->bases);
}

/* A file of such content. The caller frees. */
static inline struct bytes file_make(enum hv_irqchip irqchip)
{
    static struct snapf_content content;
    struct bytes file = {0};
    struct err err = ERR_INIT;
    content_fill(irqchip, &content);
    assert_int_equal(snapf_encode(&content, &file.data, &file.len, &err), 0);
    snapf_content_done(&content);
    return file;
}

static inline uint32_t file_u32(const struct bytes *file, size_t off)
{
    le32_t wire;
    memcpy(&wire, file->data + off, sizeof(wire));
    return le32_get(wire);
}

static inline uint64_t file_u64(const struct bytes *file, size_t off)
{
    le64_t wire;
    memcpy(&wire, file->data + off, sizeof(wire));
    return le64_get(wire);
}

static inline void file_put_u32(struct bytes *file, size_t off, uint32_t value)
{
    le32_t wire = le32_put(value);
    memcpy(file->data + off, &wire, sizeof(wire));
}

static inline void file_put_u64(struct bytes *file, size_t off, uint64_t value)
{
    le64_t wire = le64_put(value);
    memcpy(file->data + off, &wire, sizeof(wire));
}

/* Length and checksum are right again: what reads the sections sees what was changed. */
static inline void file_seal(struct bytes *file)
{
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
    file_put_u64(file, FILE_LEN_OFF, file->len);
    memset(file->data + FILE_SUM_OFF, 0, CRYPTO_CHECKSUM_SIZE);
    crypto_checksum(file->data, file->len, sum);
    memcpy(file->data + FILE_SUM_OFF, sum, sizeof(sum));
}
