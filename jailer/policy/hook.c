/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By libbpf, but for one question that it does not ask. A call may fail whose request the kernel
 * has carried out (its acknowledgement was lost): so what is taken back is looked for, by the
 * programs' ids, not concluded from what was returned.
 */
#include "jailer/policy/hook.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/fd.h"

#define TC_HANDLE 1
#define TC_PRIORITY 1

/* The TAP's ingress is what the guest sends. */
static const enum bpf_tc_attach_point points[POL_HOOK_WAYS] = {
    [POL_HOOK_INGRESS] = BPF_TC_INGRESS, [POL_HOOK_EGRESS] = BPF_TC_EGRESS};

static struct bpf_tc_hook hook_of(unsigned ifindex, enum bpf_tc_attach_point point)
{
    return (struct bpf_tc_hook){
        .sz = sizeof(struct bpf_tc_hook), .ifindex = (int)ifindex, .attach_point = point};
}

/* Has the interface hooks? 1, 0 or -errno. NLM_F_ECHO: or the answer goes to everybody but us. */
static int has_clsact(unsigned ifindex)
{
    struct {
        struct nlmsghdr head;
        struct tcmsg tc;
    } request = {.head = {.nlmsg_len = sizeof(request),
                          .nlmsg_type = RTM_GETQDISC,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO},
                 .tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = TC_H_CLSACT}};
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error; /* of NLMSG_ERROR */
        char more[4096];
    } answer = {.error = {.error = 0}};
    FD_AUTO int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
        return -errno;
    ssize_t len = recv(fd, &answer, sizeof(answer), 0);
    if (len < 0)
        return -errno;
    if (answer.head.nlmsg_type == RTM_NEWQDISC)
        return 1;
    /* There was never one; or one that is removed, where kernels say EINVAL or nothing at all. */
    int rc = answer.error.error;
    return rc == -ENOENT || rc == -EINVAL ? 0 : rc;
}

static int attach_all(unsigned ifindex, const int program_fd[static POL_HOOK_WAYS])
{
    int rc = 0;
    for (int i = 0; i < POL_HOOK_WAYS && rc == 0; i++) {
        struct bpf_tc_hook hook = hook_of(ifindex, points[i]);
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = TC_HANDLE, .priority = TC_PRIORITY,
                    .prog_fd = program_fd[i]);
        rc = bpf_tc_attach(&hook, &options);
    }
    return rc;
}

/* Of what is looked for at a hook and not there: no filter; no clsact. */
static int none_is_fine(int rc)
{
    return rc == -ENOENT || rc == -EINVAL ? 0 : rc;
}

static int detach(unsigned ifindex, enum pol_hook_way way)
{
    struct bpf_tc_hook hook = hook_of(ifindex, points[way]);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = TC_HANDLE, .priority = TC_PRIORITY);
    return none_is_fine(bpf_tc_detach(&hook, &options));
}

/* The program at that hook; *ret_program_id 0: none. Returns 0 or -errno. */
static int look(unsigned ifindex, enum pol_hook_way way, uint32_t *ret_program_id)
{
    struct bpf_tc_hook hook = hook_of(ifindex, points[way]);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = TC_HANDLE, .priority = TC_PRIORITY);
    int rc = bpf_tc_query(&hook, &options);
    *ret_program_id = rc == 0 ? options.prog_id : 0;
    return none_is_fine(rc);
}

static int read_program_id(int fd, uint32_t *ret_id)
{
    struct bpf_prog_info info = {.type = 0};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
        return -errno;
    *ret_id = info.id;
    return 0;
}

int pol_hook_attach(unsigned ifindex, const int program_fd[static POL_HOOK_WAYS],
                    struct pol_hook *ret_hook)
{
    struct pol_hook made = {.ifindex = ifindex};
    int rc = 0;
    for (int i = 0; i < POL_HOOK_WAYS && rc == 0; i++)
        rc = read_program_id(program_fd[i], &made.program_id[i]);
    if (rc == 0)
        rc = has_clsact(ifindex);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
        rc = bpf_tc_hook_create(&hook);
        made.is_clsact_made = rc != -EEXIST; /* somebody else was faster */
    }
    if (rc >= 0 || rc == -EEXIST)
        rc = attach_all(ifindex, program_fd);
    if (rc < 0) {
        pol_hook_take_back(&made);
        return rc;
    }
    *ret_hook = made;
    return 0;
}

void pol_hook_take_back(struct pol_hook *hook)
{
    uint32_t id;
    for (int i = 0; i < POL_HOOK_WAYS && hook->ifindex != 0; i++)
        if (look(hook->ifindex, i, &id) == 0 && id == hook->program_id[i])
            (void)detach(hook->ifindex, i); /* nobody is left to be told */
    if (hook->ifindex != 0 && hook->is_clsact_made) {
        struct bpf_tc_hook both = hook_of(hook->ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
        (void)bpf_tc_hook_destroy(&both); /* likewise */
    }
    *hook = (struct pol_hook){.ifindex = 0};
}

static int uses_map(uint32_t program_id, uint32_t map_id)
{
    enum { MAPS_MAX = 64 };
    uint32_t map_ids[MAPS_MAX];
    struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)map_ids};
    uint32_t size = sizeof(info);
    FD_AUTO int fd = bpf_prog_get_fd_by_id(program_id);
    if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
        return -errno;
    for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++)
        if (map_ids[i] == map_id)
            return 1;
    return 0;
}

int pol_hook_owner(unsigned ifindex, uint32_t map_id)
{
    enum pol_hook_owner owner = POL_HOOK_FREE;
    for (int i = 0; i < POL_HOOK_WAYS; i++) {
        uint32_t id;
        int rc = look(ifindex, i, &id);
        if (rc == 0 && id == 0)
            continue;
        if (rc == 0)
            rc = uses_map(id, map_id);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return POL_HOOK_OTHERS;
        owner = POL_HOOK_OURS;
    }
    return owner;
}

int pol_hook_remove(unsigned ifindex)
{
    int rc = 0;
    for (int i = 0; i < POL_HOOK_WAYS && rc == 0; i++)
        rc = detach(ifindex, i);
    return rc;
}

int pol_hook_is_in_use(uint32_t map_id)
{
    unsigned count = 0;
    for (uint32_t id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
        int rc = uses_map(id, map_id);
        if (rc < 0 && rc != -ENOENT) /* it has gone meanwhile */
            return rc;
        count += rc > 0;
    }
    if (errno != ENOENT)
        return -errno;
    return count >= POL_HOOK_WAYS;
}
