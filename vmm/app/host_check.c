/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of what a host of many tenants should look like; each row reads one or two of the
 * kernel's files and says what stands there. Thread: main, at start.
 */
#include "vmm/app/host_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/landlock.h"

#define VALUE_MAX_SIZE 4096u          /* of a file with one setting; sysfs says a page */
#define TABLE_MAX_SIZE (1024u * 1024) /* of /proc/mounts and /proc/swaps */
#define PATH_ROOM 512u
#define FOUND_ROOM 512u
#define WEAKNESSES_MAX 64u /* files of one folder that are looked at */
#define WEAKNESSES "/sys/devices/system/cpu/vulnerabilities"

/* A text that grows within its room. */
struct text {
    char *buf;
    size_t size;
    size_t len;
};

/* Why not good: what the change costs and the command that makes it. */
struct advice {
    const char *cost;
    const char *fix;
};

/* Writes what was found. Returns NULL when it is good. */
typedef const struct advice *look_fn(const struct app_host *host, struct text *found);

static void add(struct text *text, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct text *text, const char *fmt, ...)
{
    if (text->len + 1 >= text->size)
        return;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text->buf + text->len, text->size - text->len, fmt, args);
    va_end(args);
    if (len > 0)
        text->len += (size_t)len;
    if (text->len >= text->size)
        text->len = text->size - 1;
}

static const struct advice unreadable = {
    "none", "look why the file cannot be read (is /proc or /sys mounted?), and check again"};

/* The file's text, without the newline at its end, for the caller to free; NULL: it is missing, or
 * cannot be read, and *ret_is_missing tells which. What is wrong stands in `found`. */
static char *read_text(const struct app_host *host, const char *path, size_t max_size,
                       struct text *found, bool *ret_is_missing)
{
    char full[PATH_ROOM];
    char *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;
    int rc = snprintf(full, sizeof(full), "%s%s", host->root, path);
    rc = rc < (int)sizeof(full) ? fd_read_file(full, max_size, &text, &len, &err)
                                : err_set(&err, -ENAMETOOLONG, "The path %s is too long", path);
    *ret_is_missing = rc == -ENOENT;
    if (rc == -ENOENT)
        add(found, "there is no %s", path);
    else if (rc < 0)
        add(found, "%s (%s)", err.msg, err_name(rc));
    if (rc < 0)
        return NULL;
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    return text;
}

/* Reads a setting into a fixed room: value[0] is '\0' when there is none. */
static void read_value(const struct app_host *host, const char *path, struct text *found,
                       char value[static 64], bool *ret_is_missing)
{
    char *text = read_text(host, path, VALUE_MAX_SIZE, found, ret_is_missing);
    (void)snprintf(value, 64, "%s", text ? text : "");
    if (text && !value[0])
        add(found, "%s is empty", path);
    else if (text)
        add(found, "%s is %s", path, value);
    free(text);
}

static const struct advice *look_ksm(const struct app_host *host, struct text *found)
{
    static const struct advice advice = {
        "memory that was merged is needed again",
        "echo 2 >/sys/kernel/mm/ksm/run   # and systemctl disable --now ksm ksmtuned"};
    char value[64];
    bool is_missing;
    read_value(host, "/sys/kernel/mm/ksm/run", found, value, &is_missing);
    if (is_missing || strcmp(value, "0") == 0 || strcmp(value, "2") == 0)
        return NULL;
    if (!value[0])
        return &unreadable;
    add(found, ": pages are merged, and how long a write takes tells what another tenant holds");
    return &advice;
}

static const struct advice *look_smt(const struct app_host *host, struct text *found)
{
    static const struct advice advice = {
        "about a third of the throughput of a host with all cores busy",
        "echo off >/sys/devices/system/cpu/smt/control   # or whole cores to a tenant: --cgroup "
        "cpuset.cpus=..."};
    char value[64];
    bool is_missing;
    read_value(host, "/sys/devices/system/cpu/smt/active", found, value, &is_missing);
    if (strcmp(value, "0") == 0)
        return NULL;
    if (!value[0])
        return &unreadable;
    add(found, ": two tenants may share a core and its caches at the same time");
    return &advice;
}

static const struct advice *look_nx(const struct app_host *host, struct text *found)
{
    static const struct advice advice = {
        "huge pages of guests that hold code are split, and each VM has one kernel thread more",
        "echo Y >/sys/module/kvm/parameters/nx_huge_pages   # for good: options kvm "
        "nx_huge_pages=force in /etc/modprobe.d"};
    static const struct advice no_kvm = {"none", "modprobe kvm_intel || modprobe kvm_amd"};
    char value[64], weakness[64];
    bool is_missing, is_unknown;
    read_value(host, "/sys/module/kvm/parameters/nx_huge_pages", found, value, &is_missing);
    if (is_missing)
        return &no_kvm;
    if (!value[0])
        return &unreadable;
    if (strcmp(value, "Y") == 0)
        return NULL;
    add(found, ", ");
    read_value(host, WEAKNESSES "/itlb_multihit", found, weakness, &is_unknown);
    if (strcmp(weakness, "Not affected") == 0)
        return NULL;
    add(found, ": a guest can stop the whole machine (iTLB multihit)");
    return &advice;
}

/* The options of the first cgroup2 in a table of mounts, cut out of it; NULL: there is none. */
static char *cgroup2_options(char *mounts, char **ret_where)
{
    for (char *line = mounts, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        char *rest = line;
        (void)strsep(&rest, " ");
        *ret_where = strsep(&rest, " ");
        const char *type = strsep(&rest, " ");
        if (type && strcmp(type, "cgroup2") == 0)
            return strsep(&rest, " ");
    }
    return NULL;
}

static const struct advice *look_cgroup(const struct app_host *host, struct text *found)
{
    static const struct advice no_v2 = {
        "programs that only know cgroup v1 stop working",
        "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all"};
    static const struct advice slow = {"fork and exit of other programs take a little longer",
                                       "mount -o remount,favordynmods /sys/fs/cgroup"};
    bool is_missing;
    char *mounts = read_text(host, "/proc/mounts", TABLE_MAX_SIZE, found, &is_missing);
    if (!mounts)
        return &unreadable;
    char *where = NULL;
    const char *options = cgroup2_options(mounts, &where);
    const struct advice *advice = NULL;
    if (!options) {
        add(found, "no cgroup2 is mounted: a VM's limits are not one tree");
        advice = &no_v2;
    } else if (strcmp(where, "/sys/fs/cgroup") != 0) {
        add(found, "cgroup2 at %.64s, beside cgroup v1, which has the controllers", where);
        advice = &no_v2;
    } else if (!strstr(options, "favordynmods")) {
        add(found, "cgroup2 without favordynmods: moving a VM into its cgroup waits for RCU");
        advice = &slow;
    } else {
        add(found, "cgroup2 with favordynmods");
    }
    free(mounts);
    return advice;
}

static const struct advice *look_swap(const struct app_host *host, struct text *found)
{
    static const struct advice off = {"memory that is seldom used stays in RAM", "swapoff -a"};
    static const struct advice limit = {
        "memory that is seldom used stays in RAM",
        "swapoff -a   # or for each VM: mayfly-jailer ... --cgroup memory.swap.max=0"};
    bool is_missing;
    char *swaps = read_text(host, "/proc/swaps", TABLE_MAX_SIZE, found, &is_missing);
    if (!swaps)
        return is_missing ? NULL : &unreadable;
    const char *first = strchr(swaps, '\n'); /* behind the heading */
    bool has_swap = first && first[1];
    if (has_swap)
        add(found, "%.*s is in use: tenants' memory is written to it",
            (int)strcspn(first + 1, " \t"), first + 1);
    else
        add(found, "none");
    free(swaps);
    if (!has_swap)
        return NULL;
    struct text quiet = {0};
    char *controllers =
        read_text(host, "/sys/fs/cgroup/cgroup.controllers", VALUE_MAX_SIZE, &quiet, &is_missing);
    bool has_limit = controllers && strstr(controllers, "memory");
    free(controllers);
    return has_limit ? &limit : &off;
}

/* Adds the weakness when its file says that it is open. Returns whether it is. */
static bool add_weakness(const struct app_host *host, const char *name, bool is_first,
                         struct text *found)
{
    char path[PATH_ROOM];
    struct text quiet = {0};
    bool is_missing;
    (void)snprintf(path, sizeof(path), WEAKNESSES "/%s", name);
    char *says = read_text(host, path, VALUE_MAX_SIZE, &quiet, &is_missing);
    bool is_open = !says || strstr(says, "ulnerable") || strstr(says, "Unknown");
    if (is_open)
        add(found, "%s%.48s (%.60s)", is_first ? "" : ", ", name, says ? says : "cannot be read");
    free(says);
    return is_open;
}

static const struct advice *look_weaknesses(const struct app_host *host, struct text *found)
{
    static const struct advice advice = {
        "system calls and exits of guests take longer, by the processor",
        "apt-get install linux-image-amd64 intel-microcode   # or amd64-microcode, of Debian's "
        "non-free-firmware; and boot without mitigations=off"};
    char path[PATH_ROOM];
    (void)snprintf(path, sizeof(path), "%s" WEAKNESSES, host->root);
    DIR *dir = opendir(path);
    if (!dir) {
        add(found, "cannot open " WEAKNESSES ": %s", err_name(errno));
        return &unreadable;
    }
    unsigned open_count = 0;
    unsigned seen_count = 0;
    for (const struct dirent *entry; seen_count < WEAKNESSES_MAX && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        seen_count++;
        open_count += add_weakness(host, entry->d_name, open_count == 0, found);
    }
    (void)closedir(dir);
    if (open_count > 0)
        return &advice;
    add(found, "all %u that the kernel knows are closed", seen_count);
    return NULL;
}

static const struct advice *look_kvm(const struct app_host *host, struct text *found)
{
    static const struct advice missing = {
        "none", "modprobe kvm_intel || modprobe kvm_amd   # and virtualization in the firmware"};
    static const struct advice open_to_all = {
        "who is not in the group kvm cannot run VMs; the jailer makes a node for each VM",
        "chown root:kvm /dev/kvm && chmod 0660 /dev/kvm   # for good: a udev rule"};
    char path[PATH_ROOM];
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s/dev/kvm", host->root);
    if (stat(path, &st) < 0) {
        add(found, "/dev/kvm cannot be examined: %s", err_name(errno));
        return &missing;
    }
    add(found, "mode %04o, owner %u:%u", st.st_mode & 07777u, st.st_uid, st.st_gid);
    if (!S_ISCHR(st.st_mode)) {
        add(found, ", but it is no device");
        return &missing;
    }
    if ((st.st_mode & S_IRWXO) == 0)
        return NULL;
    add(found, ": every user of the host can run VMs and reach KVM's code");
    return &open_to_all;
}

static const struct advice *look_landlock(const struct app_host *host, struct text *found)
{
    static const struct advice none = {"none",
                                       "boot with landlock at the head of lsm=   # the list in "
                                       "/sys/kernel/security/lsm; needs CONFIG_SECURITY_LANDLOCK"};
    static const struct advice old = {"a reboot", "install a kernel of 6.12 or later"};
    if (host->landlock_abi < 0) {
        add(found, "the kernel has none (%s): files are kept by the jail only",
            err_name(host->landlock_abi));
        return &none;
    }
    add(found, "ABI %d", host->landlock_abi);
    if (host->landlock_abi >= LANDLOCK_ABI_SCOPES)
        return NULL;
    add(found, ", less than %d: signals and abstract sockets are kept by namespaces only",
        LANDLOCK_ABI_SCOPES);
    return &old;
}

/* Good either way: the filters refuse them to a monitor. It is said because --rootless needs
 * them. */
static const struct advice *look_namespaces(const struct app_host *host, struct text *found)
{
    char value[64];
    bool is_missing;
    read_value(host, "/proc/sys/user/max_user_namespaces", found, value, &is_missing);
    if (!value[0] && !is_missing)
        return &unreadable;
    bool is_off = is_missing || strcmp(value, "0") == 0;
    add(found, is_off ? ": mayfly-jailer --rootless cannot work"
                      : ": mayfly-jailer --rootless can work; where nobody needs it, 0 is safer");
    return NULL;
}

static const struct advice *look_bpf(const struct app_host *host, struct text *found)
{
    static const struct advice advice = {"programs of users without rights cannot load BPF",
                                         "sysctl -w kernel.unprivileged_bpf_disabled=2"};
    char value[64];
    bool is_missing;
    read_value(host, "/proc/sys/kernel/unprivileged_bpf_disabled", found, value, &is_missing);
    if (is_missing || strcmp(value, "1") == 0 || strcmp(value, "2") == 0)
        return NULL;
    if (!value[0])
        return &unreadable;
    add(found, ": every user can load programs into the kernel");
    return &advice;
}

static const struct advice *look_thp(const struct app_host *host, struct text *found)
{
    static const struct advice advice = {
        "a guest may hold up to 2 MiB more for each place that it touches",
        "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled"};
    char value[64];
    bool is_missing;
    read_value(host, "/sys/kernel/mm/transparent_hugepage/enabled", found, value, &is_missing);
    if (!value[0])
        return is_missing ? NULL : &unreadable;
    if (!strstr(value, "[never]"))
        return NULL;
    add(found, ": huge_pages Transparent has no effect, and guests fault page by page");
    return &advice;
}

static const struct {
    const char *name;
    look_fn *look;
} rows[] = {
    {"KSM", look_ksm},
    {"SMT", look_smt},
    {"nx_huge_pages", look_nx},
    {"cgroup v2", look_cgroup},
    {"swap", look_swap},
    {"mitigations", look_weaknesses},
    {"/dev/kvm", look_kvm},
    {"Landlock", look_landlock},
    {"user namespaces", look_namespaces},
    {"unprivileged BPF", look_bpf},
    {"huge pages", look_thp},
};

int app_host_check(const struct app_host *host, char *buf, size_t size)
{
    struct text out = {.buf = buf, .size = size};
    int advised = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char room[FOUND_ROOM] = "";
        struct text found = {.buf = room, .size = sizeof(room)};
        const struct advice *advice = rows[i].look(host, &found);
        add(&out, "%-7s %-16s  %s\n", advice ? "advise" : "good", rows[i].name, room);
        if (!advice)
            continue;
        add(&out, "        cost: %s\n        fix:  %s\n", advice->cost, advice->fix);
        advised++;
    }
    return advised;
}
