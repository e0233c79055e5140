/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assembles and runs one VM: memory, irqchip, devices and their placement, vCPU threads. Thread:
 * everything here is called on the vmm thread; vCPU threads are the machine's own.
 *
 * Lock order of the whole monitor, outermost first, here and nowhere else:
 *   1. bus: read-only while the guest runs, so nothing to take
 *   2. virtio_dev.lock
 *   3. the IOAPIC's
 *   4. routes.lock
 *   5. the disk ring's, and those of serial and i8042: nothing is taken under them
 * Taken alone: late_lock, park_lock, end_lock (machine_int.h) and the mailbox's, which is not held
 * while an action is carried out. Interrupt status is atomic and outside them.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"
#include "vmm/config/cfg.h"
#include "vmm/hv/hv.h"
#include "vmm/loop/loop.h"

struct machine;

/* How the guest's life ended; an error of any vCPU wins over OK (cli.md C). */
enum machine_end {
    MACHINE_END_NONE,
    MACHINE_END_OK,    /* guest reset or power-off */
    MACHINE_END_ERROR, /* triple fault, KVM error, impossible instruction */
};

/* Code of the reason when the memory file was cut under the guest. */
#define MACHINE_MEMORY_CUT (-ESTALE)

struct machine_options {
    const char *kvm_path; /* "/dev/kvm" */
    enum hv_irqchip irqchip;
    bool irqchip_is_asked; /* a snapshot that has another is a warning */
    bool boot_timer;       /* log the guest's boot time (cli.md G) */
    int console_in_fd;     /* serial input, or FD_NONE; borrowed */
    int console_out_fd;    /* serial output; borrowed, non-blocking */
    const struct clock *clock;
    struct loop *loop;
    const char *vm_id;          /* whose session tokens the metadata service takes */
    uint64_t metadata_max_size; /* bytes of the compact document */
    struct thread_entry vcpu_entry; /* of each vCPU's thread */
    /* The guest ended; called once, on the loop. reason: the sentence of an error; borrowed. */
    void (*on_end)(void *ctx, enum machine_end end, const struct err *reason);
    void *ctx;
};

/* Makes an empty machine: nothing is opened. options: copied; what they point at outlives the
 * machine.
 * Returns 0 with *ret_machine (machine_free) or -errno. */
MUST_CHECK int machine_create(const struct machine_options *options, struct machine **ret_machine,
                              struct err *err);

/* Has KVM make the VM ahead of a build or a load, which find it then: a quarter of a load's time.
 * What fails is left for those to say. */
void machine_prepare(struct machine *machine);

/*
 * Makes a VM of a shape ahead of the snapshot that will be loaded: memory slots over reserved
 * address space, irqchip (the options'), vCPUs with their threads asleep. A load of exactly that
 * shape finds it; any other, and a build, give it up first. shape: mem_size_mib, vcpu_count and
 * track_dirty_pages count, validated; huge_pages is not 2M. Returns 0, or -errno: then nothing is
 * left of it.
 */
MUST_CHECK int machine_warm(struct machine *machine, const struct cfg_machine *shape,
                            struct err *err);

/* Stops vCPUs, finishes requests, flushes Writeback disks, frees everything. NULL is fine. */
void machine_free(struct machine *machine);

/*
 * Opens the kernel and initrd now (their content is looked at when the machine is built).
 * Replaces an earlier boot source only on success. Sentences of api.md, PUT /boot-source, without
 * the category. Returns 0 or -errno of the open.
 */
MUST_CHECK int machine_stage_boot_source(struct machine *machine,
                                         const struct cfg_boot_source *boot, struct err *err);

/*
 * Opens a drive now. The same id replaces the staged one, which survives a failure. Sentences of
 * api.md, PUT /drives, without the category. ret_tail_size: bytes behind the last whole sector,
 * which the guest cannot see. Returns 0, -ENOMEM, -errno of the ring (an Async drive's, as
 * disk_ring_open returns it), or what blk_create returns.
 */
MUST_CHECK int machine_stage_drive(struct machine *machine, const struct cfg_drive *drive,
                                   uint32_t *ret_tail_size, struct err *err);

/* The disk of a drive that is staged or built, or NULL: there is none of that id. Borrowed until
 * it is replaced. */
struct disk;
const struct disk *machine_drive_disk(const struct machine *machine, const char *drive_id);

/*
 * Opens an interface's TAP now. The same id's is closed before, and gone when the new one fails.
 * Sentences of api.md, PUT /network-interfaces, without the category. Returns 0, -ENOMEM or -errno
 * of tap_open.
 */
MUST_CHECK int machine_stage_nic(struct machine *machine, const struct cfg_nic *nic,
                                 struct err *err);

/*
 * Listens on the vsock device's socket now. One that was staged before goes first, with its
 * socket's file, and is gone when the new one fails. Sentences of api.md, PUT /vsock, without the
 * category. Returns 0, or -errno of unlink or of vsock_create.
 */
MUST_CHECK int machine_stage_vsock(struct machine *machine, const struct cfg_vsock *vsock,
                                   struct err *err);

/* Removes the socket's file of the staged vsock device, if it is still ours: the VM that was to
 * have it failed, and the next try must not find it. Returns 0, also without a vsock or file, or
 * -errno with a sentence. */
MUST_CHECK int machine_unlink_vsock(const struct machine *machine, struct err *err);

/* The name that the kernel gave a staged interface's TAP, or NULL. Borrowed until it is
 * replaced. */
const char *machine_nic_host_name(const struct machine *machine, const char *iface_id);

/*
 * Builds the VM from what was staged and from `config` (borrowed for the call): everything up to
 * the first guest entry. A failure leaves what was staged, for another try. Returns 0,
 * -EINVAL (no boot source), -ENODEV (a drive of `config` that was not staged), -ENOSPC (more
 * devices than lines), -EOPNOTSUPP (KVM lacks a capability that the CPU template asks for),
 * -ENOMEM, what arch.h, acpi.h and cpu.h name, or -errno of a KVM call.
 */
MUST_CHECK int machine_build(struct machine *machine, const struct cfg_vm *config, struct err *err);

/* Starts the vCPU threads: the guest runs when this returns. A failure leaves what was staged, for
 * another build. Returns 0 or -errno of the signal handler or of a thread. */
MUST_CHECK int machine_start(struct machine *machine, struct err *err);

/* Where serial output goes from the next build on, and how much of it (PUT /serial): a file opened
 * now, without input, or the console. Returns 0 or -errno of the open. */
MUST_CHECK int machine_set_serial(struct machine *machine, const struct cfg_serial *serial,
                                  struct err *err);

/*
 * The metadata: put whole, or merged (RFC 7396). Before the start or in the VM's life; the config's
 * mmds says which interfaces reach it when the machine is built. On failure nothing has changed.
 * Returns 0, -EINVAL (no JSON), -EMSGSIZE (over metadata_max_size), -ENODATA (patch before put) or
 * -ENOMEM. Sentences of api.md 7, /mmds, without the category.
 */
MUST_CHECK int machine_put_metadata(struct machine *machine, const char *text, size_t len,
                                    struct err *err);
MUST_CHECK int machine_patch_metadata(struct machine *machine, const char *text, size_t len,
                                      struct err *err);

/* As GET /mmds shows it. ret_text: NUL-terminated, the caller frees. Returns 0 or -ENOMEM. */
MUST_CHECK int machine_render_metadata(struct machine *machine, char **ret_text, struct err *err);

/* How long a pause may take: vCPUs stopping, devices finishing (api.md 7, PATCH /vm). */
#define MACHINE_PAUSE_MAX_NS (30 * NS_PER_S)

/*
 * Pauses: when this returns 0 no vCPU runs, nothing is in flight, everything completed is
 * published, and no device touches guest memory until machine_resume. Paused already is fine.
 * Returns 0, -ETIMEDOUT or -errno; then the machine runs on.
 */
MUST_CHECK int machine_pause(struct machine *machine, struct err *err);

/* Goes on; every queue is looked at once. Not paused is fine. */
void machine_resume(struct machine *machine);

/*
 * PATCH of a drive: its file reopened with the mode and engine it has, the guest told of the new
 * capacity; path NULL: the file stays. limiter: absent buckets stay, others are replaced. Running
 * or paused. Returns 0, -ENOENT (no such drive), or what blk_replace_file returns: -errno of
 * disk_open, or -ETIMEDOUT or -errno of the engine when what is in flight does not finish in 30 s.
 * Then nothing has changed.
 */
MUST_CHECK int machine_patch_drive(struct machine *machine, const struct cfg_drive_patch *patch,
                                   struct err *err);

/* PATCH of an interface: buckets that are there replace its own. Running or paused. Returns 0 or
 * -ENOENT (no such interface). */
MUST_CHECK int machine_patch_nic(struct machine *machine, const struct cfg_nic_patch *patch,
                                 struct err *err);

/* Stops and joins the vCPU threads; not started is fine. */
void machine_stop(struct machine *machine);

/* Presses Ctrl+Alt+Del. Returns 0, -ENODEV (not built yet) or -ENOSPC (the controller's buffer is
 * full). */
MUST_CHECK int machine_ctrl_alt_del(struct machine *machine, struct err *err);
