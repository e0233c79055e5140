/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of a machine: every live object's state. Plain data; belongs to whoever
 * holds it. snapshots/format knows its bytes and versions; the configuration is kept beside it.
 * Thread: vmm, while the machine is paused.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/blk/blk_state.h"
#include "devices/legacy/ioapic_state.h"
#include "devices/legacy/serial_state.h"
#include "devices/net/net_state.h"
#include "devices/virtio/virtio_state.h"
#include "devices/vsock/vsock_state.h"
#include "vmm/arch/x86_64/generation.h"
#include "vmm/config/cfg.h"
#include "vmm/hv/hv_state.h"
#include "vmm/mem/gmem.h"

#define MACHINE_STATE_DEVICES_MAX LAYOUT_VIRTIO_DEVICES_MAX

/* The order of machine_classes (vmm/machine/classes.c); also the numbers in a state file. */
enum machine_device_kind {
    MACHINE_DEVICE_BLK = 1,
    MACHINE_DEVICE_NET = 2,
    MACHINE_DEVICE_VSOCK = 3,
};

/* One virtio device: where it is, and what it is in the middle of. */
struct machine_device_state {
    enum machine_device_kind kind;
    uint64_t base;
    uint32_t gsi;
    struct virtio_state virtio;
    union {
        struct blk_state blk;
        struct net_state net;
        struct vsock_state vsock;
    } u;
};

/* VMGenID and VMClock: where they are, and their lines. */
struct machine_generation {
    struct arch_generation_place place;
    uint32_t vmgenid_gsi;
    uint32_t vmclock_gsi;
};

struct machine_state {
    struct hv_vm_state vm;
    uint32_t vcpus_count;
    struct hv_vcpu_state *vcpus; /* heap */
    struct serial_state serial;
    struct ioapic_state ioapic; /* split irqchip only */
    struct machine_generation generation;
    uint32_t regions_count;
    struct gmem_range regions[GMEM_REGIONS_MAX]; /* guest memory, as in the memory file */
    uint32_t devices_count;
    struct machine_device_state devices[MACHINE_STATE_DEVICES_MAX]; /* in attach order */
};

/* Frees what it holds. A zeroed one is fine. */
void machine_state_done(struct machine_state *state);

/*
 * Can this be the state of a machine of that configuration? Everything is looked at that building
 * and KVM do not refuse themselves. Returns 0, or -EINVAL with what is wrong.
 */
MUST_CHECK int machine_state_check(const struct machine_state *state, const struct cfg_vm *config,
                                   struct err *err);

struct machine;

/*
 * Takes the state of a paused machine. The guest is told by it that its vsock streams are gone,
 * and every disk's writes are made durable. Returns 0 (machine_state_done) or -errno; the machine
 * stays paused.
 */
MUST_CHECK int machine_save(struct machine *machine, struct machine_state *ret_state,
                            struct err *err);

struct machine_restore {
    struct gmem *gmem;       /* the guest's memory; the machine's in any case */
    const char *memory_path; /* of the file that it is mapped from, for sentences; NULL: of none */
    bool track_dirty_pages;
    bool clock_realtime; /* the clock has gone on by the host's time since */
};

/*
 * The memory that machine_warm has reserved, when it is of this shape: to be filled (gmem_fill) and
 * given to machine_restore. Borrowed: it is the machine's already. NULL: there is none, or it was
 * of another shape, and all that was warm is gone. state: checked.
 */
struct gmem *machine_warm_memory(struct machine *machine, const struct machine_state *state,
                                 const struct cfg_machine *config);

/*
 * Builds a machine from a checked state and from what was staged for `config`; it is paused then
 * (machine_resume). The guest finds another VMGenID. Returns 0, or -errno: then only what was
 * staged is left.
 */
MUST_CHECK int machine_restore(struct machine *machine, const struct machine_state *state,
                               const struct cfg_vm *config, const struct machine_restore *how,
                               struct err *err);

/* The guest's memory: for its copy into a file. Borrowed; NULL: not built. */
struct gmem *machine_memory(struct machine *machine);

/* KVM's dirty log of a region since the last call (hv_vm_dirty_log). */
MUST_CHECK int machine_dirty_log(struct machine *machine, uint32_t region_idx, uint64_t *words,
                                 struct err *err);
