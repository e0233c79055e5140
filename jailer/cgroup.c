/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups: what was asked for, where hierarchies are mounted, and what both versions do alike.
 */
#include "jailer/cgroup_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"

/* A host with 10,000 mounts has about 1 MiB there. */
#define MOUNTS_SIZE_MAX (8u << 20)

static int version_of(const char *text, int *ret_version, struct err *err)
{
    if (!text) {
        struct statfs fs;
        bool is_v2 = statfs(CGROUP_PLACE, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
        *ret_version = is_v2 ? 2 : 1;
        return 0;
    }
    if (strcmp(text, "1") != 0 && strcmp(text, "2") != 0)
        return err_set(err, -EINVAL, "Invalid cgroup version: %s. Expected 1 or 2.", text);
    *ret_version = text[0] - '0';
    return 0;
}

int jail_cgroup_check_parent(const char *parent, struct err *err)
{
    bool good = *parent != '\0' && *parent != '/';
    bool is_short = strlen(parent) < PATH_MAX / 2;
    for (const char *at = parent; good && *at;) {
        size_t len = strcspn(at, "/");
        good = !(len == 1 && at[0] == '.') && !(len == 2 && at[0] == '.' && at[1] == '.');
        is_short &= len < NAME_MAX;
        at += len + (at[len] == '/');
    }
    if (good && is_short)
        return 0;
    if (good)
        return err_set(err, -ENAMETOOLONG,
                       "Parent cgroup path is invalid. A path has less than %d bytes, and each "
                       "part of it less than %d",
                       PATH_MAX / 2, NAME_MAX);
    return err_set(err, -EINVAL,
                   "Parent cgroup path is invalid. Path should not be absolute or contain '..' or "
                   "'.'");
}

/* Written to, these move, stop or end processes, the jailer among them. */
static bool is_action(const char *file, size_t len)
{
    static const char *const actions[] = {
        "cgroup.procs", "cgroup.threads", "cgroup.kill",          "cgroup.freeze",
        "cgroup.type",  "freezer.state",  "cgroup.event_control", "cgroup.subtree_control"};
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (strlen(actions[i]) == len && memcmp(actions[i], file, len) == 0)
            return true;
    return false;
}

static int parse_value(const char *text, struct jail_cgroup_value *ret_value, struct err *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || equals[1] == '\0' || strchr(equals + 1, '='))
        return err_set(err, -EINVAL, "Invalid format for cgroups: %s", text);
    size_t len = (size_t)(equals - text);
    const char *dot = memchr(text, '.', len);
    bool is_path = memchr(text, '/', len) || len >= NAME_MAX;
    if (!dot || dot == text || is_path)
        return err_set(err, -EINVAL, "Cgroup invalid file: %.*s", (int)len, text);
    if (is_action(text, len))
        return err_set(err, -EINVAL,
                       "Cgroup invalid file: %.*s acts on processes; limits are set here", (int)len,
                       text);
    *ret_value = (struct jail_cgroup_value){text, len, (size_t)(dot - text), equals + 1};
    return 0;
}

int jail_cgroups_parse(const struct cmdline_list *list, const char *version, const char *parent,
                       const char *id, struct jail_cgroups *ret, struct err *err)
{
    struct jail_cgroups cgroups = {.parent = parent, .id = id, .dir_fd = FD_NONE};
    int rc = version_of(version, &cgroups.version, err);
    for (unsigned i = 0; i < list->count && rc == 0; i++)
        rc = parse_value(list->values[i], &cgroups.values[i], err);
    if (rc < 0)
        return rc;
    cgroups.values_count = list->count;
    *ret = cgroups;
    return 0;
}

/* ------------------------------------------------------------------ mounts */

/* The next word of the line at *at, up to a blank; *at moves behind it. Returns its length. */
static size_t next_word(const char **at, const char **ret_word)
{
    *ret_word = *at;
    size_t len = strcspn(*at, " \n");
    *at += len;
    *at += **at == ' ';
    return len;
}

/* The kernel writes blanks and the like as three octal digits. Returns 1 or -ENAMETOOLONG. */
static int decode(const char *word, size_t len, char *ret_path, size_t size)
{
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        char c = word[i];
        if (c == '\\' && len - i > 3 && strspn(word + i + 1, "01234567") >= 3) {
            c = (char)((word[i + 1] - '0') * 64 + (word[i + 2] - '0') * 8 + word[i + 3] - '0');
            i += 3;
        }
        if (out + 1 >= size)
            return -ENAMETOOLONG;
        ret_path[out++] = c;
    }
    ret_path[out] = '\0';
    return 1;
}

static bool has_option(const char *options, size_t len, const char *name, size_t name_len)
{
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && options[end] != ',')
            end++;
        if (end - at == name_len && memcmp(options + at, name, name_len) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

int jail_cgroup_find_mount(const char *mounts, const char *controller, size_t len, char *ret_path,
                           size_t size)
{
    const char *wanted = controller ? "cgroup" : "cgroup2";
    for (const char *at = mounts; *at;) {
        const char *word;
        const char *point;
        const char *type;
        const char *options;
        (void)next_word(&at, &word); /* the source does not matter */
        size_t point_len = next_word(&at, &point);
        size_t type_len = next_word(&at, &type);
        size_t options_len = next_word(&at, &options);
        if (type_len == strlen(wanted) && memcmp(type, wanted, type_len) == 0 &&
            (!controller || has_option(options, options_len, controller, len)))
            return decode(point, point_len, ret_path, size);
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    return 0;
}

int jail_cgroup_mount(const char *controller, size_t len, char *ret_path, struct err *err)
{
    struct statfs fs;
    char *mounts = NULL;
    size_t mounts_len = 0;
    if (!controller && statfs(CGROUP_PLACE, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
        memcpy(ret_path, CGROUP_PLACE, sizeof(CGROUP_PLACE)); /* spares a look at all mounts */
        return 0;
    }
    int rc = fd_read_file("/proc/mounts", MOUNTS_SIZE_MAX, &mounts, &mounts_len, err);
    if (rc < 0)
        return err_prefix(err, "Where cgroups are mounted: ");
    rc = jail_cgroup_find_mount(mounts, controller, len, ret_path, PATH_MAX);
    bool any = rc == 1 || (controller && strstr(mounts, " cgroup "));
    free(mounts);
    if (rc == 1)
        return 0;
    if (rc < 0)
        return err_set(err, rc, "The cgroup hierarchy is mounted at a path that is too long");
    if (any)
        return err_set(err, -ENOENT, "Controller %.*s is unavailable", (int)len, controller);
    return err_set(err, -ENOENT,
                   "Hierarchy not found: No hierarchy found for this cgroup version.");
}

/* ------------------------------------------------------------------ files */

int jail_cgroup_path(char *buf, const char *dir, const char *file, size_t file_len, struct err *err)
{
    int len = snprintf(buf, PATH_MAX, "%s/%.*s", dir, (int)file_len, file);
    if (len >= 0 && len < PATH_MAX)
        return 0;
    return err_set(err, -ENAMETOOLONG, "The path of a cgroup is too long: %.80s...", dir);
}

/* Makes one directory, when it is not there. */
static int make_one(char *path, struct jail_undo *undo, struct err *err)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    FD_AUTO int dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *slash = '/';
    int rc = dir_fd < 0 ? -errno : 0;
    if (rc == 0 && mkdirat(dir_fd, slash + 1, 0755) < 0)
        rc = -errno;
    if (rc == -EEXIST)
        return 0;
    if (rc < 0)
        return err_set(err, rc, "Failed to create directory %s: %s", path, ERR_OS(rc));
    return jail_undo_note(undo, dir_fd, slash + 1, true, err);
}

int jail_cgroup_make_dir(const struct jail_cgroups *cgroups, const char *mount, char *ret_path,
                         struct jail_undo *undo, struct err *err)
{
    int len = snprintf(ret_path, PATH_MAX, "%s/%s/%s", mount, cgroups->parent, cgroups->id);
    if (len < 0 || len >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "The path of the monitor's cgroup is too long");
    for (char *at = ret_path + strlen(mount) + 1; *at; at++) {
        if (*at != '/' || at[-1] == '/') /* "a//b" is a/b */
            continue;
        *at = '\0';
        int rc = make_one(ret_path, undo, err);
        *at = '/';
        if (rc < 0)
            return rc;
    }
    return make_one(ret_path, undo, err);
}

int jail_cgroup_write(const char *path, const char *value, size_t len, struct err *err)
{
    char line[PATH_MAX];
    int line_len = snprintf(line, sizeof(line), "%.*s\n", (int)len, value);
    FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : 0;
    if (rc == 0)
        rc = line_len >= (int)sizeof(line) ? -E2BIG : fd_write_full(fd, line, (size_t)line_len);
    if (rc == 0)
        return 0;
    return err_set(err, rc, "Failed to write to cgroup: %s = %.*s: %s (%s)", path,
                   (int)(len < 80 ? len : 80), value, ERR_OS(rc), err_name(rc));
}

static int open_in(const char *dir, const char *file, int *ret_fd, struct err *err)
{
    char path[PATH_MAX];
    int rc = jail_cgroup_path(path, dir, file, strlen(file), err);
    if (rc < 0)
        return rc;
    *ret_fd = open(path, O_WRONLY | O_CLOEXEC);
    if (*ret_fd < 0)
        return err_set(err, -errno, "Failed to open file %s: %s", path, ERR_OS(errno));
    return 0;
}

int jail_cgroup_add_procs(struct jail_cgroups *cgroups, const char *mount, const char *dir,
                          const char *file, struct err *err)
{
    FD_AUTO int home_fd = FD_NONE;
    int fd = FD_NONE;
    int rc = open_in(mount, file, &home_fd, err);
    if (rc == 0)
        rc = open_in(dir, file, &fd, err);
    if (rc < 0)
        return rc;
    cgroups->home_fds[cgroups->procs_count] = fd_steal(&home_fd);
    cgroups->procs_fds[cgroups->procs_count++] = fd;
    return 0;
}

int jail_cgroups_make(struct jail_cgroups *cgroups, struct jail_undo *undo, struct err *err)
{
    return cgroups->version == 2 ? jail_cgroups_make_v2(cgroups, undo, err)
                                 : jail_cgroups_make_v1(cgroups, undo, err);
}

int jail_cgroups_enter(const struct jail_cgroups *cgroups, struct err *err)
{
    for (unsigned i = 0; i < cgroups->procs_count; i++) {
        /* 0: the calling process. */
        int rc = fd_write_full(cgroups->procs_fds[i], "0", 1);
        if (rc == 0)
            continue;
        if (cgroups->values_count == 0)
            return err_set(err, rc,
                           "Failed to move process to cgroup (%s): %s.\nHint: If you intended to "
                           "create a child cgroup under %s, pass any --cgroup parameters.",
                           cgroups->parent, ERR_OS(rc), cgroups->parent);
        return err_set(err, rc, "Failed to move process to cgroup (%s/%s): %s (%s)%s",
                       cgroups->parent, cgroups->id, ERR_OS(rc), err_name(rc),
                       rc == -ENOSPC ? ": a cpuset needs cpuset.cpus and cpuset.mems" : "");
    }
    return 0;
}

void jail_cgroups_leave(const struct jail_cgroups *cgroups)
{
    for (unsigned i = 0; i < cgroups->procs_count; i++)
        IGNORE_RESULT(fd_write_full(cgroups->home_fds[i], "0", 1)); /* as the header says */
}
