/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a snapshot (snapshot.md 2): state, memory, state file, and both get their names. Thread:
 * vmm.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "snapshots/snap.h"
#include "snapshots/snap_base.h"
#include "snapshots/snap_config.h"
#include "snapshots/snap_host.h"
#include "snapshots/snap_lock.h"
#include "snapshots/snap_memory.h"
#include "snapshots/snap_own.h"
#include "snapshots/snap_stamp.h"

/* What a snapshot is being made of. */
struct making {
    struct machine *machine;
    const struct cfg_snapshot_create *create;
    struct snap_past *past;
    struct snapf_content content;
    struct snap_file memory;
    struct snap_file state;
    struct snap_written written;
};

/* Asked before the files are opened, and after: a link may name what was not there. */
static int refuse_same_file(const struct cfg_snapshot_create *create, struct err *err)
{
    struct stat state;
    bool same = snap_file_is_same_place(create->snapshot_path, create->mem_file_path);
    if (stat(create->snapshot_path, &state) == 0)
        same |= fd_is_file_at(&state, create->mem_file_path);
    if (same)
        return err_set(err, -EINVAL,
                       "snapshot_path and mem_file_path are the same file: %s. Name two",
                       create->snapshot_path);
    return 0;
}

/* The memory's path is the file that this VM is mapped from, and a diff would not be merged into
 * it: it would take the base's place. */
static int refuse_lost_base(const struct making *making, struct err *err)
{
    FD_AUTO int fd = FD_NONE;
    if (making->create->snapshot_type != CFG_SNAPSHOT_DIFF || making->memory.was_same)
        return 0;
    fd = open(making->memory.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || !gmem_is_mapped_from(machine_memory(making->machine), fd))
        return 0;
    return err_set(err, -EBUSY,
                   "Cannot perform truncate on the memory backing file: this VM is mapped from it, "
                   "and it is longer than its memory: write the diff to another file (%s)",
                   making->memory.path);
}

/* Asked before the files are opened, so that nothing is made, and after, of what was opened. */
static int refuse_own_files(const struct making *making, const struct cfg_vm *config,
                            struct err *err)
{
    const struct gmem *gmem = machine_memory(making->machine);
    int rc = snap_own_refuse(config, gmem, making->create->snapshot_path, making->state.fd,
                             "snapshot", err);
    if (rc == 0)
        rc = snap_own_refuse(config, gmem, making->create->mem_file_path, making->memory.fd,
                             "memory", err);
    return rc;
}

/* What is written where it is changes the memory of whoever lives from it: that may be this VM, for
 * which it is the same, and nobody else. Before the first byte. */
static int lock_in_place(struct making *making, struct err *err)
{
    const struct gmem *gmem = machine_memory(making->machine);
    if (!making->memory.in_place)
        return 0;
    bool is_own = gmem_is_mapped_from(gmem, making->memory.fd);
    int rc = snap_lock_write(making->memory.fd, is_own ? gmem_file_fd(gmem) : making->memory.fd);
    if (rc == 0)
        return 0;
    return err_set(err, rc,
                   "Cannot write the memory backing file in place: another VM lives from it, whose "
                   "memory would change, or another process writes it (%s). Name another path",
                   making->memory.path);
}

/* Of the files that the guest only reads, and that clones share. One that cannot be read now is the
 * guest's trouble, and no reason to lose its state. */
static void note_bases(struct making *making, const struct cfg_vm *config)
{
    struct snapf_bases *bases = &making->content.bases;
    for (uint32_t i = 0; i < config->drives_count && i < SNAPF_BASES_MAX; i++) {
        const struct cfg_drive *drive = &config->drives[i];
        const struct disk *disk = machine_drive_disk(making->machine, drive->drive_id);
        if (!disk || !disk->read_only)
            continue;
        int rc = snap_base_take(disk, i, &bases->bases[bases->count]);
        if (rc == 0)
            bases->count++;
        else
            log_warn("snapshot: cannot read %s, drive %s, to note what it is: %s. No load will "
                     "compare it",
                     drive->path_on_host, drive->drive_id, ERR_OS(rc));
    }
}

static int take_state(struct making *making, const struct cfg_vm *config, struct err *err)
{
    struct snapf_content *content = &making->content;
    int rc = machine_save(making->machine, &content->machine, err);
    if (rc < 0)
        return err_prefix(err, "Cannot save the microVM state: ");
    if (getrandom(content->id, sizeof(content->id), 0) < 0)
        return err_set(err, -errno, "Cannot make the snapshot's id: %s", ERR_OS(errno));
    memcpy(content->predecessor, making->past->id, sizeof(content->predecessor));
    note_bases(making, config);
    rc = snap_config_encode(config, &content->config, &content->config_len, err);
    return rc < 0 ? rc : snap_host_describe(&content->info, err);
}

static int open_files(struct making *making, const struct cfg_vm *config, struct err *err)
{
    uint64_t size = snap_memory_size(machine_memory(making->machine));
    bool merges = making->create->snapshot_type == CFG_SNAPSHOT_DIFF;
    int rc =
        snap_file_open(&making->state, making->create->snapshot_path, "snapshot", 0, false, err);
    if (rc == 0)
        rc = snap_file_open(&making->memory, making->create->mem_file_path, "memory", size, merges,
                            err);
    making->state.no_flush = making->memory.no_flush = making->create->no_flush;
    if (rc == 0)
        rc = refuse_same_file(making->create, err);
    if (rc == 0)
        rc = refuse_own_files(making, config, err);
    if (rc == 0)
        rc = refuse_lost_base(making, err);
    if (rc == 0)
        rc = lock_in_place(making, err);
    if (rc == 0 && merges && making->memory.in_place && making->memory.was_same)
        rc = snap_past_check(making->past, machine_memory(making->machine), &making->memory, err);
    return rc;
}

static int write_state(struct making *making, struct err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = snapf_encode(&making->content, &bytes, &len, err);
    if (rc < 0)
        return rc;
    rc = fd_write_full(making->state.fd, bytes, len);
    free(bytes);
    if (rc < 0)
        return err_set(err, rc, "Cannot write the snapshot file: %s (%s)", ERR_OS(rc),
                       making->state.path);
    return 0;
}

/* Will the file be all of the memory, and not a diff that is merged later? */
static bool is_whole_memory(const struct making *making)
{
    const struct snap_file *memory = &making->memory;
    if (making->create->snapshot_type == CFG_SNAPSHOT_FULL)
        return true;
    return memory->in_place && memory->was_same && snap_past_is_whole(making->past, memory->fd);
}

static int write_files(struct making *making, struct err *err)
{
    bool is_whole = is_whole_memory(making); /* asked before it changes */
    int rc = snap_file_begin(&making->memory, &making->state, err);
    if (rc == 0 && making->memory.in_place)
        snap_past_begin(making->past, making->memory.fd);
    if (rc == 0)
        rc = snap_memory_write(making->machine, &making->memory, making->create->snapshot_type,
                               &making->written, err);
    if (rc == 0) {
        /* A crash may leave the time of what is not durable, without its pages. */
        if (is_whole && !making->create->no_flush)
            snap_stamp_set(making->memory.fd, &making->content.memory_stamp);
        rc = snap_file_place_memory(&making->memory, &making->state, err);
    }
    if (rc == 0) {
        snap_samples_take(machine_memory(making->machine), &making->written, &making->content);
        rc = write_state(making, err);
    }
    if (rc < 0) {
        snap_file_undo(&making->memory, &making->state);
        return rc;
    }
    return snap_file_commit(&making->memory, &making->state, err);
}

static int make(struct making *making, const struct cfg_vm *config, struct err *err)
{
    int rc = refuse_same_file(making->create, err);
    if (rc == 0)
        rc = refuse_own_files(making, config, err);
    if (rc == 0)
        rc = open_files(making, config, err);
    if (rc == 0)
        rc = take_state(making, config, err);
    return rc < 0 ? rc : write_files(making, err);
}

int snap_create(struct machine *machine, const struct cfg_vm *config,
                const struct cfg_snapshot_create *create, struct snap_past *past, struct err *err)
{
    struct making *making = calloc(1, sizeof(*making));
    if (!making)
        return err_set(err, -ENOMEM, "no memory for a snapshot");
    making->machine = machine;
    making->create = create;
    making->past = past;
    making->memory.fd = making->state.fd = FD_NONE;
    if (create->snapshot_type == CFG_SNAPSHOT_DIFF)
        log_warn("Diff snapshots are a developer preview: load them only with their base");
    int rc = make(making, config, err);
    if (rc < 0)
        snap_written_give_back(machine_memory(machine), &making->written);
    else
        snap_past_set(past, &making->content);
    snap_written_done(&making->written);
    snap_file_drop(&making->memory);
    snap_file_drop(&making->state);
    snapf_content_done(&making->content);
    free(making);
    return rc;
}
