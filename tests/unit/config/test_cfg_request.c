/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/config/cfg_request.c: what PUT and PATCH /machine-config leave behind, and what a load
 * request comes to (api.md 7).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/config/cfg_fields.h"

static const struct cfg_machine before = {
    .vcpu_count = 2,
    .mem_size_mib = 256,
    .smt = true,
    .has_cpu_template = true,
    .cpu_template = CFG_TEMPLATE_T2,
    .track_dirty_pages = true,
    .huge_pages = CFG_HUGE_PAGES_2M,
};

static void assert_machine(const struct cfg_machine *is, const struct cfg_machine *wanted)
{
    assert_int_equal(is->vcpu_count, wanted->vcpu_count);
    assert_int_equal(is->mem_size_mib, wanted->mem_size_mib);
    assert_int_equal(is->smt, wanted->smt);
    assert_int_equal(is->has_cpu_template, wanted->has_cpu_template);
    assert_int_equal(is->cpu_template, wanted->cpu_template);
    assert_int_equal(is->track_dirty_pages, wanted->track_dirty_pages);
    assert_int_equal(is->huge_pages, wanted->huge_pages);
}

static void test_cfg_machine_put__template_omitted__old_one_stays(void **state)
{
    (void)state;
    struct cfg_machine machine = before;
    struct cfg_machine put = {
        .vcpu_count = 1, .mem_size_mib = 64, .cpu_template = CFG_TEMPLATE_NONE};
    struct cfg_machine wanted = put;
    struct err err = ERR_INIT;

    assert_int_equal(cfg_machine_put(&put, &machine, &err), 0);
    wanted.has_cpu_template = true;
    wanted.cpu_template = CFG_TEMPLATE_T2;
    assert_machine(&machine, &wanted);
}

static void test_cfg_machine_put__template_none__is_taken_away(void **state)
{
    (void)state;
    struct cfg_machine machine = before;
    struct cfg_machine put = {.vcpu_count = 1,
                              .mem_size_mib = 64,
                              .has_cpu_template = true,
                              .cpu_template = CFG_TEMPLATE_NONE};
    struct err err = ERR_INIT;

    assert_int_equal(cfg_machine_put(&put, &machine, &err), 0);
    assert_false(machine.has_cpu_template);
    assert_int_equal(machine.cpu_template, CFG_TEMPLATE_NONE);
}

static void test_cfg_machine_put__bad__changes_nothing(void **state)
{
    (void)state;
    struct cfg_machine machine = before;
    struct cfg_machine put = {.vcpu_count = 33, .mem_size_mib = 64};
    struct err err = ERR_INIT;

    assert_int_equal(cfg_machine_put(&put, &machine, &err), -EINVAL);
    assert_machine(&machine, &before);
}

static void test_cfg_machine_patch_apply__each_member__changes_alone(void **state)
{
    (void)state;
    struct cfg_machine_patch patches[6] = {
        {.has_vcpu_count = true, .machine.vcpu_count = 4},
        {.has_mem_size_mib = true, .machine.mem_size_mib = 512},
        {.has_smt = true, .machine.smt = false},
        {.machine.has_cpu_template = true, .machine.cpu_template = CFG_TEMPLATE_NONE},
        {.has_track_dirty_pages = true, .machine.track_dirty_pages = false},
        {.has_huge_pages = true, .machine.huge_pages = CFG_HUGE_PAGES_NONE},
    };
    struct cfg_machine wanted[6] = {before, before, before, before, before, before};

    wanted[0].vcpu_count = 4;
    wanted[1].mem_size_mib = 512;
    wanted[2].smt = false;
    wanted[3].has_cpu_template = false;
    wanted[3].cpu_template = CFG_TEMPLATE_NONE;
    wanted[4].track_dirty_pages = false;
    wanted[5].huge_pages = CFG_HUGE_PAGES_NONE;
    for (size_t i = 0; i < ARRAY_LEN(patches); i++) {
        struct cfg_machine machine = before;
        struct err err = ERR_INIT;
        assert_false(cfg_machine_patch_is_empty(&patches[i]));
        assert_int_equal(cfg_machine_patch_apply(&patches[i], &machine, &err), 0);
        assert_machine(&machine, &wanted[i]);
    }
}

static void test_cfg_machine_patch_apply__result_is_bad__changes_nothing(void **state)
{
    (void)state;
    /* Each is bad only together with what was there: SMT, and pages of 2 MiB. */
    static const struct cfg_machine_patch patches[] = {
        {.has_vcpu_count = true, .machine.vcpu_count = 3},
        {.has_mem_size_mib = true, .machine.mem_size_mib = 129},
        {.has_smt = true, .has_vcpu_count = true, .machine.smt = false, .machine.vcpu_count = 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(patches); i++) {
        struct cfg_machine machine = before;
        struct err err = ERR_INIT;
        assert_int_equal(cfg_machine_patch_apply(&patches[i], &machine, &err), -EINVAL);
        assert_machine(&machine, &before);
    }
}

static void test_cfg_machine_patch_apply__empty__refused(void **state)
{
    (void)state;
    const struct cfg_machine_patch patch = {0};
    struct cfg_machine machine = before;
    struct err err = ERR_INIT;

    assert_true(cfg_machine_patch_is_empty(&patch));
    assert_int_equal(cfg_machine_patch_apply(&patch, &machine, &err), -EINVAL);
    assert_string_equal(err.msg, "Empty PATCH request.");
    assert_machine(&machine, &before);
}

static void test_cfg_snapshot_load_settle__both_or_neither__refused(void **state)
{
    (void)state;
    char path[] = "m";
    struct err err = ERR_INIT;
    struct cfg_snapshot_load both = {.mem_file_path = path, .mem_backend.present = true};
    struct cfg_snapshot_load neither = {0};

    assert_int_equal(cfg_snapshot_load_settle(&both, &err), -EINVAL);
    assert_string_equal(
        err.msg,
        "too many fields: either `mem_backend` or `mem_file_path` exclusively is required");
    assert_int_equal(cfg_snapshot_load_settle(&neither, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "missing field: either `mem_backend` or `mem_file_path` is required");
}

static void test_cfg_snapshot_load_settle__handler_exit_of_a_file__refused(void **state)
{
    struct err err = ERR_INIT;
    char path[] = "m";
    struct cfg_snapshot_load load = {.snapshot_path = path,
                                     .mem_backend = {.present = true,
                                                     .backend_path = path,
                                                     .backend_type = CFG_MEM_BACKEND_FILE,
                                                     .on_handler_exit = CFG_HANDLER_EXIT_EXIT}};
    (void)state;
    assert_int_equal(cfg_snapshot_load_settle(&load, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "on_handler_exit is for backend_type Uffd"));
    load.mem_backend.backend_type = CFG_MEM_BACKEND_UFFD;
    assert_int_equal(cfg_snapshot_load_settle(&load, &err), 0);
}

static void test_cfg_snapshot_load_settle__prefetch_of_a_handler__refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct cfg_snapshot_load load = {
        .mem_backend = {.present = true, .backend_type = CFG_MEM_BACKEND_UFFD, .prefetch = true}};
    assert_int_equal(cfg_snapshot_load_settle(&load, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "prefetch is for backend_type File"));
}

static void test_cfg_snapshot_load_settle__deprecated_members__become_their_successors(void **state)
{
    (void)state;
    char path[] = "m";
    struct err err = ERR_INIT;
    struct cfg_snapshot_load load = {
        .snapshot_path = path, .mem_file_path = path, .enable_diff_snapshots = true};

    assert_true(cfg_snapshot_load_is_deprecated(&load));
    assert_int_equal(cfg_snapshot_load_settle(&load, &err), 0);
    assert_true(load.mem_backend.present);
    assert_ptr_equal(load.mem_backend.backend_path, path);
    assert_int_equal(load.mem_backend.backend_type, CFG_MEM_BACKEND_FILE);
    assert_null(load.mem_file_path);
    assert_true(load.track_dirty_pages);
    assert_false(cfg_snapshot_load_is_deprecated(&load));
}

static void expect_settle_fails(struct cfg_snapshot_load *load, const char *text)
{
    struct err err = ERR_INIT;
    assert_int_equal(cfg_snapshot_load_settle(load, &err), -EINVAL);
    assert_string_equal(err.msg, text);
}

static void test_cfg_snapshot_load_settle__empty_text__field_is_named(void **state)
{
    (void)state;
    char path[] = "m";
    char empty[] = "";
    struct cfg_snapshot_load good = {.snapshot_path = path,
                                     .mem_backend = {.present = true, .backend_path = path}};
    struct cfg_snapshot_load load = good;
    load.snapshot_path = empty;
    expect_settle_fails(&load, "`snapshot_path` is empty: name the snapshot's state file");
    load = good;
    load.mem_backend.backend_path = empty;
    expect_settle_fails(
        &load, "`backend_path` of `mem_backend` is empty: name the snapshot's memory file");
    load = (struct cfg_snapshot_load){.snapshot_path = path, .mem_file_path = empty};
    expect_settle_fails(&load, "`mem_file_path` is empty: name the snapshot's memory file");
    load = good;
    load.vsock_override = (struct cfg_vsock_override){.present = true, .uds_path = empty};
    expect_settle_fails(&load, "`uds_path` of `vsock_override` is empty: name the path of a socket "
                               "that is to be made");
    load = good;
    struct cfg_nic_override nic = {.iface_id = path, .host_dev_name = empty};
    load.network_overrides_count = 1;
    load.network_overrides = &nic;
    expect_settle_fails(&load, "`host_dev_name` of `m` in `network_overrides` is empty: name the "
                               "TAP device that the interface gets here");
    struct cfg_drive_override drives[] = {{.drive_id = path, .path_on_host = empty},
                                          {.drive_id = path}};
    load = good;
    load.drive_overrides_count = 1;
    load.drive_overrides = drives;
    expect_settle_fails(&load, "`path_on_host` of `m` in `drive_overrides` is empty: name the file "
                               "that the drive gets here, or leave it out to keep the snapshot's");
    drives[0] = (struct cfg_drive_override){.drive_id = empty};
    expect_settle_fails(&load, "`drive_id` of an element of `drive_overrides` is empty: name a "
                               "drive of the snapshot");
}

static void test_cfg_snapshot_load_settle__a_drive_twice__refused(void **state)
{
    (void)state;
    char path[] = "m";
    struct cfg_drive_override drives[] = {{.drive_id = path, .path_on_host = path},
                                          {.drive_id = path}};
    struct cfg_snapshot_load load = {.snapshot_path = path,
                                     .mem_backend = {.present = true, .backend_path = path},
                                     .drive_overrides = drives,
                                     .drive_overrides_count = 1};
    struct err err = ERR_INIT;
    assert_int_equal(cfg_snapshot_load_settle(&load, &err), 0);
    load.drive_overrides_count = 2;
    expect_settle_fails(&load, "`drive_overrides` names the drive `m` twice: a drive has one file, "
                               "leave one of them out");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cfg_machine_put__template_omitted__old_one_stays),
        cmocka_unit_test(test_cfg_machine_put__template_none__is_taken_away),
        cmocka_unit_test(test_cfg_machine_put__bad__changes_nothing),
        cmocka_unit_test(test_cfg_machine_patch_apply__each_member__changes_alone),
        cmocka_unit_test(test_cfg_machine_patch_apply__result_is_bad__changes_nothing),
        cmocka_unit_test(test_cfg_machine_patch_apply__empty__refused),
        cmocka_unit_test(test_cfg_snapshot_load_settle__both_or_neither__refused),
        cmocka_unit_test(test_cfg_snapshot_load_settle__prefetch_of_a_handler__refused),
        cmocka_unit_test(test_cfg_snapshot_load_settle__handler_exit_of_a_file__refused),
        cmocka_unit_test(
            test_cfg_snapshot_load_settle__deprecated_members__become_their_successors),
        cmocka_unit_test(test_cfg_snapshot_load_settle__empty_text__field_is_named),
        cmocka_unit_test(test_cfg_snapshot_load_settle__a_drive_twice__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
