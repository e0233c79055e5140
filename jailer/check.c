/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is what was asked for possible? In the order of cli.md I.2, step 2.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cmdline.h"
#include "base/fd.h"
#include "jailer/jail.h"
#include "jailer/rootless.h"

#define MISC_SIZE_MAX (64u << 10)

/* ret_path: PATH_MAX. */
static int canonicalize(const char *path, char *ret_path, struct err *err)
{
    if (realpath(path, ret_path))
        return 0;
    return err_set(err, -errno, "Failed to canonicalize path %s: %s", path, ERR_OS(errno));
}

static int check_executable(struct jail *jail, struct err *err)
{
    struct stat st;
    int rc = canonicalize(jail->args->exec_file, jail->exec_path, err);
    if (rc < 0)
        return rc;
    if (stat(jail->exec_path, &st) < 0)
        return err_set(err, -errno, "%s: %s", jail->exec_path, ERR_OS(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s is not a file", jail->args->exec_file);
    if (!(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
        return err_set(err, -EACCES, "%s may not be executed: its mode is %03o. chmod a+x %s",
                       jail->args->exec_file, st.st_mode & 0777, jail->exec_path);
    jail->exec_dev = st.st_dev;
    jail->exec_ino = st.st_ino;
    jail->exec_is_users = jail->args->rootless && st.st_uid == geteuid();
    bool is_open =
        jail->exec_is_users ? jail_rootless_is_open_to_group(&st) : (st.st_mode & S_IWGRP) != 0;
    jail->exec_is_safe = (st.st_uid == 0 || jail->exec_is_users) && !is_open &&
                         !(st.st_mode & (S_IWOTH | S_ISUID | S_ISGID));
    jail->exec_name = strrchr(jail->exec_path, '/') + 1;
    return 0;
}

static int check_base(struct jail *jail, struct err *err)
{
    struct stat st;
    int rc = canonicalize(jail->args->chroot_base_dir, jail->base_path, err);
    if (rc < 0)
        return rc;
    if (stat(jail->base_path, &st) < 0)
        return err_set(err, -errno, "%s: %s", jail->base_path, ERR_OS(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "%s is not a directory", jail->args->chroot_base_dir);
    int len = snprintf(jail->root_path, sizeof(jail->root_path), "%s/%s/%s/root", jail->base_path,
                       jail->exec_name, jail->args->id);
    if (len < 0 || (size_t)len >= sizeof(jail->root_path))
        return err_set(err, -ENAMETOOLONG, "The jail's path is too long: %.200s...",
                       jail->root_path);
    return 0;
}

/* The minor number that misc devices' list gives userfaultfd, or -1. */
static int find_userfaultfd(void)
{
    char *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;
    int minor = -1;
    if (fd_read_file("/proc/misc", MISC_SIZE_MAX, &text, &len, &err) < 0)
        return -1; /* a host without it has no such device */
    for (char *line = text; *line && minor < 0;
         line += strcspn(line, "\n"), line += *line == '\n') {
        char *end = NULL;
        unsigned long number = strtoul(line, &end, 10);
        static const char name[] = " userfaultfd";
        if (end != line && strncmp(end, name, strlen(name)) == 0 && number < 1u << 20)
            minor = (int)number;
    }
    free(text);
    return minor;
}

static int check_cgroups(struct jail *jail, struct err *err)
{
    const struct jail_args *args = jail->args;
    const char *parent = args->parent_cgroup ? args->parent_cgroup : jail->exec_name;
    int rc = jail_cgroup_check_parent(parent, err);
    if (rc < 0)
        return rc;
    return jail_cgroups_parse(&args->cgroups, args->cgroup_version, parent, args->id,
                              &jail->cgroups, err);
}

int jail_check(struct jail *jail, const struct jail_args *args, struct err *err)
{
    jail->args = args;
    int rc = cmdline_check_id(args->id, err);
    if (rc == 0)
        rc = check_executable(jail, err);
    if (rc == 0)
        rc = check_base(jail, err);
    if (rc == 0)
        rc = jail_id_parse(args->uid, "uid", &jail->uid, err);
    if (rc == 0)
        rc = jail_id_parse(args->gid, "gid", &jail->gid, err);
    if (rc == 0)
        rc = check_cgroups(jail, err);
    if (rc == 0)
        rc = jail_limits_parse(&args->limits, &jail->limits, err);
    if (rc < 0)
        return rc;
    jail->userfault_minor = find_userfaultfd();
    return 0;
}
