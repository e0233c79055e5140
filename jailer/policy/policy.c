/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading, attaching, pinning, changing.
 */
#include "jailer/policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/fd.h"
#include "policy.skel.h"

static const char *const pins[] = {"live", "tries", "flows", "counters", "limits"};

void pol_policy_done(struct pol_policy *policy)
{
    for (int i = 0; i < POL_DIRECTIONS; i++)
        free(policy->entries[i]);
    *policy = (struct pol_policy){.sources_count = 0};
}

const char *pol_counter_name(enum pol_counter counter)
{
#define NAME(place, name) [place] = (name),
    static const char *const names[] = {POL_COUNTER_LIST(NAME)};
#undef NAME
    return names[counter];
}

/* POL_PIN_PLACE/ID, or a file in it. ret_path: PATH_MAX. id: checked, a file's name. */
static void pin_path(char *ret_path, const char *id, const char *name)
{
    (void)snprintf(ret_path, PATH_MAX, POL_PIN_PLACE "/%s%s%s", id, name ? "/" : "",
                   name ? name : "");
}

static int fail(const char *what, const char *path, int code, struct err *err)
{
    return err_set(err, code, "Network policy: %s %s: %s (%s)", what, path, ERR_OS(code),
                   err_name(code));
}

/* ------------------------------------------------------------------ tries */

static int create_trie(size_t value_size)
{
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
    int fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "policy_trie", sizeof(struct pol_key),
                            (uint32_t)value_size, POL_PREFIXES_MAX, &options);
    return fd < 0 ? -errno : fd;
}

static int fill_rules(int fd, const struct pol_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (bpf_map_update_elem(fd, &entries[i].key, &entries[i].prefix, BPF_ANY) < 0)
            return -errno;
    return 0;
}

static int fill_sources(int fd, const struct pol_policy *policy)
{
    static const struct pol_prefix any = {.rules_count = 0};
    static const struct pol_prefix of_link = {.rules_count = POL_OF_LINK};
    if (policy->link_local.prefix_len != 0 &&
        bpf_map_update_elem(fd, &policy->link_local, &of_link, BPF_ANY) < 0)
        return -errno;
    for (uint32_t i = 0; i < policy->sources_count; i++)
        if (bpf_map_update_elem(fd, &policy->sources[i], &any, BPF_ANY) < 0)
            return -errno;
    return 0;
}

/* New tries into the slot, which is not in force. */
static int fill_slot(int tries_fd, uint32_t slot, const struct pol_policy *policy)
{
    for (uint32_t i = 0; i < POL_TRIES_OF_SLOT; i++) {
        uint32_t idx = slot * POL_TRIES_OF_SLOT + i;
        FD_AUTO int fd = create_trie(sizeof(struct pol_prefix));
        int rc = fd;
        if (rc >= 0)
            rc = i < POL_DIRECTIONS ? fill_rules(fd, policy->entries[i], policy->entries_count[i])
                                    : fill_sources(fd, policy);
        if (rc == 0 && bpf_map_update_elem(tries_fd, &idx, &fd, BPF_ANY) < 0)
            rc = -errno;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Fills the slot that is not in force, then puts it in force by the change of one word. */
static int put_in_force(int live_fd, int tries_fd, const struct pol_policy *policy)
{
    const uint32_t zero = 0;
    struct pol_live live;
    if (bpf_map_lookup_elem(live_fd, &zero, &live) < 0)
        return -errno;
    uint32_t slot = POL_SLOT(live.generation + 1);
    int rc = fill_slot(tries_fd, slot, policy);
    if (rc < 0)
        return rc;
    /* Before, not with the word: the kernel copies word by word, while frames are judged. */
    live.config[slot] = policy->config;
    if (bpf_map_update_elem(live_fd, &zero, &live, BPF_ANY) < 0)
        return -errno;
    live.generation++; /* the rest is written again as it is there */
    return bpf_map_update_elem(live_fd, &zero, &live, BPF_ANY) < 0 ? -errno : 0;
}

/* ------------------------------------------------------------------ pins */

static int remove_pins(const char *id, struct err *err)
{
    char path[PATH_MAX];
    int rc = 0;
    for (size_t i = 0; i <= ARRAY_LEN(pins) && rc == 0; i++) {
        bool is_dir = i == ARRAY_LEN(pins); /* the last one */
        pin_path(path, id, is_dir ? NULL : pins[i]);
        if ((is_dir ? rmdir(path) : unlink(path)) < 0 && errno != ENOENT)
            rc = fail("unpin", path, -errno, err);
    }
    return rc;
}

void pol_unpin(const char *id)
{
    (void)remove_pins(id, NULL); /* an earlier failure is the one to tell */
}

/* Is it root's alone, with all that is in it? Where a bpf file system is mounted by hand, everybody
 * may make directories, and links. What is not there is nobody's. */
static int check_pin_place(struct err *err)
{
    struct stat st;
    if (lstat(POL_PIN_PLACE, &st) < 0)
        return errno == ENOENT ? 0 : fail("look at", POL_PIN_PLACE, -errno, err);
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 0077) == 0)
        return 0;
    return err_set(err, -EPERM,
                   "Network policy: " POL_PIN_PLACE " is not root's alone: somebody else has made "
                   "it. Remove it");
}

static int make_pin_dir(const char *id, struct err *err)
{
    char path[PATH_MAX];
    if (mkdir(POL_PIN_PLACE, 0700) < 0 && errno != EEXIST)
        return err_set(err, -errno,
                       "Network policy: " POL_PIN_PLACE ": %s (%s). Is a bpf file system mounted "
                       "(mount -t bpf bpf /sys/fs/bpf)?",
                       ERR_OS(errno), err_name(errno));
    int rc = check_pin_place(err);
    if (rc < 0)
        return rc;
    pin_path(path, id, NULL);
    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno == EEXIST)
        return err_set(
            err, -EEXIST,
            "Network policy: %s is there already: a policy of this id is in force, or was "
            "left. Remove it: mayfly-jailer policy --id %s --remove --tap TAP",
            path, id);
    return fail("mkdir", path, -errno, err);
}

static int pin_maps(const struct policy_bpf *skel, const char *id, struct err *err)
{
    const struct bpf_map *const maps[] = {skel->maps.live, skel->maps.tries, skel->maps.flows,
                                          skel->maps.counters, skel->maps.limits};
    _Static_assert(ARRAY_LEN(maps) == ARRAY_LEN(pins), "a name for each");
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        pin_path(path, id, pins[i]);
        if (bpf_obj_pin(bpf_map__fd(maps[i]), path) < 0)
            return fail("pin", path, -errno, err);
    }
    return 0;
}

static int fail_none(const char *id, const char *path, struct err *err)
{
    return err_set(err, -ENOENT,
                   "Network policy: there is none of the id %s (%s): the jailer makes it, by "
                   "--policy",
                   id, path);
}

/* flags: of bpf_obj_get: 0 or BPF_F_RDONLY. Returns the fd or -errno. */
static int open_pin(const char *id, const char *name, uint32_t flags, struct err *err)
{
    char path[PATH_MAX];
    LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = flags);
    int rc = check_pin_place(err);
    if (rc < 0)
        return rc;
    pin_path(path, id, name);
    int fd = bpf_obj_get_opts(path, &options);
    if (fd >= 0)
        return fd;
    return errno == ENOENT ? fail_none(id, path, err) : fail("open", path, -errno, err);
}

/* Two at once would fill the same slot. Returns an fd that holds the others up while it is open,
 * or -errno. */
static int lock_pins(const char *id, struct err *err)
{
    char path[PATH_MAX];
    int rc = check_pin_place(err);
    if (rc < 0)
        return rc;
    pin_path(path, id, NULL);
    FD_AUTO int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX) == 0)
        return fd_steal(&fd);
    return errno == ENOENT ? fail_none(id, path, err) : fail("lock", path, -errno, err);
}

/* ------------------------------------------------------------------ attaching */

/* Returns the index of the interface, or -errno with the sentence. */
static int find_tap(const char *tap, unsigned *ret_ifindex, struct err *err)
{
    *ret_ifindex = if_nametoindex(tap);
    if (*ret_ifindex != 0)
        return 0;
    if (errno != ENODEV)
        return fail("find", tap, -errno, err);
    return err_set(err, -ENODEV,
                   "Network policy: there is no interface %s in this network namespace: make the "
                   "TAP first",
                   tap);
}

/* The program reads Ethernet's head: not what lo and tunnels of IP have. */
static int check_ethernet(const char *tap, struct err *err)
{
    struct ifreq request = {.ifr_ifindex = 0};
    FD_AUTO int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any will do */
    size_t len = strnlen(tap, sizeof(request.ifr_name) - 1);
    memcpy(request.ifr_name, tap, len);
    if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0)
        return fail("look at", tap, -errno, err);
    if (request.ifr_hwaddr.sa_family == ARPHRD_ETHER)
        return 0;
    return err_set(err, -EINVAL, "Network policy: %s is no TAP: its frames are not Ethernet's",
                   tap);
}

/* libbpf's own words go to nobody: the kernel's errno is in our sentence. */
static int say_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level;
    (void)format;
    (void)args;
    return 0;
}

/* For who removes it. */
static int note_tap(int live_fd, unsigned ifindex)
{
    const uint32_t zero = 0;
    const struct pol_live live = {.ifindex = ifindex};
    return bpf_map_update_elem(live_fd, &zero, &live, BPF_ANY) < 0 ? -errno : 0;
}

static int load(const struct pol_policy *policy, unsigned ifindex, struct policy_bpf **ret_skel,
                struct err *err)
{
    (void)libbpf_set_print(say_nothing);
    struct policy_bpf *skel = policy_bpf__open_and_load();
    if (!skel)
        return err_set(err, -errno,
                       "Network policy: the kernel does not take the program: %s (%s). It needs "
                       "Linux 5.11 or later with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_ACT and "
                       "CONFIG_DEBUG_INFO_BTF, CAP_BPF and CAP_NET_ADMIN of the host's own, and no "
                       "lockdown for confidentiality.",
                       ERR_OS(errno), err_name(errno));
    int rc = note_tap(bpf_map__fd(skel->maps.live), ifindex);
    if (rc == 0)
        rc = put_in_force(bpf_map__fd(skel->maps.live), bpf_map__fd(skel->maps.tries), policy);
    /* From now on the program alone writes them, whoever has a descriptor. */
    if (rc == 0 && bpf_map_freeze(bpf_map__fd(skel->maps.counters)) < 0)
        rc = -errno;
    if (rc < 0) {
        policy_bpf__destroy(skel);
        return err_set(err, rc, "Network policy: the rules cannot be loaded: %s (%s)", ERR_OS(rc),
                       err_name(rc));
    }
    *ret_skel = skel;
    return 0;
}

/* Who removes this id meanwhile waits. */
static int pin_and_attach(const struct policy_bpf *skel, const char *id, const char *tap,
                          unsigned ifindex, struct pol_hook *ret_hook, struct err *err)
{
    const int program_fd[POL_HOOK_WAYS] = {
        [POL_HOOK_INGRESS] = bpf_program__fd(skel->progs.from_guest),
        [POL_HOOK_EGRESS] = bpf_program__fd(skel->progs.to_guest)};
    FD_AUTO int lock_fd = lock_pins(id, err);
    int rc = lock_fd < 0 ? lock_fd : pin_maps(skel, id, err);
    if (rc < 0)
        return rc;
    rc = pol_hook_attach(ifindex, program_fd, ret_hook);
    if (rc == -EEXIST)
        return err_set(err, rc,
                       "Network policy: %s has a policy already, of another id, or another tool's "
                       "program at the same place: remove that first (mayfly-jailer policy --id "
                       "THAT --remove --tap %s)",
                       tap, tap);
    return rc < 0 ? fail("attach to", tap, rc, err) : 0;
}

int pol_attach(const char *id, const char *tap, const struct pol_policy *policy,
               struct pol_hook *ret_hook, struct err *err)
{
    struct policy_bpf *skel = NULL;
    unsigned ifindex;
    int rc = find_tap(tap, &ifindex, err);
    if (rc == 0)
        rc = check_ethernet(tap, err);
    if (rc == 0)
        rc = load(policy, ifindex, &skel, err);
    if (rc < 0)
        return rc;
    rc = make_pin_dir(id, err);
    if (rc == 0) {
        rc = pin_and_attach(skel, id, tap, ifindex, ret_hook, err);
        if (rc < 0)
            pol_unpin(id);
    }
    policy_bpf__destroy(skel);
    return rc;
}

/* ------------------------------------------------------------------ later */

/* Does the policy judge frames still? */
static int check_in_use(const char *id, int live_fd, struct err *err)
{
    struct bpf_map_info info = {.id = 0};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(live_fd, &info, &size) < 0)
        return fail("read", "live", -errno, err);
    int rc = pol_hook_is_in_use(info.id);
    if (rc < 0)
        return fail("look for the programs of", id, rc, err);
    if (rc > 0)
        return 0;
    return err_set(err, -ENODEV,
                   "Network policy: that of %s is attached to nothing any more, or one way only: "
                   "its TAP has gone, or somebody took it off. Nothing was changed. Remove it "
                   "(--remove --tap TAP), then attach it (--attach --tap TAP --file FILE)",
                   id);
}

int pol_update(const char *id, const struct pol_policy *policy, struct err *err)
{
    FD_AUTO int lock_fd = lock_pins(id, err);
    if (lock_fd < 0)
        return lock_fd;
    FD_AUTO int live_fd = open_pin(id, "live", 0, err);
    if (live_fd < 0)
        return live_fd;
    FD_AUTO int tries_fd = open_pin(id, "tries", 0, err);
    if (tries_fd < 0)
        return tries_fd;
    int rc = check_in_use(id, live_fd, err);
    if (rc < 0)
        return rc;
    rc = put_in_force(live_fd, tries_fd, policy);
    if (rc < 0)
        return err_set(err, rc,
                       "Network policy: the rules of %s cannot be replaced: %s (%s). The old ones "
                       "are in force.",
                       id, ERR_OS(rc), err_name(rc));
    return 0;
}

int pol_read_counters(const char *id, uint64_t ret_counters[static POL_COUNTERS], struct err *err)
{
    FD_AUTO int fd = open_pin(id, "counters", BPF_F_RDONLY, err);
    if (fd < 0)
        return fd;
    for (uint32_t i = 0; i < POL_COUNTERS; i++)
        if (bpf_map_lookup_elem(fd, &i, &ret_counters[i]) < 0)
            return fail("read", "counters", -errno, err);
    return 0;
}

int pol_open_counters(const char *id, struct err *err)
{
    return open_pin(id, "counters", 0, err); /* one that is read-only cannot be mapped as shared */
}

const char *pol_pin_name(unsigned idx)
{
    return idx < ARRAY_LEN(pins) ? pins[idx] : NULL;
}

/* Is the interface of this number, in this namespace, the one that the policy is attached to? */
static bool is_attached_to(unsigned ifindex, uint32_t map_id)
{
    char name[IF_NAMESIZE];
    return if_indextoname(ifindex, name) && pol_hook_owner(ifindex, map_id) == POL_HOOK_OURS;
}

/* Takes the programs off `tap`, which has to be where they are, unless they are nowhere. */
static int detach(const char *id, const char *tap, unsigned attached_ifindex, uint32_t map_id,
                  struct err *err)
{
    char name[IF_NAMESIZE];
    unsigned ifindex = 0;
    int rc = find_tap(tap, &ifindex, err);
    if (rc < 0 && rc != -ENODEV) /* with the TAP its programs went */
        return rc;
    int owner = rc == 0 ? pol_hook_owner(ifindex, map_id) : POL_HOOK_FREE;
    if (owner < 0)
        return fail("look at", tap, owner, err);
    if (owner == POL_HOOK_OTHERS)
        return err_set(
            err, -EBUSY,
            "Network policy: what is attached to %s is not the policy of %s: nothing was "
            "removed",
            tap, id);
    if (owner == POL_HOOK_FREE && is_attached_to(attached_ifindex, map_id))
        return err_set(err, -EINVAL,
                       "Network policy: the policy of %s is attached to %s, not to %s: nothing was "
                       "removed",
                       id, if_indextoname(attached_ifindex, name), tap);
    rc = owner == POL_HOOK_OURS ? pol_hook_remove(ifindex) : 0;
    return rc < 0 ? fail("take it off", tap, rc, err) : 0;
}

int pol_remove(const char *id, const char *tap, struct err *err)
{
    const uint32_t zero = 0;
    struct pol_live live;
    struct bpf_map_info info = {.id = 0};
    uint32_t size = sizeof(info);
    (void)libbpf_set_print(say_nothing);
    FD_AUTO int lock_fd = lock_pins(id, err);
    if (lock_fd < 0)
        return lock_fd;
    FD_AUTO int live_fd = open_pin(id, "live", 0, err);
    if (live_fd == -ENOENT) /* half removed by a try that failed */
        return remove_pins(id, err);
    if (live_fd < 0)
        return live_fd;
    if (bpf_map_lookup_elem(live_fd, &zero, &live) < 0 ||
        bpf_obj_get_info_by_fd(live_fd, &info, &size) < 0)
        return fail("read", "live", -errno, err);
    int rc = detach(id, tap, live.ifindex, info.id, err);
    return rc < 0 ? rc : remove_pins(id, err);
}
