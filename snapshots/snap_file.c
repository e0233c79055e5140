/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a snapshot, as a pair (snapshot.md 2, 3). Thread: vmm.
 *
 * A kill leaves, in this order: the old pair; the old memory without a state; the new memory
 * without a state; the new pair. What was replaced goes last, so that a failure can put it back.
 */
#include "snapshots/snap_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define OPEN_FLAGS (O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define FILE_MODE 0666 /* and the umask, as the reference */
/* Names to try beside the place: short ones, so that any name that the file system takes can be
 * written. */
#define TEMP_NAME "mayfly.%d.%u.tmp"
#define TEMP_NAME_LONGEST "mayfly.4294967295.4294967295.tmp"
#define TEMP_TRIES 16u

static int fail(const struct snap_file *file, const char *verb, int code, struct err *err)
{
    return err_set(err, code, "Cannot perform %s on the %s backing file: %s (%s)", verb, file->what,
                   ERR_OS(code), file->path);
}

/* Length of the path's part that names its directory, "/" at its end included. */
static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Is the name a mount of its own, as a file that was bound into a jail is? It cannot be
 * replaced. */
static bool is_mount(const char *path)
{
    char dir[SNAP_PATH_MAX_SIZE];
    struct statx of_file;
    struct statx of_dir;
    (void)snprintf(dir, sizeof(dir), "%.*s.", (int)dir_len(path), path); /* fits: file_open */
    return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID, &of_file) == 0 &&
           statx(AT_FDCWD, dir, AT_NO_AUTOMOUNT, STATX_MNT_ID, &of_dir) == 0 &&
           of_file.stx_mnt_id != of_dir.stx_mnt_id;
}

static bool is_link(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0 && S_ISLNK(stat.st_mode);
}

/* Must what is there be written where it is? Somebody else knows it by another name, or its name
 * cannot be replaced. */
static bool is_fixed(const char *path, const struct stat *stat)
{
    bool has_acl = getxattr(path, "system.posix_acl_access", NULL, 0) >= 0;
    return stat->st_nlink > 1 || has_acl || is_mount(path);
}

static int open_temp(struct snap_file *file, mode_t mode)
{
    for (uint32_t i = 0; i < TEMP_TRIES; i++) {
        uint32_t number = 0; /* what a killed one has left is not in the way */
        if (getrandom(&number, sizeof(number), 0) < 0)
            return -errno;
        (void)snprintf(file->temp_path, sizeof(file->temp_path), "%.*s" TEMP_NAME,
                       (int)dir_len(file->path), file->path, (int)getpid(),
                       number); /* fits: check_place */
        file->fd = open(file->temp_path, OPEN_FLAGS | O_EXCL, mode);
        if (file->fd >= 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

static int open_in_place(struct snap_file *file, uint64_t size, struct err *err)
{
    struct stat stat;
    file->in_place = true;
    file->fd = open(file->path, OPEN_FLAGS, FILE_MODE);
    if (file->fd < 0)
        return fail(file, "open", -errno, err);
    if (fstat(file->fd, &stat) < 0)
        return fail(file, "get_metadata", -errno, err);
    file->was_same = size > 0 && (uint64_t)stat.st_size == size;
    return 0;
}

/* As whoever made what is replaced wants it read. Returns 0 or -errno. */
static int imitate(const struct snap_file *file, const struct stat *old)
{
    struct stat own;
    if (!old)
        return 0;
    if (fstat(file->fd, &own) < 0)
        return -errno;
    bool is_theirs = own.st_uid == old->st_uid && own.st_gid == old->st_gid;
    if (!is_theirs && fchown(file->fd, old->st_uid, old->st_gid) < 0)
        return -errno;
    return fchmod(file->fd, old->st_mode & 0777) < 0 ? -errno : 0;
}

/* old: what has the name; NULL: nothing. */
static int open_beside(struct snap_file *file, uint64_t size, const struct stat *old,
                       struct err *err)
{
    int rc = open_temp(file, old ? 0600 : FILE_MODE);
    if (rc == 0) {
        rc = imitate(file, old);
        if (rc < 0)
            snap_file_drop(file);
    }
    if (rc == -EACCES || rc == -EPERM || rc == -EROFS) {
        rc = open_in_place(file, size, err);
        if (rc == 0)
            log_warn("snapshot: %s is written in place, since nothing can be made beside it: a "
                     "crash meanwhile leaves a part of it",
                     file->path);
        return rc;
    }
    if (rc < 0)
        return fail(file, "open", rc, err);
    if (ftruncate(file->fd, (off_t)size) < 0)
        return fail(file, "set_length", -errno, err);
    return 0;
}

bool snap_file_is_same_place(const char *one, const char *other)
{
    char dir[SNAP_PATH_MAX_SIZE];
    struct stat of_one;
    if (strcmp(one + dir_len(one), other + dir_len(other)) != 0)
        return false;
    if (dir_len(one) > sizeof(dir) - sizeof(".") || dir_len(other) > sizeof(dir) - sizeof("."))
        return false; /* neither can be opened */
    (void)snprintf(dir, sizeof(dir), "%.*s.", (int)dir_len(one), one);
    if (stat(dir, &of_one) < 0)
        return false;
    (void)snprintf(dir, sizeof(dir), "%.*s.", (int)dir_len(other), other);
    return fd_is_file_at(&of_one, dir);
}

/* What has the name. Returns 1, 0 when it is free, or -errno. */
static int look_up(const char *path, struct stat *ret_stat)
{
    if (stat(path, ret_stat) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

/* What is there and is no file, in words. */
static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
        return "a terminal or another character device";
    case S_IFBLK:
        return "a block device";
    default:
        return "something else";
    }
}

/* old: what has the name; NULL: nothing. */
static int check_place(const struct snap_file *file, const struct stat *old, struct err *err)
{
    size_t len = dir_len(file->path) + strlen(TEMP_NAME_LONGEST);
    if (file->path[0] == '\0')
        return err_set(err, -ENOENT,
                       "Cannot perform open on the %s backing file: %s: `%s` is empty: name a file",
                       file->what, ERR_OS(ENOENT),
                       strcmp(file->what, "memory") == 0 ? "mem_file_path" : "snapshot_path");
    if (strlen(file->path) >= sizeof(file->temp_path) || len >= sizeof(file->temp_path))
        return fail(file, "open", -ENAMETOOLONG, err);
    if (old && S_ISDIR(old->st_mode))
        return fail(file, "open", -EISDIR, err);
    if (old && !S_ISREG(old->st_mode))
        return err_set(err, -EINVAL,
                       "Cannot perform open on the %s backing file: it is no regular file, but %s "
                       "(%s). Name a file, or a new one",
                       file->what, kind_of(old->st_mode), file->path);
    return 0;
}

int snap_file_open(struct snap_file *ret_file, const char *path, const char *what, uint64_t size,
                   bool merges, struct err *err)
{
    struct stat stat;
    *ret_file = (struct snap_file){
        .path = path, .what = what, .fd = FD_NONE, .size = size, .merges = merges};
    int rc = look_up(path, &stat);
    if (rc < 0)
        return fail(ret_file, "open", rc, err);
    bool exists = rc == 1;
    ret_file->had_old = exists;
    rc = check_place(ret_file, exists ? &stat : NULL, err);
    if (rc < 0)
        return rc;
    bool fits = exists && size > 0 && (uint64_t)stat.st_size == size;
    bool stays = is_link(path) || (exists && ((merges && fits) || is_fixed(path, &stat)));
    rc = stays ? open_in_place(ret_file, size, err)
               : open_beside(ret_file, size, exists ? &stat : NULL, err);
    if (rc < 0)
        snap_file_drop(ret_file);
    return rc;
}

void snap_file_drop(struct snap_file *file)
{
    if (file->fd != FD_NONE && !file->in_place && file->temp_path[0] != '\0')
        (void)unlink(file->temp_path); /* ours, or what we replaced; what stays harms nobody */
    fd_close(&file->fd);
}

static int sync_file(const struct snap_file *file, struct err *err)
{
    bool fails = !file->no_flush && fsync(file->fd) < 0;
    return fails ? fail(file, "sync_all", -errno, err) : 0;
}

static int sync_dir(const struct snap_file *file, struct err *err)
{
    char dir[SNAP_PATH_MAX_SIZE];
    if (file->no_flush)
        return 0;
    (void)snprintf(dir, sizeof(dir), "%.*s.", (int)dir_len(file->path), file->path); /* fits */
    FD_AUTO int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A directory that may not be read cannot be made durable: its files are. */
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return 0;
    if (fd < 0)
        return fail(file, "sync_all", -errno, err);
    return fsync(fd) < 0 ? fail(file, "sync_all", -errno, err) : 0;
}

/* What came to be there since the file was opened is not moved away. Returns 0 when it is a file of
 * some kind or nothing, or -EISDIR. */
static int check_no_dir(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode) ? -EISDIR : 0;
}

/* Gives the memory its name. What had it stays beside, until the state has its name too. */
static int place_memory(struct snap_file *file, struct err *err)
{
    if (file->in_place || file->is_swapped || file->temp_path[0] == '\0')
        return 0;
    if (check_no_dir(file->path) < 0)
        return fail(file, "rename", -EISDIR, err);
    if (renameat2(AT_FDCWD, file->temp_path, AT_FDCWD, file->path, RENAME_EXCHANGE) == 0) {
        file->is_swapped = true;
        return 0;
    }
    /* There is nothing to exchange it with, or the file system cannot. */
    if (errno != ENOENT && errno != EINVAL)
        return fail(file, "rename", -errno, err);
    if (rename(file->temp_path, file->path) < 0)
        return fail(file, "rename", -errno, err);
    file->temp_path[0] = '\0';
    return 0;
}

static int place_state(struct snap_file *file, struct err *err)
{
    if (file->in_place)
        return 0;
    if (rename(file->temp_path, file->path) < 0)
        return fail(file, "rename", -errno, err);
    file->temp_path[0] = '\0';
    return 0;
}

/* From here on nobody takes the old state for the new memory's. */
static int set_old_state_aside(struct snap_file *state, struct err *err)
{
    if (state->in_place)
        return 0;
    if (check_no_dir(state->path) < 0)
        return fail(state, "rename", -EISDIR, err);
    (void)snprintf(state->aside_path, sizeof(state->aside_path), "%s.old", state->temp_path);
    if (rename(state->path, state->aside_path) == 0)
        return 0;
    state->aside_path[0] = '\0';
    return errno == ENOENT ? 0 : fail(state, "rename", -errno, err);
}

static bool has_name(const struct snap_file *file)
{
    return !file->in_place && file->temp_path[0] == '\0';
}

/* What fails here leaves no state. */
static void put_back(struct snap_file *memory, struct snap_file *state)
{
    if (has_name(state) && unlink(state->path) < 0)
        return;
    if (has_name(memory)) { /* there was none, or it could not be kept */
        (void)unlink(memory->path);
        if (memory->had_old) {
            (void)unlink(state->aside_path);
            return;
        }
    }
    if (memory->is_swapped &&
        renameat2(AT_FDCWD, memory->temp_path, AT_FDCWD, memory->path, RENAME_EXCHANGE) < 0)
        return;
    memory->is_swapped = false;
    if (state->aside_path[0] != '\0')
        (void)rename(state->aside_path, state->path);
    state->aside_path[0] = '\0';
}

void snap_file_undo(struct snap_file *memory, struct snap_file *state)
{
    /* One that was written in place has begun to be the new memory's. */
    if (state->in_place &&
        (ftruncate(state->fd, 0) < 0 || (!state->no_flush && fsync(state->fd) < 0)))
        log_error("snapshot: %s could not be emptied: %s. Do not load it", state->path,
                  ERR_OS(errno));
    put_back(memory, state);
}

/* From here on nobody takes the old state for the new memory's. */
static int drop_old_state(const struct snap_file *state, struct err *err)
{
    if (state->in_place || unlink(state->path) == 0 || errno == ENOENT)
        return 0;
    return fail(state, "unlink", -errno, err);
}

static int begin_in_place(struct snap_file *file, struct err *err)
{
    if (!file->in_place || file->was_same)
        return 0;
    /* A diff's holes say that nothing changed: what is there has another length, and goes. */
    if (file->merges && ftruncate(file->fd, 0) < 0)
        return fail(file, "truncate", -errno, err);
    /* A whole memory: never shorter than what this VM may have mapped of it. */
    if (ftruncate(file->fd, (off_t)file->size) < 0)
        return fail(file, "truncate", -errno, err);
    file->was_same = file->size > 0; /* what was there is there still, up to the new end */
    return 0;
}

int snap_file_begin(struct snap_file *memory, struct snap_file *state, struct err *err)
{
    int rc = memory->in_place ? drop_old_state(state, err) : 0;
    if (rc == 0)
        rc = begin_in_place(state, err);
    /* Durably: else a power cut would leave the old state beside what is written now. */
    if (rc == 0 && state->in_place)
        rc = sync_file(state, err);
    else if (rc == 0 && memory->in_place)
        rc = sync_dir(state, err);
    return rc < 0 ? rc : begin_in_place(memory, err);
}

int snap_file_place_memory(struct snap_file *memory, const struct snap_file *state, struct err *err)
{
    if (!state->in_place)
        return 0;
    int rc = sync_file(memory, err);
    if (rc == 0)
        rc = place_memory(memory, err);
    return rc < 0 ? rc : sync_dir(memory, err);
}

/* By their names: at worst one directory is made durable twice. */
static bool is_same_dir(const struct snap_file *a, const struct snap_file *b)
{
    size_t len = dir_len(a->path);
    return len == dir_len(b->path) && strncmp(a->path, b->path, len) == 0;
}

static int take_names(struct snap_file *memory, struct snap_file *state, struct err *err)
{
    int rc = set_old_state_aside(state, err);
    if (rc == 0 && !is_same_dir(memory, state))
        rc = sync_dir(state, err);
    if (rc == 0)
        rc = place_memory(memory, err);
    if (rc == 0)
        rc = place_state(state, err);
    if (rc == 0)
        rc = sync_dir(memory, err);
    return rc < 0 || is_same_dir(memory, state) ? rc : sync_dir(state, err);
}

int snap_file_commit(struct snap_file *memory, struct snap_file *state, struct err *err)
{
    int rc = sync_file(memory, err);
    if (rc == 0)
        rc = sync_file(state, err);
    if (rc == 0)
        rc = take_names(memory, state, err);
    if (rc < 0)
        snap_file_undo(memory, state);
    else if (state->aside_path[0] != '\0')
        (void)unlink(state->aside_path); /* ours; what stays harms nobody */
    return rc;
}
