/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of version 2: one hierarchy, whose controllers are switched on from the root down
 * (cli.md I.4).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/cgroup_int.h"

#define CONTROLLERS_SIZE_MAX 4096u

static bool has_word(const char *text, const char *word, size_t len)
{
    for (const char *at = text; *at; at += strspn(at, " \n")) {
        size_t word_len = strcspn(at, " \n");
        if (word_len == len && memcmp(at, word, len) == 0)
            return true;
        at += word_len;
    }
    return false;
}

static int check_controllers(const struct jail_cgroups *cgroups, const char *mount, struct err *err)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    static const char file[] = "cgroup.controllers";
    int rc = jail_cgroup_path(path, mount, file, strlen(file), err);
    if (rc == 0)
        rc = fd_read_file(path, CONTROLLERS_SIZE_MAX, &text, &len, err);
    for (unsigned i = 0; i < cgroups->values_count && rc == 0; i++) {
        const struct jail_cgroup_value *value = &cgroups->values[i];
        /* Files of the cgroup itself (cgroup.max.depth) are of no controller. */
        bool is_core = value->controller_len == strlen("cgroup") &&
                       memcmp(value->file, "cgroup", value->controller_len) == 0;
        if (!is_core && !has_word(text, value->file, value->controller_len))
            rc = err_set(err, -ENOENT, "Controller %.*s is unavailable", (int)value->controller_len,
                         value->file);
    }
    free(text);
    return rc;
}

/* "+cpu +memory": what the values are of, each once. Fits: checked controllers' names are short. */
static void list_controllers(const struct jail_cgroups *cgroups, char *ret_text, size_t size)
{
    size_t len = 0;
    ret_text[0] = '\0';
    for (unsigned i = 0; i < cgroups->values_count; i++) {
        const struct jail_cgroup_value *value = &cgroups->values[i];
        char word[NAME_MAX + 3];
        int word_len =
            snprintf(word, sizeof(word), "+%.*s", (int)value->controller_len, value->file);
        if (strcmp(word, "+cgroup") == 0 || has_word(ret_text, word, (size_t)word_len) ||
            len + (size_t)word_len + 2 > size)
            continue;
        len += (size_t)snprintf(ret_text + len, size - len, "%s%s", len ? " " : "", word);
    }
}

/* What the kernel cannot do as long as processes are there, in words. */
static int fail_enable(const struct jail_cgroups *cgroups, const char *dir, int rc, struct err *err)
{
    if (rc != -EBUSY || !cgroups->start)
        return rc;
    return err_set(
        err, rc,
        "Failed to switch controllers on in %s: %s (EBUSY). Other processes are in it, "
        "which the kernel does not allow: start the jailer alone in a cgroup (systemd-run "
        "--user --scope -p Delegate=yes), or move them into one below.",
        dir, ERR_OS(rc));
}

/* In each directory from the mount, or the delegated one, down to the parent. */
static int enable_controllers(const struct jail_cgroups *cgroups, const char *mount,
                              const char *dir, struct err *err)
{
    char at[PATH_MAX];
    char path[PATH_MAX];
    char words[1024];
    static const char file[] = "cgroup.subtree_control";
    list_controllers(cgroups, words, sizeof(words));
    if (words[0] == '\0')
        return 0;
    memcpy(at, dir, strlen(dir) + 1);
    for (char *end = at + strlen(cgroups->start ? cgroups->start : mount);; end++) {
        end += strcspn(end, "/");
        if (*end == '\0')
            return 0; /* the monitor's own */
        *end = '\0';
        int rc = jail_cgroup_path(path, at, file, strlen(file), err);
        if (rc == 0)
            rc = jail_cgroup_write(path, words, strlen(words), err);
        if (rc < 0)
            return fail_enable(cgroups, at, rc, err);
        *end = '/';
    }
}

/* By the descriptor: behind pivot_root no path leads there. What fails is said, as the header says,
 * when the jail's cgroup cannot be removed. */
static void write_below(int dir_fd, const char *path, const char *words)
{
    FD_AUTO int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        IGNORE_RESULT(fd_write_full(fd, words, strlen(words)));
}

void jail_cgroups_disable(const struct jail_cgroups *cgroups)
{
    char path[PATH_MAX] = "";
    char words[1024];
    list_controllers(cgroups, words, sizeof(words));
    /* Others may live by what a cgroup gives that is not the jailer's own. */
    if (words[0] == '\0' || cgroups->dir_fd < 0 || strcmp(cgroups->start, cgroups->home) != 0)
        return;
    for (char *c = words; *c; c++) /* names have no plus */
        if (*c == '+')
            *c = '-';
    size_t len = 0;
    for (const char *at = cgroups->leaf + strlen(cgroups->start); *at; at++) {
        if (*at != '/' || len + sizeof("../cgroup.subtree_control") > sizeof(path))
            continue;
        memcpy(path + len, "../cgroup.subtree_control", sizeof("../cgroup.subtree_control"));
        len += strlen("../");
        write_below(cgroups->dir_fd, path, words);
    }
}

static int open_dir(struct jail_cgroups *cgroups, const char *mount, const char *dir,
                    struct err *err)
{
    cgroups->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroups->dir_fd < 0)
        return err_set(err, -errno, "Failed to open file %s: %s", dir, ERR_OS(errno));
    return jail_cgroup_add_procs(cgroups, cgroups->home ? cgroups->home : mount, dir,
                                 "cgroup.procs", err);
}

/* Nothing to write: the parent is moved to if it is there. */
static int use_parent(struct jail_cgroups *cgroups, const char *mount, struct err *err)
{
    char dir[PATH_MAX];
    int rc = jail_cgroup_path(dir, mount, cgroups->parent, strlen(cgroups->parent), err);
    if (rc < 0)
        return rc;
    return access(dir, F_OK) < 0 ? 0 : open_dir(cgroups, mount, dir, err);
}

int jail_cgroups_make_v2(struct jail_cgroups *cgroups, struct jail_undo *undo, struct err *err)
{
    char mount[PATH_MAX];
    char dir[PATH_MAX];
    char path[PATH_MAX];
    int rc = jail_cgroup_mount(NULL, 0, mount, err);
    if (rc < 0)
        return rc;
    if (cgroups->values_count == 0)
        return use_parent(cgroups, mount, err);
    rc = check_controllers(cgroups, cgroups->start ? cgroups->start : mount, err);
    if (rc == 0)
        rc = jail_cgroup_make_dir(cgroups, mount, dir, undo, err);
    if (rc == 0 &&
        cgroups->start) /* what is delegated may be the jailer's own, and has to be empty */
        rc = open_dir(cgroups, mount, dir, err);
    if (rc == 0 && cgroups->start)
        rc = jail_cgroups_enter(cgroups, err);
    if (rc == 0)
        rc = enable_controllers(cgroups, mount, dir, err);
    for (unsigned i = 0; i < cgroups->values_count && rc == 0; i++) {
        const struct jail_cgroup_value *value = &cgroups->values[i];
        rc = jail_cgroup_path(path, dir, value->file, value->file_len, err);
        if (rc == 0)
            rc = jail_cgroup_write(path, value->value, strlen(value->value), err);
    }
    return rc < 0 || cgroups->start ? rc : open_dir(cgroups, mount, dir, err);
}
