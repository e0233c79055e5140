/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's life: staging, start, end, teardown (the mirror image of building). Thread: vmm;
 * only machine_report_end is called from vCPU threads.
 */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/machine/machine_int.h"

void machine_report_end(struct machine *machine, enum machine_end end, const struct err *reason)
{
    (void)pthread_mutex_lock(&machine->end_lock);
    if (end > machine->end) {
        machine->end = end;
        if (reason)
            machine->end_reason = *reason;
    }
    (void)pthread_mutex_unlock(&machine->end_lock);
    /* The guest executes nothing more: every vCPU leaves at its next exit, this one at once. */
    atomic_store_explicit(&machine->stopping, true, memory_order_release);
    loop_post(machine->options.loop, &machine->end_post);
}

static void on_end_post(struct loop_post *post)
{
    struct machine *machine = post->ctx;
    loop_post_remove(machine->options.loop, post);
    /* An error of another vCPU still counts; after this nobody writes `end`. */
    machine_stop_vcpus(machine);
    machine->options.on_end(machine->options.ctx, machine->end, &machine->end_reason);
}

int machine_create(const struct machine_options *options, struct machine **ret_machine,
                   struct err *err)
{
    int rc = machine_install_kick_signals(err);
    if (rc < 0)
        return rc;
    struct machine *machine = calloc(1, sizeof(*machine));
    if (!machine)
        return err_set(err, -ENOMEM, "no memory for a machine");
    machine->options = *options;
    (void)prctl(PR_GET_NAME, machine->thread_name); /* cannot fail */
    machine->hv.fd = machine->vm.fd = FD_NONE;
    machine->kernel_fd = machine->initrd_fd = FD_NONE;
    machine->serial_irq.fd = machine->i8042_irq.fd = FD_NONE;
    machine->serial_out_fd = FD_NONE;
    bus_init(&machine->pio);
    bus_init(&machine->mmio);
    rc = -pthread_mutex_init(&machine->routes.lock, NULL);
    if (rc == 0)
        rc = -pthread_mutex_init(&machine->end_lock, NULL);
    if (rc == 0)
        rc = -pthread_mutex_init(&machine->late_lock, NULL);
    if (rc == 0)
        rc = -pthread_mutex_init(&machine->park_lock, NULL);
    if (rc == 0)
        rc = -pthread_cond_init(&machine->park_changed, NULL);
    if (rc < 0) {
        free(machine);
        return err_set(err, rc, "locks of a machine: %s", ERR_OS(rc));
    }
    machine->end_post = (struct loop_post){.fn = on_end_post, .ctx = machine};
    loop_post_add(options->loop, &machine->end_post);
    *ret_machine = machine;
    return 0;
}

int machine_make_vm(struct machine *machine, struct err *err)
{
    if (machine->vm.fd != FD_NONE)
        return 0;
    int rc = hv_open(machine->options.kvm_path, &machine->hv, err);
    return rc < 0 ? rc : hv_vm_create(&machine->hv, &machine->vm, err);
}

void machine_prepare(struct machine *machine)
{
    struct err err = ERR_INIT; /* said when it is asked for */
    if (machine_make_vm(machine, &err) == 0)
        return;
    hv_close(&machine->hv);
    hv_vm_close(&machine->vm);
}

void machine_dismantle(struct machine *machine)
{
    machine_unplace(machine);
    machine_detach_metadata(machine);
    machine_close_vcpus(machine);
    memset(machine->routes.pins, 0, sizeof(machine->routes.pins));
    /* Closing the VM waits for the kernel's readers, up to a tick: what can be done is done before.
     * No vCPU is left to use the memory. */
    gmem_free(machine->gmem);
    machine->gmem = NULL;
    machine->is_warm = false;
    free(machine->memory_path);
    machine->memory_path = NULL;
    free(machine->own_msrs);
    machine->own_msrs = NULL;
    hv_close(&machine->hv);
    hv_vm_close(&machine->vm);
}

void machine_free(struct machine *machine)
{
    if (!machine)
        return;
    machine_stop_vcpus(machine);
    loop_post_remove(machine->options.loop, &machine->end_post);
    machine_unplace(machine);
    for (uint32_t i = 0; i < machine->drives_count; i++) {
        blk_free(machine->drives[i].blk);
        free(machine->drives[i].id);
    }
    free(machine->drives);
    machine_detach_metadata(machine);
    machine_free_nics(machine);
    vsock_free(machine->vsock);
    mmds_free(machine->mmds);
    disk_ring_close(machine->ring);
    fd_close(&machine->kernel_fd);
    fd_close(&machine->initrd_fd);
    machine_dismantle(machine);
    fd_close(&machine->serial_out_fd);
    (void)pthread_mutex_destroy(&machine->routes.lock); /* nobody holds them any more */
    (void)pthread_mutex_destroy(&machine->end_lock);
    (void)pthread_mutex_destroy(&machine->late_lock);
    (void)pthread_mutex_destroy(&machine->park_lock);
    (void)pthread_cond_destroy(&machine->park_changed);
    free(machine);
}

static int open_for_boot(const char *path, const char *sentence, int *ret_fd, struct err *err)
{
    /* A FIFO must not block us, nor a terminal become ours. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(err, -errno, "%s %s", sentence, ERR_OS(errno));
    *ret_fd = fd;
    return 0;
}

int machine_stage_boot_source(struct machine *machine, const struct cfg_boot_source *boot,
                              struct err *err)
{
    FD_AUTO int kernel_fd = FD_NONE;
    FD_AUTO int initrd_fd = FD_NONE;
    int rc = open_for_boot(boot->kernel_image_path, "The kernel file cannot be opened:", &kernel_fd,
                           err);
    if (rc == 0 && boot->initrd_path)
        rc = open_for_boot(
            boot->initrd_path,
            "The initrd file cannot be opened due to invalid path or invalid permissions.",
            &initrd_fd, err);
    if (rc < 0)
        return rc;
    fd_close(&machine->kernel_fd);
    fd_close(&machine->initrd_fd);
    machine->kernel_fd = fd_steal(&kernel_fd);
    machine->initrd_fd = fd_steal(&initrd_fd);
    return 0;
}

static int ring_ready(struct machine *machine, const struct cfg_drive *drive, struct err *err)
{
    if (drive->io_engine != CFG_IO_ENGINE_ASYNC || machine->ring)
        return 0;
    return disk_ring_open(machine->options.loop, &machine->ring, err);
}

static int drive_append(struct machine *machine, const char *id, struct blk *blk)
{
    struct staged_drive *drives =
        realloc(machine->drives, (machine->drives_count + 1) * sizeof(*drives));
    if (!drives)
        return -ENOMEM;
    machine->drives = drives;
    char *copy = strdup(id);
    if (!copy)
        return -ENOMEM;
    drives[machine->drives_count++] = (struct staged_drive){copy, blk};
    return 0;
}

int machine_stage_drive(struct machine *machine, const struct cfg_drive *drive,
                        uint32_t *ret_tail_size, struct err *err)
{
    int rc = ring_ready(machine, drive, err);
    if (rc < 0)
        return rc;
    const struct blk_env env = {machine->options.loop, machine->options.clock, machine->ring,
                                disk_open};
    struct blk *blk = NULL;
    rc = blk_create(drive, &env, &blk, err);
    if (rc < 0)
        return rc;
    uint32_t tail_size = blk_invisible_tail_size(blk);
    for (uint32_t i = 0; i < machine->drives_count; i++) {
        if (strcmp(machine->drives[i].id, drive->drive_id) == 0) {
            blk_free(machine->drives[i].blk);
            machine->drives[i].blk = blk;
            *ret_tail_size = tail_size;
            return 0;
        }
    }
    rc = drive_append(machine, drive->drive_id, blk);
    if (rc < 0) {
        blk_free(blk);
        return err_set(err, rc, "drive %s: %s", drive->drive_id, ERR_OS(rc));
    }
    *ret_tail_size = tail_size;
    return 0;
}

int machine_stage_vsock(struct machine *machine, const struct cfg_vsock *vsock, struct err *err)
{
    const struct vsock_env env = {machine->options.loop, machine->options.clock};
    int rc = machine->vsock ? vsock_unlink(machine->vsock, err) : 0;
    vsock_free(machine->vsock);
    machine->vsock = NULL;
    if (rc == 0)
        rc = vsock_create(vsock, &env, &machine->vsock, err);
    return rc;
}

int machine_unlink_vsock(const struct machine *machine, struct err *err)
{
    int rc = machine->vsock ? vsock_unlink(machine->vsock, err) : 0;
    return rc == -ENOENT ? 0 : rc;
}

int machine_set_serial(struct machine *machine, const struct cfg_serial *serial, struct err *err)
{
    fd_close(&machine->serial_out_fd);
    const struct cfg_bucket *limit = &serial->rate_limiter;
    machine->serial_limiter =
        rl_bucket_asked(limit->present, limit->size, limit->one_time_burst, limit->refill_time_ms);
    if (!serial->serial_out_path)
        return 0;
    /* As the log: no truncation, and a FIFO without a reader does not block. */
    int fd = open(serial->serial_out_path,
                  O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_APPEND | O_NOCTTY, 0600);
    if (fd < 0)
        return err_set(err, -errno, "The serial output file cannot be opened: %s (%s)",
                       ERR_OS(errno), serial->serial_out_path);
    machine->serial_out_fd = fd;
    return 0;
}

struct blk *machine_find_drive(const struct machine *machine, const char *drive_id)
{
    for (uint32_t i = 0; i < machine->drives_count; i++)
        if (strcmp(machine->drives[i].id, drive_id) == 0)
            return machine->drives[i].blk;
    return NULL;
}

const struct disk *machine_drive_disk(const struct machine *machine, const char *drive_id)
{
    const struct blk *blk = machine_find_drive(machine, drive_id);
    return blk ? blk_disk(blk) : NULL;
}

int machine_patch_drive(struct machine *machine, const struct cfg_drive_patch *patch,
                        struct err *err)
{
    struct blk *blk = machine_find_drive(machine, patch->drive_id);
    if (!blk)
        return err_set(err, -ENOENT, "Failed perform action on device: Device not found");
    if (patch->path_on_host) {
        int rc = blk_replace_file(blk, patch->path_on_host, err);
        if (rc < 0)
            return rc;
    }
    if (patch->rate_limiter.present)
        blk_replace_limiter(blk, &patch->rate_limiter);
    return 0;
}

void machine_take_back(struct machine *machine)
{
    machine_stop_vcpus(machine);
    machine_dismantle(machine);
    /* An end that a vCPU has reported was of the life that is over. */
    loop_post_remove(machine->options.loop, &machine->end_post);
    loop_post_add(machine->options.loop, &machine->end_post);
    machine->end = MACHINE_END_NONE;
    machine->end_reason = (struct err)ERR_INIT;
    machine->left_count = 0;
    machine->paused = false;
    atomic_store_explicit(&machine->stopping, false, memory_order_relaxed); /* no vCPU is there */
}

int machine_start(struct machine *machine, struct err *err)
{
    int rc = machine_start_vcpus(machine, err);
    if (rc < 0)
        machine_take_back(machine);
    return rc;
}

void machine_stop(struct machine *machine)
{
    machine_stop_vcpus(machine);
}

int machine_ctrl_alt_del(struct machine *machine, struct err *err)
{
    if (!machine->i8042)
        return err_set(err, -ENODEV, "there is no keyboard before the machine is built");
    return i8042_ctrl_alt_del(machine->i8042, err);
}
