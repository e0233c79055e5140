/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine from a snapshot (snapshot.md 4): the state file is read and checked whole, then what it
 * names is opened, the memory mapped, and the machine built. Thread: vmm.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "snapshots/snap.h"
#include "snapshots/snap_base.h"
#include "snapshots/snap_config.h"
#include "snapshots/snap_host.h"
#include "snapshots/snap_lock.h"
#include "snapshots/snap_memory.h"
#include "snapshots/snap_override.h"
#include "snapshots/snap_prefetch.h"
#include "snapshots/snap_read.h"
#include "snapshots/snap_stamp.h"
#include "snapshots/snap_uffd.h"

#define FILE_FAILED "Failed to restore from snapshot: Failed to get snapshot state from file: "
#define MEMORY_FAILED                                                                              \
    "Failed to restore from snapshot: Failed to load guest memory: Error creating guest memory "   \
    "from file: "
#define BUILD_FAILED "Failed to restore from snapshot: Failed to build microVM from snapshot: "
#define DEVICES_FAILED BUILD_FAILED "Failed to restore devices: Error restoring MMIO devices: "

#define SHOWN_CPU_MAX_SIZE 128u

/* A snapshot being loaded. */
struct loading {
    const struct cfg_snapshot_load *load;
    struct snapf_content content;
    struct cfg_vm config;
    const struct snap_stage_ops *ops;
    void *ctx; /* of ops */
    struct snap_watch *watch;
};

/* ------------------------------------------------------------------ the state file */

/* Which files they were, behind the sentence. memory_path: NULL when it is no matter of it. */
static int name_files(const char *state_path, const char *memory_path, struct err *err)
{
    char sentence[ERR_MSG_MAX_SIZE];
    memcpy(sentence, err->msg, sizeof(sentence));
    if (!memory_path)
        return err_set(err, err->code, "%s (%s)", sentence, state_path);
    return err_set(err, err->code, "%s (state file %s, memory file %s)", sentence, state_path,
                   memory_path);
}

/* What the file says must be a machine's. */
static int decode_state(struct loading *loading, struct err *err)
{
    struct snapf_content *content = &loading->content;
    int rc = snap_config_decode(content->config, content->config_len, &loading->config, err);
    if (rc == 0)
        rc = machine_state_check(&content->machine, &loading->config, err);
    return rc < 0 ? name_files(loading->load->snapshot_path, NULL, err) : 0;
}

static int read_state(struct loading *loading, struct err *err)
{
    struct snapf_content *content = &loading->content;
    int rc = snap_read(loading->load->snapshot_path, content, err);
    if (rc == 0)
        rc = decode_state(loading, err);
    if (rc == 0)
        rc = snap_override(loading->load, &loading->config, &content->machine, err);
    if (rc == 0 && loading->load->clock_realtime && !hv_vm_state_has_realtime(&content->machine.vm))
        rc =
            err_set(err, -EINVAL, "clock_realtime requested but not present in the snapshot state");
    if (rc < 0)
        return err_prefix(err, FILE_FAILED);
    if (!snap_host_is_vendor(content->info.cpu)) {
        char cpu[SHOWN_CPU_MAX_SIZE];
        log_warn("The snapshot was taken on another vendor's CPU (%s): the guest may fail",
                 log_quote(content->info.cpu, strlen(content->info.cpu), cpu, sizeof(cpu)));
    }
    return 0;
}

/* ------------------------------------------------------------------ memory */

/* ret_is_stamped: nobody has changed it since it was the state's. */
static int open_memory(const char *path, uint64_t size, const struct snapf_stamp *stamp,
                       bool *ret_is_stamped, int *ret_fd, struct err *err)
{
    struct stat stat;
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(err, -errno, "Failed to load guest memory: %s (%s)", ERR_OS(errno), path);
    /* Kept as long as the VM lives: nobody writes it where it is, from before it is looked at. */
    int rc = snap_lock_live(fd);
    if (rc < 0)
        return err_set(err, rc,
                       "Failed to load guest memory: another process is writing %s where it is. "
                       "Load it when that has ended",
                       path);
    if (fstat(fd, &stat) < 0)
        return err_set(err, -errno, "Failed to load guest memory: %s (%s)", ERR_OS(errno), path);
    if (!S_ISREG(stat.st_mode))
        return err_set(err, -EINVAL, "Failed to load guest memory: it is no regular file (%s)",
                       path);
    if ((uint64_t)stat.st_size < size)
        return err_set(
            err, -EINVAL,
            "Failed to restore guest memory: Total sum of memory regions exceeds largest "
            "possible file offset: %s has %lld bytes, expected %llu",
            path, (long long)stat.st_size, (unsigned long long)size);
    if ((uint64_t)stat.st_size > size)
        log_warn("The memory file %s has %lld bytes, and the snapshot's memory %llu: what is "
                 "behind them is not looked at",
                 path, (long long)stat.st_size, (unsigned long long)size);
    *ret_is_stamped = snap_stamp_is(&stat, stamp);
    *ret_fd = fd_steal(&fd);
    return 0;
}

static uint64_t memory_size(const struct machine_state *state)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < state->regions_count; i++)
        size += state->regions[i].size; /* checked: a machine's */
    return size;
}

/* rc: of a check of one against the other. Returns it. */
static int name_pair(const struct loading *loading, int rc, struct err *err)
{
    if (rc < 0)
        IGNORE_RESULT(
            name_files(loading->load->snapshot_path, loading->load->mem_backend.backend_path, err));
    return rc;
}

/* reserved: where to put it, or NULL. */
static int map_file(const struct loading *loading, struct gmem *reserved, struct gmem **ret_gmem,
                    struct err *err)
{
    const struct machine_state *state = &loading->content.machine;
    const struct cfg_machine *machine = &loading->config.machine;
    FD_AUTO int fd = FD_NONE;
    if (machine->huge_pages == CFG_HUGE_PAGES_2M)
        return err_set(err, -EINVAL,
                       "Cannot restore hugetlbfs backed snapshot by mapping the memory file. "
                       "Please use uffd.");
    bool is_stamped = false; /* then no page has to be looked at */
    int rc = open_memory(loading->load->mem_backend.backend_path, memory_size(state),
                         &loading->content.memory_stamp, &is_stamped, &fd, err);
    if (rc == 0 && !is_stamped)
        rc = name_pair(loading, snap_samples_check_file(fd, &loading->content, err), err);
    if (rc < 0)
        return rc;
    enum gmem_backing backing =
        machine->huge_pages == CFG_HUGE_PAGES_TRANSPARENT ? GMEM_BACKING_THP : GMEM_BACKING_DEFAULT;
    struct gmem *gmem = reserved;
    rc = reserved ? gmem_fill(reserved, &fd, backing, err)
                  : gmem_create_mapped(state->regions, state->regions_count, &fd, backing,
                                       machine->track_dirty_pages, &gmem, err);
    if (rc < 0)
        return rc;
    loading->ops->mapped(loading->ctx, gmem, loading->load->mem_backend.backend_path);
    if (!is_stamped)
        rc = name_pair(loading, snap_samples_check(gmem, &loading->content, err), err);
    if (rc < 0) {
        if (!reserved)
            gmem_free(gmem);
        return rc;
    }
    const struct thread_entry entry = {loading->ops->enter_thread, loading->ctx};
    if (loading->load->mem_backend.prefetch)
        snap_prefetch_start(gmem_file_fd(gmem), memory_size(state), &entry);
    *ret_gmem = gmem;
    return 0;
}

static int load_memory(struct loading *loading, struct gmem *reserved, struct gmem **ret_gmem,
                       struct err *err)
{
    const struct snap_watch_news news = {
        {loading->ops->enter_thread, loading->ctx}, loading->ctx, loading->ops->handler_ended};
    if (loading->load->mem_backend.backend_type == CFG_MEM_BACKEND_UFFD)
        return snap_uffd_create(&loading->load->mem_backend, &loading->content.machine,
                                &loading->config.machine, &news, reserved, ret_gmem,
                                &loading->watch, err);
    int rc = map_file(loading, reserved, ret_gmem, err);
    return rc < 0 ? err_prefix(err, MEMORY_FAILED) : 0;
}

/* ------------------------------------------------------------------ devices, and all of it */

/* What the snapshot says of the file of drive `idx`, or NULL. */
static const struct snapf_base *find_base(const struct snapf_bases *bases, uint32_t idx)
{
    for (uint32_t i = 0; i < bases->count; i++)
        if (bases->bases[i].drive_idx == idx)
            return &bases->bases[i];
    return NULL;
}

static int open_drive(const struct machine *machine, const struct loading *loading, uint32_t idx,
                      struct err *err)
{
    const struct cfg_drive *drive = &loading->config.drives[idx];
    int rc = loading->ops->drive(loading->ctx, drive, err);
    if (rc < 0)
        return rc;
    const struct disk *disk = machine_drive_disk(machine, drive->drive_id);
    if (!disk || !disk->read_only)
        return 0;
    return snap_base_check(drive, disk, find_base(&loading->content.bases, idx),
                           snap_override_of_drive(loading->load, drive->drive_id), err);
}

static int open_devices(const struct machine *machine, struct loading *loading, struct err *err)
{
    const struct snap_stage_ops *ops = loading->ops;
    void *ctx = loading->ctx;
    struct cfg_vm *config = &loading->config;
    for (uint32_t i = 0; i < config->drives_count; i++)
        if (open_drive(machine, loading, i, err) < 0)
            return err_prefix(err, DEVICES_FAILED "Block: ");
    for (uint32_t i = 0; i < config->nics_count; i++)
        if (ops->nic(ctx, &config->nics[i], err) < 0)
            return err_prefix(err, DEVICES_FAILED "Net: ");
    if (config->has_vsock && ops->vsock(ctx, &config->vsock, err) < 0)
        return err_prefix(err, DEVICES_FAILED "VsockUnixBackend: ");
    return 0;
}

static int load_all(struct machine *machine, struct loading *loading, struct err *err)
{
    bool is_file = loading->load->mem_backend.backend_type == CFG_MEM_BACKEND_FILE;
    struct machine_restore how = {
        .memory_path = is_file ? loading->load->mem_backend.backend_path : NULL,
        .track_dirty_pages = loading->load->track_dirty_pages,
        .clock_realtime = loading->load->clock_realtime,
    };
    int rc = read_state(loading, err);
    if (rc < 0)
        return rc;
    struct gmem *reserved =
        machine_warm_memory(machine, &loading->content.machine, &loading->config.machine);
    rc = load_memory(loading, reserved, &how.gmem, err);
    if (rc < 0)
        return rc;
    rc = open_devices(machine, loading, err);
    if (rc < 0) {
        if (!reserved)
            gmem_free(how.gmem);
        return rc;
    }
    rc = machine_restore(machine, &loading->content.machine, &loading->config, &how, err);
    return rc < 0 ? err_prefix(err, BUILD_FAILED) : 0;
}

int snap_load(struct machine *machine, const struct cfg_snapshot_load *load,
              const struct snap_stage_ops *ops, void *ctx, struct cfg_vm *config,
              struct snap_past *past, struct snap_watch **watch, struct err *err)
{
    struct loading *loading = calloc(1, sizeof(*loading));
    if (!loading)
        return err_set(err, -ENOMEM, "no memory for a snapshot");
    loading->load = load;
    loading->ops = ops;
    loading->ctx = ctx;
    cfg_vm_init(&loading->config);
    int rc = load_all(machine, loading, err);
    if (loading->watch)
        rc = snap_uffd_end_load(loading->watch, &load->mem_backend, rc, err);
    if (rc < 0)
        snap_watch_free(loading->watch);
    if (rc == 0) {
        *watch = loading->watch;
        snap_past_set(past, &loading->content);
        cfg_vm_done(config);
        *config = loading->config;
        cfg_vm_init(&loading->config); /* its strings are the caller's */
    }
    cfg_vm_done(&loading->config);
    snapf_content_done(&loading->content);
    free(loading);
    return rc;
}
