/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that take their place at the end. Single thread.
 */
#include "snapshots/tool/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "snapshots/tool/fail.h"

/* Names to try beside the place: short ones, so that any name that the file system takes can be
 * made. */
#define TEMP_NAME "mayfly-snap.%d.%u.tmp"
#define TEMP_NAME_LONGEST "mayfly-snap.4294967295.99.tmp"
#define TEMP_TRIES 16u
#define MODE_MASK 0777u

/* Length of the path's part that names its directory, "/" at its end included. */
static int dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) + 1 : 0;
}

/* What is there already must be a file that may be replaced. */
static int check_place(const char *path, struct err *err)
{
    struct stat stat;
    if (strlen(path) >= SNAPTOOL_PATH_MAX_SIZE ||
        (size_t)dir_len(path) > SNAPTOOL_PATH_MAX_SIZE - sizeof(TEMP_NAME_LONGEST))
        return snaptool_fail(err, -ENAMETOOLONG, "make", path);
    if (lstat(path, &stat) < 0)
        return errno == ENOENT ? 0 : snaptool_fail(err, -errno, "make", path);
    if (S_ISREG(stat.st_mode))
        return 0;
    return err_set(err, S_ISDIR(stat.st_mode) ? -EISDIR : -EINVAL,
                   "Cannot make " SNAPTOOL_PATH
                   ": %s: there is something that is no regular file. Name a file, or a "
                   "new one",
                   path, S_ISDIR(stat.st_mode) ? "EISDIR" : "EINVAL");
}

/* The directory of a path, "." at its end. */
static void dir_of(const char *path, char ret_dir[static SNAPTOOL_PATH_MAX_SIZE])
{
    (void)snprintf(ret_dir, SNAPTOOL_PATH_MAX_SIZE, "%.*s.", dir_len(path),
                   path); /* fits: check_place */
}

static int try_named(struct snaptool_output *output)
{
    output->file.fd =
        open(output->temp_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    return output->file.fd < 0 ? -errno : 0;
}

/* Gives what has no name one beside its place: linkat(2) replaces nothing, rename(2) does. */
static int try_link(struct snaptool_output *output)
{
    char self[64];
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", output->file.fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, output->temp_path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Calls `make` with one free name after the other. */
static int take_temp_name(struct snaptool_output *output, int (*make)(struct snaptool_output *))
{
    int rc = -EEXIST;
    for (uint32_t i = 0; rc == -EEXIST && i < TEMP_TRIES; i++) {
        (void)snprintf(output->temp_path, sizeof(output->temp_path), "%.*s" TEMP_NAME,
                       dir_len(output->path), output->path, (int)getpid(),
                       i); /* fits: check_place */
        rc = make(output);
    }
    output->is_named = rc == 0;
    return rc;
}

/* Without a name where the file system can: then a kill leaves nothing. */
static int open_temp(struct snaptool_output *output)
{
    char dir[SNAPTOOL_PATH_MAX_SIZE];
    dir_of(output->path, dir);
    output->file.fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, S_IRUSR | S_IWUSR);
    return output->file.fd >= 0 ? 0 : take_temp_name(output, try_named);
}

int snaptool_output_open(struct snaptool_output *ret_output, const char *path,
                         const struct snaptool_file *like, struct err *err)
{
    ret_output->path = path;
    ret_output->is_named = false;
    ret_output->file = *like;
    ret_output->file.path = path;
    ret_output->file.fd = FD_NONE;
    int rc = check_place(path, err);
    if (rc < 0)
        return rc;
    rc = open_temp(ret_output);
    if (rc < 0)
        return snaptool_fail(err, rc, "make", path);
    if (fchmod(ret_output->file.fd, like->mode & MODE_MASK) < 0) {
        rc = snaptool_fail(err, -errno, "set the mode of", path);
        snaptool_output_drop(ret_output);
    }
    return rc;
}

static int sync_dir(const char *path, struct err *err)
{
    char dir[SNAPTOOL_PATH_MAX_SIZE];
    dir_of(path, dir);
    FD_AUTO int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A directory that cannot be read cannot be made durable: its file is. */
    if (fd >= 0 && fsync(fd) < 0)
        return snaptool_fail(err, -errno, "make durable the name of", path);
    return 0;
}

int snaptool_output_commit(struct snaptool_output *output, struct err *err)
{
    int rc = output->is_named ? 0 : take_temp_name(output, try_link);
    if (rc < 0)
        return snaptool_fail(err, rc, "make", output->path);
    if (rename(output->temp_path, output->path) < 0)
        return snaptool_fail(err, -errno, "make", output->path);
    output->is_named = false; /* there is nothing beside it any more */
    return sync_dir(output->path, err);
}

void snaptool_output_drop(struct snaptool_output *output)
{
    if (output->is_named)
        (void)unlink(output->temp_path); /* ours; what stays harms nobody */
    output->is_named = false;
    fd_close(&output->file.fd);
}
