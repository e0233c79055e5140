/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/app/host_check.c against made-up hosts: a folder with the few files that are
 * looked at. Single thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "vmm/app/host_check.h"

#define HEADING "Filename\tType\tSize\tUsed\tPriority\n"

static char root[64];
static char text[APP_HOST_TEXT_MAX_SIZE];

/* A path of the made-up host. */
static const char *at(const char *path)
{
    static char full[256];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    return full;
}

static void put(const char *path, const char *content)
{
    char folder[256];
    (void)snprintf(folder, sizeof(folder), "%s", at(path));
    for (char *slash = folder + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(folder, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(at(path), "we");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_good_host(void)
{
    put("/sys/kernel/mm/ksm/run", "0\n");
    put("/sys/devices/system/cpu/smt/active", "0\n");
    put("/sys/module/kvm/parameters/nx_huge_pages", "Y\n");
    put("/sys/devices/system/cpu/vulnerabilities/itlb_multihit", "KVM: Mitigation: Split\n");
    put("/sys/devices/system/cpu/vulnerabilities/mds", "Not affected\n");
    put("/proc/mounts", "proc /proc proc rw 0 0\n"
                        "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,favordynmods 0 0\n");
    put("/proc/swaps", HEADING);
    put("/proc/sys/user/max_user_namespaces", "63000\n");
    put("/proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
}

/* Another user cannot make nodes: /dev/kvm is missing then, and one row more is advised. */
static int kvm_advised(void)
{
    put("/dev/kvm", "");
    assert_int_equal(unlink(at("/dev/kvm")), 0);
    if (mknod(at("/dev/kvm"), S_IFCHR | 0660, makedev(10, 232)) < 0)
        return 1;
    assert_int_equal(chmod(at("/dev/kvm"), 0660), 0);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/mayfly-host-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    make_good_host();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command); /* NOLINT(cert-env33-c): a folder that this program has named */
}

static int check(void)
{
    const struct app_host host = {.root = root, .landlock_abi = 7};
    return app_host_check(&host, text, sizeof(text));
}

/* The row says so, and advises what. fix: NULL: it is good. */
static void assert_row(const char *name, const char *found, const char *fix)
{
    char head[64];
    (void)snprintf(head, sizeof(head), "%-7s %-16s  ", fix ? "advise" : "good", name);
    char *line = strstr(text, head);
    if (!line)
        fail_msg("no line '%s' in\n%s", head, text);
    char *end = strchr(line, '\n');
    assert_non_null(end);
    const char *seen = strstr(line, found);
    if (!seen || seen > end)
        fail_msg("no '%s' in the line %.*s", found, (int)(end - line), line);
    if (!fix)
        return;
    assert_memory_equal(end + 1, "        cost: ", 14);
    const char *advised = strstr(end, "\n        fix:  ");
    assert_non_null(advised);
    if (strncmp(advised + 15, fix, strlen(fix)) != 0)
        fail_msg("the fix is not '%s' but %.100s", fix, advised + 15);
}

static void test_check__good_host__nothing_is_advised(void **state)
{
    (void)state;
    int kvm = kvm_advised();
    assert_int_equal(check(), kvm);
    assert_row("KSM", "/sys/kernel/mm/ksm/run is 0", NULL);
    assert_row("SMT", "is 0", NULL);
    assert_row("nx_huge_pages", "is Y", NULL);
    assert_row("cgroup v2", "cgroup2 with favordynmods", NULL);
    assert_row("swap", "none", NULL);
    assert_row("mitigations", "all 2 that the kernel knows are closed", NULL);
    assert_row("Landlock", "ABI 7", NULL);
    assert_row("user namespaces", "--rootless can work", NULL);
    assert_row("unprivileged BPF", "is 2", NULL);
    assert_row("huge pages", "[madvise]", NULL);
}

static void test_check__one_bad_setting__its_fix_is_advised(void **state)
{
    (void)state;
    const struct {
        const char *path, *content, *row, *found, *fix;
    } bad[] = {
        {"/sys/kernel/mm/ksm/run", "1\n", "KSM", "is 1: pages are merged", "echo 2 >"},
        {"/sys/devices/system/cpu/smt/active", "1\n", "SMT", "may share a core", "echo off >"},
        {"/sys/module/kvm/parameters/nx_huge_pages", "N\n", "nx_huge_pages", "iTLB multihit",
         "echo Y >"},
        {"/proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "cgroup v2",
         "without favordynmods", "mount -o remount,favordynmods /sys/fs/cgroup"},
        {"/proc/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", "cgroup v2",
         "no cgroup2 is mounted", "boot with systemd.unified"},
        {"/proc/mounts", "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,favordynmods 0 0\n",
         "cgroup v2", "at /sys/fs/cgroup/unified, beside cgroup v1", "boot with systemd.unified"},
        {"/proc/mounts", "line without fields\n\ncgroup2\n", "cgroup v2", "no cgroup2",
         "boot with"},
        {"/proc/swaps", HEADING "/dev/sda2 partition 1 0 -2\n", "swap", "/dev/sda2 is in use",
         "swapoff -a\n"},
        {"/sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: X; SMT vulnerable\n",
         "mitigations", "mds (Mitigation: X; SMT vulnerable)", "apt-get install"},
        {"/proc/sys/kernel/unprivileged_bpf_disabled", "0\n", "unprivileged BPF",
         "is 0:", "sysctl -w kernel.unprivileged_bpf_disabled=2"},
        {"/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n", "huge pages",
         "has no effect", "echo madvise >"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        make_good_host();
        int before = check();
        put(bad[i].path, bad[i].content);
        assert_int_equal(check(), before + 1);
        assert_row(bad[i].row, bad[i].found, bad[i].fix);
    }
}

static void test_check__swap_and_limits__limit_is_offered_too(void **state)
{
    (void)state;
    put("/proc/swaps", HEADING "/swapfile file 1 0 -2\n");
    put("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    assert_true(check() > 0);
    assert_row("swap", "/swapfile is in use", "swapoff -a   # or for each VM: mayfly-jailer");
}

static void test_check__processor_not_affected__nx_huge_pages_may_be_off(void **state)
{
    (void)state;
    int before = check();
    put("/sys/module/kvm/parameters/nx_huge_pages", "N\n");
    put("/sys/devices/system/cpu/vulnerabilities/itlb_multihit", "Not affected\n");
    assert_int_equal(check(), before);
    assert_row("nx_huge_pages", "itlb_multihit is Not affected", NULL);
}

static void test_check__file_missing__is_said_and_judged(void **state)
{
    (void)state;
    const struct {
        const char *path, *row, *fix; /* fix: NULL: without the thing there is no danger */
    } missing[] = {
        {"/sys/kernel/mm/ksm/run", "KSM", NULL},
        {"/sys/devices/system/cpu/smt/active", "SMT", "look why"},
        {"/sys/module/kvm/parameters/nx_huge_pages", "nx_huge_pages", "modprobe kvm_intel"},
        {"/proc/mounts", "cgroup v2", "look why"},
        {"/proc/swaps", "swap", NULL},
        {"/proc/sys/user/max_user_namespaces", "user namespaces", NULL},
        {"/proc/sys/kernel/unprivileged_bpf_disabled", "unprivileged BPF", NULL},
        {"/sys/kernel/mm/transparent_hugepage/enabled", "huge pages", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        make_good_host();
        int before = check();
        char found[128];
        (void)snprintf(found, sizeof(found), "there is no %s", missing[i].path);
        assert_int_equal(unlink(at(missing[i].path)), 0);
        assert_int_equal(check(), before + (missing[i].fix ? 1 : 0));
        assert_row(missing[i].row, found, missing[i].fix);
    }
}

static void test_check__no_files_at_all__never_good(void **state)
{
    (void)state;
    const struct app_host host = {.root = "/nonexistent", .landlock_abi = -ENOSYS};
    assert_true(app_host_check(&host, text, sizeof(text)) >= 6);
    assert_row("mitigations", "cannot open", "look why");
    assert_row("/dev/kvm", "ENOENT", "modprobe kvm_intel");
}

static void test_check__endless_or_empty_file__refused(void **state)
{
    (void)state;
    char big[8192];
    memset(big, '0', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    put("/sys/kernel/mm/ksm/run", big);
    put("/sys/devices/system/cpu/smt/active", "\n");
    assert_true(check() >= 2);
    assert_row("KSM", "larger than the limit of 4096 bytes (EFBIG)", "look why");
    assert_row("SMT", "is empty", "look why");
}

static void test_check__landlock__judged_by_its_abi(void **state)
{
    (void)state;
    struct app_host host = {.root = root, .landlock_abi = 6};
    int before = app_host_check(&host, text, sizeof(text));
    host.landlock_abi = 5;
    assert_int_equal(app_host_check(&host, text, sizeof(text)), before + 1);
    assert_row("Landlock", "ABI 5, less than 6", "install a kernel of 6.12");
    host.landlock_abi = -EOPNOTSUPP;
    assert_int_equal(app_host_check(&host, text, sizeof(text)), before + 1);
    assert_row("Landlock", "EOPNOTSUPP", "boot with landlock");
}

static void test_check__kvm_for_everybody__advised(void **state)
{
    (void)state;
    if (kvm_advised() > 0)
        skip(); /* only root makes nodes */
    int before = check();
    assert_row("/dev/kvm", "mode 0660, owner 0:0", NULL);
    assert_int_equal(chmod(at("/dev/kvm"), 0666), 0);
    assert_int_equal(check(), before + 1);
    assert_row("/dev/kvm", "mode 0666", "chown root:kvm /dev/kvm && chmod 0660");
    assert_int_equal(unlink(at("/dev/kvm")), 0);
    put("/dev/kvm", "a file");
    assert_int_equal(check(), before + 1);
    assert_row("/dev/kvm", "it is no device", "modprobe");
}

static void test_check__small_room__cut_with_its_nul(void **state)
{
    (void)state;
    char small[32];
    memset(small, 'x', sizeof(small));
    const struct app_host host = {.root = root, .landlock_abi = 7};
    int advised = app_host_check(&host, small, sizeof(small));
    assert_int_equal(strlen(small), sizeof(small) - 1);
    assert_int_equal(check(), advised);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_check__good_host__nothing_is_advised, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check__one_bad_setting__its_fix_is_advised, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_check__swap_and_limits__limit_is_offered_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_check__processor_not_affected__nx_huge_pages_may_be_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check__file_missing__is_said_and_judged, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_check__no_files_at_all__never_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check__endless_or_empty_file__refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_check__landlock__judged_by_its_abi, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check__kvm_for_everybody__advised, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check__small_room__cut_with_its_nul, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
