/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/machine: the machine's parts. Built on the vmm thread; afterwards only the fields
 * marked otherwise change.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "devices/backend/disk.h"
#include "devices/blk/blk.h"
#include "devices/legacy/boot_timer.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/ioapic.h"
#include "devices/legacy/pm.h"
#include "devices/legacy/serial.h"
#include "devices/mmds/mmds.h"
#include "devices/net/net.h"
#include "devices/virtio/vmmio.h"
#include "devices/vsock/vsock.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/arch.h"
#include "vmm/arch/x86_64/cpu.h"
#include "vmm/arch/x86_64/generation.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/machine_state.h"

/* A drive that was opened; becomes a device when the machine is built. */
struct staged_drive {
    char *id; /* heap */
    struct blk *blk;
};

/* Likewise an interface. */
struct staged_nic {
    char *id; /* heap */
    struct net *net;
    struct mmds_nic *mmds; /* NULL: not built, or the metadata service is not for it */
};

/* A device that was staged, of any class. Borrowed. */
struct machine_device {
    const struct machine_class *class;
    struct virtio_dev *virtio;
    union {
        struct blk *blk;
        struct net *net;
        struct vsock *vsock;
    } u;
};

/* A class of virtio device (classes.c). */
struct machine_class {
    enum machine_device_kind kind;
    const char *name;
    uint32_t (*count)(const struct cfg_vm *config);
    const char *(*id)(const struct cfg_vm *config, uint32_t idx);
    bool (*find)(const struct machine *machine, const char *id, struct machine_device *ret);
    int (*save)(const struct machine_device *device, struct machine_device_state *ret_state,
                struct err *err);
    int (*restore)(const struct machine_device *device, const struct machine_device_state *state,
                   struct err *err);
};
#define MACHINE_CLASSES_COUNT 3u
extern const struct machine_class machine_classes[MACHINE_CLASSES_COUNT];

/* The class of a kind, or NULL. */
const struct machine_class *machine_class_of(enum machine_device_kind kind);
/* All devices of a configuration. */
uint32_t machine_devices_count(const struct cfg_vm *config);
/* Device `idx` of a class. Returns 0 or -ENODEV. */
MUST_CHECK int machine_find_device(const struct machine *machine, const struct machine_class *class,
                                   const struct cfg_vm *config, uint32_t idx,
                                   struct machine_device *ret_device, struct err *err);

/* One placed virtio device: where it is, and its transport. */
struct placed {
    struct machine_device device;
    struct vmmio *vmmio;
    struct irq_line irq;
    uint64_t base;
    uint32_t gsi;
};

#define VCPU_NAME_SIZE 16u /* what the kernel keeps of a thread's name */

/* One vCPU and its thread. `hv` belongs to the thread while it runs, but for hv_vcpu_kick. */
struct vcpu {
    struct machine *machine;
    struct hv_vcpu hv;
    pthread_t thread;
    bool started;
    char name[VCPU_NAME_SIZE];
};

/* GSI table of the split irqchip; guarded by lock (vCPU threads write RTEs). */
struct routes {
    pthread_mutex_t lock;
    struct ioapic_msi pins[IOAPIC_PINS_MAX];
};

struct machine {
    struct machine_options options;
    char thread_name[VCPU_NAME_SIZE]; /* the vmm thread's */
    struct hv hv;
    struct hv_vm vm;
    struct gmem *gmem;
    char
        *memory_path; /* heap; of the file that it is mapped from. NULL: of none, or nobody knows */
    struct bus pio;
    struct bus mmio;
    struct routes routes;

    struct serial *serial;
    struct irq_line serial_irq;
    int serial_out_fd; /* of a file; FD_NONE: the console */
    struct rl_bucket_config serial_limiter;
    struct i8042 *i8042;
    struct irq_line i8042_irq;
    struct ioapic *ioapic; /* split irqchip only */
    struct pm pm;
    struct boot_timer boot_timer;

    struct disk_ring *ring; /* made when the first Async drive asks */
    struct staged_drive *drives;
    uint32_t drives_count;
    struct staged_nic *nics;
    uint32_t nics_count;
    struct vsock *vsock; /* NULL: none was asked for */
    struct mmds *mmds;   /* made when the first one asks */
    int kernel_fd;
    int initrd_fd;
    bool is_warm; /* machine_warm has made it, and nothing was loaded yet */
    uint8_t warm_vmgenid[ARCH_VMGENID_SIZE]; /* drawn ahead; taken once */

    /* How the guest learns of a restore. */
    struct machine_generation generation;

    struct placed placed[LAYOUT_VIRTIO_DEVICES_MAX];
    uint32_t placed_count;

    struct hv_msr_list *own_msrs; /* heap; that a snapshot keeps beside KVM's; NULL: none */
    pthread_mutex_t late_lock;    /* the vCPUs' turns at KVM's ring of late writes */
    struct vcpu *vcpus;
    uint32_t vcpus_count;
    _Atomic bool stopping; /* vCPU threads leave their loop */
    _Atomic bool pausing;  /* vCPU threads park */
    pthread_mutex_t park_lock;
    pthread_cond_t park_changed; /* the counts below, or pausing or stopping, changed */
    uint32_t parked_count;       /* under park_lock */
    uint32_t left_count;         /* threads that ended; under park_lock */
    bool paused;                 /* vmm's: machine_pause succeeded */
    pthread_mutex_t end_lock;
    enum machine_end end;  /* under end_lock */
    struct err end_reason; /* under end_lock; of the first error */
    struct loop_post end_post;
};

/* machine.c: the drive of that id, or NULL. Borrowed. */
struct blk *machine_find_drive(const struct machine *machine, const char *drive_id);

/* nics.c: the interface of that id, or NULL. Borrowed. */
struct net *machine_find_nic(const struct machine *machine, const char *iface_id);
void machine_free_nics(struct machine *machine);

/* metadata.c: has the interfaces that the configuration names answer requests for metadata, and no
 * more. */
MUST_CHECK int machine_attach_metadata(struct machine *machine, const struct cfg_vm *config,
                                       struct err *err);
void machine_detach_metadata(struct machine *machine);

/* machine.c: KVM's VM, when machine_prepare has not made it. */
MUST_CHECK int machine_make_vm(struct machine *machine, struct err *err);

/* Notes how the guest ended and wakes the loop; the first end counts, but an error beats OK.
 * reason: NULL for OK. Any thread. */
void machine_report_end(struct machine *machine, enum machine_end end, const struct err *reason);

/* machine.c: takes down what machine_build made, whole or half; what was staged stays. No vCPU
 * thread may run. */
void machine_dismantle(struct machine *machine);
/* machine.c: ends a start that failed half-way: vCPU threads, what was built, the end that one of
 * them may have reported. What was staged stays. */
void machine_take_back(struct machine *machine);

/* save.c: a snapshot keeps these MSRs, too. Returns 0 or -ENOMEM. */
MUST_CHECK int machine_keep_msr(struct machine *machine, uint32_t index, struct err *err);

/* vcpu.c */
/* The signals that interrupt KVM_RUN, harmless from here on to who sends them. Returns 0 or
 * -errno. */
MUST_CHECK int machine_install_kick_signals(struct err *err);
MUST_CHECK int machine_create_vcpus(struct machine *machine, const struct cfg_machine *config,
                                    struct err *err);
MUST_CHECK int machine_setup_vcpus(struct machine *machine, const struct cfg_vm *config,
                                   const struct arch_kernel *kernel, struct err *err);
MUST_CHECK int machine_start_vcpus(struct machine *machine, struct err *err);
void machine_stop_vcpus(struct machine *machine);
void machine_close_vcpus(struct machine *machine);
/* Makes a vCPU leave KVM_RUN, or not enter it. */
void machine_kick_vcpu(struct vcpu *vcpu);
/* Carries out the writes that KVM kept (hv_vm_coalesce_writes). The vCPU's own thread, or vmm while
 * it is parked. Returns 0 or -EIO. */
MUST_CHECK int machine_serve_late_writes(struct vcpu *vcpu, struct err *err);

/* pause.c: a vCPU thread sleeps while the machine is paused; tells that it has ended; all wake. */
void machine_park_vcpu(struct vcpu *vcpu);
void machine_vcpu_left(struct machine *machine);
void machine_unpark_vcpus(struct machine *machine);
/* Tells a vCPU's clock that time passed without it. It does not run. */
void machine_tell_clock(struct vcpu *vcpu);
/* The machine counts as paused before anything of it is made: its serial input waits, and its vCPUs
 * park as soon as they start. */
void machine_begin_paused(struct machine *machine);

/* warm.c: are the VM, its vCPUs and their threads there ahead of a state? */
bool machine_is_warm(const struct machine *machine);
/* warm.c: takes back what machine_warm made, if anything, and logs why. */
void machine_leave_warm(struct machine *machine, const char *why);

/* place.c: the boot timer counts from here; without one nothing. */
void machine_start_boot_timer(struct machine *machine);

/* place.c: the legacy devices' lines, whose eventfds KVM knows then. Those that are there stay. */
MUST_CHECK int machine_connect_legacy(struct machine *machine, struct err *err);

/* place.c: legacy devices, then every virtio device in attach order. */
MUST_CHECK int machine_place_legacy(struct machine *machine, uint32_t pins_count, struct err *err);
/* How many lines a machine of that configuration connects something to. */
uint32_t machine_pins_count(const struct cfg_vm *config);
MUST_CHECK int machine_place_devices(struct machine *machine, const struct cfg_vm *config,
                                     struct arch_cmdline *cmdline, struct err *err);
/* One device at a given window and line; of a boot or a restore. */
MUST_CHECK int machine_place_at(struct machine *machine, const struct machine_device *device,
                                uint64_t base, uint32_t gsi, struct err *err);
void machine_unplace(struct machine *machine);

/* capabilities.c: does KVM have every capability that the template asks for? Returns 0 or
 * -EOPNOTSUPP with the numbers that are missing. */
MUST_CHECK int machine_check_capabilities(const struct hv *hv, const struct cfg_cpu_template *tmpl,
                                          struct err *err);

/* routes.c: machine's side of the IOAPIC. */
/* All of its routes at once. Without an IOAPIC of ours there are none. */
MUST_CHECK int machine_load_routes(struct machine *machine, struct err *err);
extern const struct ioapic_ops machine_ioapic_ops;
