/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the built-in filters let pass and what they do not, by running them here (cli.md H). Single
 * thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attr.h"
#include "jailer/seccomp/compile.h"
#include "tests/unit/seccomp/bpf_run.h"

#define ALLOW SECCOMP_RET_ALLOW
#define TRAP SECCOMP_RET_TRAP
#define SIGNAL_KICK 34 /* glibc's SIGRTMIN */

struct call {
    int number;
    uint64_t args[6];
};

static struct bpf_result run_one(enum sec_filter which, const struct call *call)
{
    struct seccomp_data data = {.nr = call->number, .arch = AUDIT_ARCH_X86_64};
    memcpy(data.args, call->args, sizeof(data.args));
    const struct sec_set set = sec_set_builtin();
    return bpf_run(&set.programs[which], &data);
}

/* What a thread under both filters gets: the stricter answer. */
static uint32_t answer(enum sec_filter which, const struct call *call)
{
    uint32_t start = run_one(SEC_FILTER_START, call).action;
    uint32_t own = run_one(which, call).action;
    return start < own ? start : own;
}

static void expect(enum sec_filter which, const struct call *call, uint32_t wanted)
{
    uint32_t seen = answer(which, call);
    if (seen != wanted)
        fail_msg("%s(0x%llx, 0x%llx, 0x%llx) under %s: 0x%x, expected 0x%x",
                 sec_call_name(call->number), (unsigned long long)call->args[0],
                 (unsigned long long)call->args[1], (unsigned long long)call->args[2],
                 sec_filter_name(which), seen, wanted);
}

#define EACH(which)                                                                                \
    for (enum sec_filter which = SEC_FILTER_START; which < SEC_FILTERS_COUNT; which++)
#define EACH_FINAL(which)                                                                          \
    for (enum sec_filter which = SEC_FILTER_VMM; which < SEC_FILTERS_COUNT; which++)

static void test_filters__what_no_thread_ever_needs__is_trapped(void **state)
{
    (void)state;
    static const int numbers[] = {
        SYS_execve,
        SYS_execveat,
        SYS_fork,
        SYS_vfork,
        SYS_ptrace,
        SYS_kill,
        SYS_tkill,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_unshare,
        SYS_setns,
        SYS_mknod,
        SYS_mknodat,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_bpf,
        SYS_symlink,
        SYS_link,
        SYS_linkat,
        SYS_symlinkat,
        SYS_init_module,
        SYS_finit_module,
        SYS_kexec_load,
        SYS_reboot,
        SYS_swapon,
        SYS_setuid,
        SYS_setresuid,
        SYS_setgid,
        SYS_setgroups,
        SYS_iopl,
        SYS_ioperm,
        SYS_modify_ldt,
        SYS_memfd_create,
        SYS_personality,
        SYS_perf_event_open,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_open_by_handle_at,
        SYS_quotactl,
        SYS_pidfd_send_signal,
        SYS_pidfd_getfd,
        SYS_socketpair,
        SYS_chdir,
        SYS_chmod,
        SYS_chown,
        SYS_open,
        SYS_creat,
        SYS_mkdir,
        SYS_rmdir,
        SYS_truncate,
        SYS_dup,
        SYS_dup2,
        SYS_pkey_mprotect,
        SYS_shmat,
        SYS_sched_setaffinity,
        SYS_setrlimit,
        SYS_sethostname,
        SYS_rt_sigqueueinfo,
        SYS_rt_tgsigqueueinfo,
        SYS_landlock_create_ruleset,
        SYS_landlock_add_rule,
    };
    EACH(which)
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        expect(which, &(struct call){numbers[i], {0}}, TRAP);
}

static void test_filters__what_is_over_when_the_guest_runs__is_trapped(void **state)
{
    (void)state;
    static const struct call calls[] = {
        {SYS_ioctl, {3, KVM_CREATE_VM}},
        {SYS_ioctl, {3, KVM_CREATE_VCPU}},
        {SYS_ioctl, {3, KVM_CREATE_IRQCHIP}},
        {SYS_ioctl, {3, KVM_CREATE_PIT2}},
        {SYS_ioctl, {3, KVM_SET_USER_MEMORY_REGION}},
        {SYS_ioctl, {3, KVM_IOEVENTFD}},
        {SYS_ioctl, {3, TUNSETIFF}},
        {SYS_bind, {3}},
        {SYS_listen, {3}},
        {SYS_clone, {CLONE_THREAD}},
        {SYS_clone3, {0}},
        {SYS_userfaultfd, {0}},
        {SYS_seccomp, {1}},
        {SYS_landlock_restrict_self, {3}},
        {SYS_capset, {0}},
        {SYS_prctl, {15}},
        {SYS_io_uring_setup, {1}},
        {SYS_io_uring_register, {3, IORING_REGISTER_RESTRICTIONS}},
        {SYS_io_uring_register, {3, IORING_REGISTER_ENABLE_RINGS}},
        {SYS_pidfd_open, {1}},
    };
    EACH_FINAL(which)
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        expect(which, &calls[i], TRAP);
}

static void test_filters__memory_that_is_executed__is_trapped(void **state)
{
    (void)state;
    EACH(which)
    {
        expect(which, &(struct call){SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE}}, ALLOW);
        expect(which, &(struct call){SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC}}, TRAP);
        expect(which, &(struct call){SYS_mprotect, {0, 4096, PROT_EXEC}}, TRAP);
    }
}

static void test_filters__sockets__are_unix_streams_of_the_vmm_thread(void **state)
{
    (void)state;
    const struct call unix_stream = {SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC}};
    static const struct call others[] = {
        {SYS_socket, {AF_INET, SOCK_STREAM}},   {SYS_socket, {AF_INET, SOCK_RAW}},
        {SYS_socket, {AF_PACKET, SOCK_RAW}},    {SYS_socket, {AF_NETLINK, SOCK_RAW}},
        {SYS_socket, {AF_VSOCK, SOCK_STREAM}},  {SYS_socket, {AF_UNIX, SOCK_SEQPACKET}},
        {SYS_socket, {AF_ALG, SOCK_SEQPACKET}}, {SYS_socket, {AF_UNIX | 1ull << 8, SOCK_STREAM}},
    };
    expect(SEC_FILTER_START, &unix_stream, ALLOW);
    expect(SEC_FILTER_VMM, &unix_stream, ALLOW);
    expect(SEC_FILTER_API, &unix_stream, TRAP);
    expect(SEC_FILTER_VCPU, &unix_stream, TRAP);
    EACH(which)
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        expect(which, &others[i], TRAP);
}

static void test_filters__limits_of_other_processes__are_trapped(void **state)
{
    (void)state;
    expect(SEC_FILTER_VMM, &(struct call){SYS_prlimit64, {0, 1}}, ALLOW);
    EACH(which)
    expect(which, &(struct call){SYS_prlimit64, {4242, 1}}, TRAP);
}

static void test_filters__files__are_the_vmm_threads(void **state)
{
    (void)state;
    static const int numbers[] = {SYS_openat, SYS_renameat2, SYS_ftruncate, SYS_fsync, SYS_connect};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const struct call call = {numbers[i], {0}};
        expect(SEC_FILTER_START, &call, ALLOW);
        expect(SEC_FILTER_VMM, &call, ALLOW);
        expect(SEC_FILTER_API, &call, TRAP);
        expect(SEC_FILTER_VCPU, &call, TRAP);
    }
}

static void test_filters__files__get_no_set_user_id_bits(void **state)
{
    (void)state;
    static const uint64_t bads[] = {04755, 02755, 01777};
    expect(SEC_FILTER_VMM, &(struct call){SYS_openat, {0, 0, 0, 0644}}, ALLOW);
    expect(SEC_FILTER_VMM, &(struct call){SYS_fchmod, {3, 0755}}, ALLOW);
    EACH(which)
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        expect(which, &(struct call){SYS_openat, {0, 0, O_CREAT, bads[i]}}, TRAP);
        expect(which, &(struct call){SYS_fchmod, {3, bads[i]}}, TRAP);
    }
}

static void test_filters__paths__are_not_looked_at_by_vcpus(void **state)
{
    (void)state;
    static const int numbers[] = {SYS_newfstatat, SYS_stat, SYS_lstat, SYS_statx, SYS_access};
    expect(SEC_FILTER_VCPU, &(struct call){SYS_fstat, {3}}, ALLOW);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        expect(SEC_FILTER_VCPU, &(struct call){numbers[i], {0}}, TRAP);
}

/* What is forbidden ends the process, whoever runs in it. */
static void test_filters__handlers_of_signals__stay(void **state)
{
    (void)state;
    static const int others[] = {SIGSYS, SIGSEGV, SIGBUS, SIGTERM, SIGPIPE};
    expect(SEC_FILTER_START, &(struct call){SYS_rt_sigaction, {SIGNAL_KICK}}, ALLOW);
    expect(SEC_FILTER_VMM, &(struct call){SYS_rt_sigaction, {SIGNAL_KICK}}, TRAP);
    EACH(which)
    {
        expect(which, &(struct call){SYS_rt_sigaction, {SIGABRT}}, ALLOW);
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            expect(which, &(struct call){SYS_rt_sigaction, {(uint64_t)others[i]}}, TRAP);
    }
}

static void test_filters__descriptors__send_no_signals(void **state)
{
    (void)state;
    EACH(which)
    {
        expect(which, &(struct call){SYS_fcntl, {0, F_SETFL, O_NONBLOCK | O_APPEND}}, ALLOW);
        expect(which, &(struct call){SYS_fcntl, {0, F_SETFL, O_NONBLOCK | O_ASYNC}}, TRAP);
        expect(which, &(struct call){SYS_fcntl, {0, F_SETOWN, 1}}, TRAP);
    }
}

static void test_filters__guests__are_run_by_vcpus_alone(void **state)
{
    (void)state;
    const struct call run = {SYS_ioctl, {3, KVM_RUN}};
    expect(SEC_FILTER_VCPU, &run, ALLOW);
    expect(SEC_FILTER_VMM, &run, TRAP);
    expect(SEC_FILTER_API, &run, TRAP);
}

static void test_filters__io_uring__updates_files_of_the_one_ring(void **state)
{
    (void)state;
    const struct call update = {SYS_io_uring_register, {3, IORING_REGISTER_FILES_UPDATE}};
    const struct call buffers = {SYS_io_uring_register, {3, IORING_REGISTER_BUFFERS}};
    expect(SEC_FILTER_VMM, &update, ALLOW);
    expect(SEC_FILTER_API, &update, TRAP);
    expect(SEC_FILTER_VCPU, &update, TRAP);
    EACH(which)
    expect(which, &buffers, TRAP);
}

static void test_filters__terminal__cannot_be_typed_into(void **state)
{
    (void)state;
    enum { TIOCSTI_NUMBER = 0x5412, TIOCLINUX_NUMBER = 0x541c };
    EACH(which)
    {
        expect(which, &(struct call){SYS_ioctl, {0, TIOCSTI_NUMBER}}, TRAP);
        expect(which, &(struct call){SYS_ioctl, {0, TIOCLINUX_NUMBER}}, TRAP);
    }
}

static void test_filters__upper_half_of_a_32_bit_argument__means_nothing(void **state)
{
    (void)state;
    /* The kernel takes an ioctl's number as 32 bits: one with more set is the same one. */
    expect(SEC_FILTER_VCPU, &(struct call){SYS_ioctl, {3, KVM_RUN | 1ull << 40}}, ALLOW);
    expect(SEC_FILTER_VMM, &(struct call){SYS_ioctl, {3, KVM_CREATE_VM | 1ull << 40}}, TRAP);
    /* clone's flags are 64 bits. */
    expect(SEC_FILTER_START, &(struct call){SYS_clone, {0x3d0f00 | 1ull << 40}}, TRAP);
    expect(SEC_FILTER_START, &(struct call){SYS_clone, {0x3d0f00}}, ALLOW);
}

static void test_filters__threads__are_made_by_clone_whose_flags_are_seen(void **state)
{
    (void)state;
    const struct call clone3 = {SYS_clone3, {0}};
    assert_int_equal(run_one(SEC_FILTER_START, &clone3).action, SECCOMP_RET_ERRNO | ENOSYS);
    expect(SEC_FILTER_START, &(struct call){SYS_clone, {CLONE_VM | SIGCHLD}}, TRAP);
    expect(SEC_FILTER_START, &(struct call){SYS_clone, {0x3d0f00 | CLONE_NEWUSER}}, TRAP);
}

static void test_filters__foreign_calls__kill(void **state)
{
    (void)state;
    const struct sec_set set = sec_set_builtin();
    const struct seccomp_data i386 = {.nr = 11, .arch = AUDIT_ARCH_I386};
    const struct seccomp_data x32 = {.nr = 0x40000000 | SYS_read, .arch = AUDIT_ARCH_X86_64};
    EACH(which)
    {
        assert_int_equal(bpf_run(&set.programs[which], &i386).action, SECCOMP_RET_KILL_PROCESS);
        uint32_t action = bpf_run(&set.programs[which], &x32).action;
        assert_true(action == SECCOMP_RET_KILL_PROCESS || action == TRAP);
    }
}

/* Each rule of the table passes the filters that it names, and none that it does not. */
static void test_filters__each_rule_of_the_table__holds_where_it_says(void **state)
{
    (void)state;
    static const uint32_t bits[SEC_FILTERS_COUNT] = {~0u, SEC_VMM, SEC_API, SEC_VCPU};
    for (size_t i = 0; i < sec_rules_count; i++) {
        const struct sec_rule *rule = &sec_rules[i];
        struct call call = {.number = -1};
        for (int number = 0; number < 512 && call.number < 0; number++)
            if (strcmp(sec_call_name(number), rule->call) == 0)
                call.number = number;
        if (call.number < 0)
            fail_msg("%s has no number", rule->call);
        for (uint32_t c = 0; c < rule->checks_count; c++)
            call.args[rule->checks[c].arg] = rule->checks[c].value;
        uint32_t wanted = rule->error ? SECCOMP_RET_ERRNO | (uint32_t)rule->error : ALLOW;
        expect(SEC_FILTER_START, &call, wanted);
        EACH_FINAL(which)
        expect(which, &call, rule->where & bits[which] ? wanted : TRAP);
        assert_true(rule->reason && *rule->reason);
        assert_true((rule->label != NULL) == (rule->checks_count > 0));
    }
}

static void test_filters__hot_paths__are_short(void **state)
{
    (void)state;
    const struct call run = {SYS_ioctl, {3, KVM_RUN}};
    const struct call write = {SYS_write, {1}};
    const struct call wait = {SYS_epoll_wait, {3}};
    assert_true(run_one(SEC_FILTER_START, &run).steps + run_one(SEC_FILTER_VCPU, &run).steps <= 14);
    assert_true(run_one(SEC_FILTER_START, &write).steps + run_one(SEC_FILTER_VCPU, &write).steps <=
                33);
    assert_true(run_one(SEC_FILTER_START, &wait).steps + run_one(SEC_FILTER_VMM, &wait).steps <=
                30);
}

static void test_filters__instructions__stay_within_budget(void **state)
{
    (void)state;
    static const uint32_t budgets[SEC_FILTERS_COUNT] = {330, 165, 90, 105};
    const struct sec_set set = sec_set_builtin();
    EACH(which)
    {
        (void)printf("%s: %u instructions (at most %u)\n", sec_filter_name(which),
                     set.programs[which].count, budgets[which]);
        assert_true(set.programs[which].count <= budgets[which]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters__what_no_thread_ever_needs__is_trapped),
        cmocka_unit_test(test_filters__what_is_over_when_the_guest_runs__is_trapped),
        cmocka_unit_test(test_filters__memory_that_is_executed__is_trapped),
        cmocka_unit_test(test_filters__sockets__are_unix_streams_of_the_vmm_thread),
        cmocka_unit_test(test_filters__limits_of_other_processes__are_trapped),
        cmocka_unit_test(test_filters__files__are_the_vmm_threads),
        cmocka_unit_test(test_filters__files__get_no_set_user_id_bits),
        cmocka_unit_test(test_filters__paths__are_not_looked_at_by_vcpus),
        cmocka_unit_test(test_filters__handlers_of_signals__stay),
        cmocka_unit_test(test_filters__descriptors__send_no_signals),
        cmocka_unit_test(test_filters__guests__are_run_by_vcpus_alone),
        cmocka_unit_test(test_filters__io_uring__updates_files_of_the_one_ring),
        cmocka_unit_test(test_filters__terminal__cannot_be_typed_into),
        cmocka_unit_test(test_filters__upper_half_of_a_32_bit_argument__means_nothing),
        cmocka_unit_test(test_filters__threads__are_made_by_clone_whose_flags_are_seen),
        cmocka_unit_test(test_filters__foreign_calls__kill),
        cmocka_unit_test(test_filters__each_rule_of_the_table__holds_where_it_says),
        cmocka_unit_test(test_filters__hot_paths__are_short),
        cmocka_unit_test(test_filters__instructions__stay_within_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
