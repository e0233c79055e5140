/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the system calls of threads that are under seccomp filters, by name of thread, number of
 * filters, call, and those arguments that the tables look at. In the kernel, at each call's entry.
 */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "tests/coverage/seen.h"

/* What is read of the kernel's; its own types say where it stands (CO-RE). */
typedef struct {
    int counter;
} atomic_t;
struct seccomp {
    int mode;
    atomic_t filter_count;
} __attribute__((preserve_access_index));
struct task_struct {
    struct seccomp seccomp;
} __attribute__((preserve_access_index));

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct seen_key);
    __type(value, __u64);
} seen SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SEEN_CALLS_MAX);
    __type(key, __u32);
    __type(value, struct seen_wanted);
} wanted SEC(".maps");

/* /sys/kernel/tracing/events/raw_syscalls/sys_enter/format */
struct sys_enter {
    __u64 common;
    long id;
    unsigned long args[6];
};

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(struct sys_enter *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct seen_key key = {};
    __u32 number = ctx->id;
    __u64 one = 1;

    key.filters = BPF_CORE_READ(task, seccomp.filter_count.counter);
    if (key.filters == 0 || number >= SEEN_CALLS_MAX)
        return 0;
    struct seen_wanted *want = bpf_map_lookup_elem(&wanted, &number);
    if (!want)
        return 0;
    bpf_get_current_comm(key.comm, sizeof(key.comm));
    key.number = number;
    /* The verifier takes no variable offset into the context, but one into the stack. */
    __u64 args[8] = {ctx->args[0], ctx->args[1], ctx->args[2],
                     ctx->args[3], ctx->args[4], ctx->args[5]};
    for (int i = 0; i < SEEN_ARGS_MAX; i++)
        key.args[i] = args[want->args[i] & 7];
    __u64 *count = bpf_map_lookup_elem(&seen, &key);
    if (count)
        __sync_fetch_and_add(count, 1);
    else
        bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
