/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that the VM or its process uses: by the paths that it was configured with, for their names
 * in a sentence, and by what is open, which finds the rest. Thread: vmm.
 */
#include "snapshots/snap_own.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

/* A path that a snapshot is to have. */
struct place {
    const char *path;
    const char *what;
    int fd; /* FD_NONE: not opened yet */
    struct stat stat;
};

static int refuse(const struct place *place, const char *as, const char *id, struct err *err)
{
    return err_set(err, -EBUSY,
                   "Cannot perform open on the %s backing file: it is %s%s, which a snapshot would "
                   "destroy (%s). Name another path",
                   place->what, as, id, place->path);
}

static int refuse_configured(const struct place *place, const struct cfg_vm *config,
                             struct err *err)
{
    if (fd_is_file_at(&place->stat, config->boot_source.kernel_image_path))
        return refuse(place, "this VM's kernel", "", err);
    if (fd_is_file_at(&place->stat, config->boot_source.initrd_path))
        return refuse(place, "this VM's initrd", "", err);
    for (uint32_t i = 0; i < config->drives_count; i++)
        if (fd_is_file_at(&place->stat, config->drives[i].path_on_host))
            return refuse(place, "the file of this VM's drive ", config->drives[i].drive_id, err);
    return 0;
}

static int refuse_open(const struct place *place, const struct gmem *gmem, struct err *err)
{
    bool is_memory = strcmp(place->what, "memory") == 0;
    /* As many as the process has room for without growing (fd_presize_table); files come early. */
    for (int fd = 0; fd < (int)FD_TABLE_ENTRIES; fd++) {
        struct stat other;
        if (fd == place->fd || fstat(fd, &other) < 0 || !fd_is_same_file(&place->stat, &other))
            continue;
        if (!gmem_is_mapped_from(gmem, fd))
            return refuse(place,
                          fd <= 2 ? "what this process's standard input or output is"
                                  : "a file that this process has open, as its log, metrics or "
                                    "serial output",
                          "", err);
        if (!is_memory)
            return refuse(place, "the memory file that this VM lives from", "", err);
    }
    return 0;
}

int snap_own_refuse(const struct cfg_vm *config, const struct gmem *gmem, const char *path, int fd,
                    const char *what, struct err *err)
{
    struct place place = {.path = path, .what = what, .fd = fd};
    int rc = fd == FD_NONE ? stat(path, &place.stat) : fstat(fd, &place.stat);
    if (rc < 0 || !S_ISREG(place.stat.st_mode))
        return 0; /* nothing, or what is refused anyway */
    rc = refuse_configured(&place, config, err);
    return rc < 0 ? rc : refuse_open(&place, gmem, err);
}
