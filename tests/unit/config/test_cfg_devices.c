/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/config/cfg_devices.c: order, identity and limits of drives and interfaces.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/config/cfg_fields.h"

static int vm_setup(void **state)
{
    struct cfg_vm *vm = malloc(sizeof(*vm));
    if (!vm)
        return -1;
    cfg_vm_init(vm);
    *state = vm;
    return 0;
}

static int vm_teardown(void **state)
{
    cfg_vm_done(*state);
    free(*state);
    return 0;
}

static int put_drive(struct cfg_vm *vm, const char *id, bool root, struct err *err)
{
    struct cfg_drive drive = {.drive_id = strdup(id), .is_root_device = root};
    int ret = cfg_drives_put(vm, &drive, err);
    if (ret == 0)
        assert_null(drive.drive_id); /* taken over */
    else
        cfg_object_done(&cfg_object_drive, &drive);
    return ret;
}

static int put_nic(struct cfg_vm *vm, const char *id, uint8_t mac_tail, struct err *err)
{
    struct cfg_nic nic = {.iface_id = strdup(id), .has_guest_mac = mac_tail != 0};
    nic.guest_mac[5] = mac_tail;
    int ret = cfg_nics_put(vm, &nic, err);
    if (ret == 0)
        assert_null(nic.iface_id);
    else
        cfg_object_done(&cfg_object_nic, &nic);
    return ret;
}

static void test_cfg_drives_put__root_last__changes_places_with_the_first(void **state)
{
    struct cfg_vm *vm = *state;
    assert_int_equal(put_drive(vm, "a", false, NULL), 0);
    assert_int_equal(put_drive(vm, "b", false, NULL), 0);
    assert_int_equal(put_drive(vm, "root", true, NULL), 0);
    assert_string_equal(vm->drives[0].drive_id, "root");
    assert_string_equal(vm->drives[1].drive_id, "b");
    assert_string_equal(vm->drives[2].drive_id, "a"); /* swapped, as the reference does */
}

static void test_cfg_drives_put__second_root__refused_and_nothing_changes(void **state)
{
    struct cfg_vm *vm = *state;
    struct err err = ERR_INIT;
    assert_int_equal(put_drive(vm, "r1", true, NULL), 0);
    assert_int_equal(put_drive(vm, "r2", true, &err), -EEXIST);
    assert_string_equal(err.msg, "A root block device already exists!");
    assert_int_equal(vm->drives_count, 1);
    assert_non_null(cfg_drives_find(vm, "r1"));
    assert_null(cfg_drives_find(vm, "r2"));
}

static void test_cfg_drives_put__same_id__replaced_in_place(void **state)
{
    struct cfg_vm *vm = *state;
    assert_int_equal(put_drive(vm, "root", true, NULL), 0);
    assert_int_equal(put_drive(vm, "a", false, NULL), 0);
    assert_int_equal(put_drive(vm, "b", false, NULL), 0);
    vm->drives[1].is_read_only = true;
    assert_int_equal(put_drive(vm, "a", false, NULL), 0);
    assert_int_equal(vm->drives_count, 3);
    assert_false(vm->drives[1].is_read_only);
    assert_ptr_equal(cfg_drives_find(vm, "a"), &vm->drives[1]);
    assert_int_equal(put_drive(vm, "root", true, NULL), 0); /* the root itself again */
    assert_int_equal(vm->drives_count, 3);
}

static void test_cfg_drives_put__full__refused(void **state)
{
    struct cfg_vm *vm = *state;
    struct err err = ERR_INIT;
    char id[16];
    for (unsigned i = 0; i < CFG_DRIVES_MAX; i++) {
        (void)snprintf(id, sizeof(id), "d%u", i);
        assert_int_equal(put_drive(vm, id, false, NULL), 0);
    }
    assert_int_equal(put_drive(vm, "one-more", false, &err), -ENOSPC);
    assert_string_equal(err.msg, "too many drives: at most 64 are accepted");
    assert_int_equal(put_drive(vm, "d63", false, NULL), 0); /* replacing still works */
}

static void test_cfg_nics_put__same_id__goes_last_and_last_takes_its_place(void **state)
{
    struct cfg_vm *vm = *state;
    assert_int_equal(put_nic(vm, "a", 1, NULL), 0);
    assert_int_equal(put_nic(vm, "b", 2, NULL), 0);
    assert_int_equal(put_nic(vm, "c", 3, NULL), 0);
    assert_int_equal(put_nic(vm, "a", 1, NULL), 0);
    assert_string_equal(vm->nics[0].iface_id, "c");
    assert_string_equal(vm->nics[1].iface_id, "b");
    assert_string_equal(vm->nics[2].iface_id, "a");
    assert_int_equal(put_nic(vm, "a", 9, NULL), 0); /* the last one itself */
    assert_int_equal(vm->nics_count, 3);
    assert_int_equal(cfg_nics_find(vm, "a")->guest_mac[5], 9);
}

static void test_cfg_nics_put__mac_of_another__refused(void **state)
{
    struct cfg_vm *vm = *state;
    struct err err = ERR_INIT;
    assert_int_equal(put_nic(vm, "a", 0xab, NULL), 0);
    assert_int_equal(put_nic(vm, "b", 0xab, &err), -EEXIST);
    assert_string_equal(err.msg, "The MAC address is already in use: 00:00:00:00:00:ab");
    assert_int_equal(vm->nics_count, 1);
    assert_int_equal(put_nic(vm, "b", 0, NULL), 0); /* no MAC never clashes */
    assert_int_equal(put_nic(vm, "c", 0, NULL), 0);
}

static void test_cfg_nics_put__full__refused(void **state)
{
    struct cfg_vm *vm = *state;
    char id[16];
    for (unsigned i = 0; i < CFG_NICS_MAX; i++) {
        (void)snprintf(id, sizeof(id), "n%u", i);
        assert_int_equal(put_nic(vm, id, 0, NULL), 0);
    }
    assert_int_equal(put_nic(vm, "one-more", 0, NULL), -ENOSPC);
    assert_int_equal(vm->nics_count, CFG_NICS_MAX);
}

static void test_cfg_mmds_check_nics__unknown_id__refused(void **state)
{
    struct cfg_vm *vm = *state;
    char known[] = "a";
    char unknown[] = "z";
    struct err err = ERR_INIT;
    struct cfg_mmds mmds = {.network_interfaces = {known, known}, .network_interfaces_count = 2};
    assert_int_equal(put_nic(vm, "a", 1, NULL), 0);
    assert_int_equal(cfg_mmds_check_nics(&mmds, vm, &err), 0);
    mmds.network_interfaces[1] = unknown;
    assert_int_equal(cfg_mmds_check_nics(&mmds, vm, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "The list of network interface IDs provided contains at least one ID that "
                        "does not correspond to any existing network interface.");
}

static void put_mmds(struct cfg_vm *vm, const char *first, const char *second, const char *third)
{
    struct cfg_mmds mmds = {
        .network_interfaces = {strdup(first), strdup(second), strdup(third)},
        .network_interfaces_count = 3,
        .imds_compat = true,
    };
    cfg_mmds_put(vm, &mmds);
    assert_int_equal(mmds.network_interfaces_count, 0);
}

static void test_cfg_mmds_put__interfaces__once_and_in_the_order_of_the_vm(void **state)
{
    struct cfg_vm *vm = *state;
    uint8_t address[4];
    assert_int_equal(put_nic(vm, "a", 1, NULL), 0);
    assert_int_equal(put_nic(vm, "b", 2, NULL), 0);
    assert_int_equal(put_nic(vm, "c", 3, NULL), 0);
    put_mmds(vm, "c", "a", "c");
    assert_true(vm->has_mmds && vm->mmds.imds_compat);
    assert_int_equal(vm->mmds.network_interfaces_count, 2);
    assert_string_equal(vm->mmds.network_interfaces[0], "a");
    assert_string_equal(vm->mmds.network_interfaces[1], "c");
    cfg_mmds_address(&vm->mmds, address);
    assert_memory_equal(address, "\xa9\xfe\xa9\xfe", 4);
    put_mmds(vm, "b", "b", "b");
    assert_int_equal(vm->mmds.network_interfaces_count, 1);
    assert_string_equal(vm->mmds.network_interfaces[0], "b");
}

static void test_cfg_nics_put__one_of_mmds_again__loses_it(void **state)
{
    struct cfg_vm *vm = *state;
    assert_int_equal(put_nic(vm, "a", 1, NULL), 0);
    assert_int_equal(put_nic(vm, "b", 2, NULL), 0);
    assert_int_equal(put_nic(vm, "c", 3, NULL), 0);
    put_mmds(vm, "a", "b", "c");
    assert_int_equal(put_nic(vm, "d", 4, NULL), 0);
    assert_int_equal(vm->mmds.network_interfaces_count, 3);
    assert_int_equal(put_nic(vm, "a", 1, NULL), 0);
    assert_int_equal(vm->mmds.network_interfaces_count, 2);
    assert_string_equal(vm->mmds.network_interfaces[0], "b");
    cfg_nics_drop(vm, "b");
    assert_true(vm->has_mmds);
    assert_int_equal(put_nic(vm, "c", 5, NULL), 0);
    assert_false(vm->has_mmds);
    assert_int_equal(vm->mmds.network_interfaces_count, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, vm_setup, vm_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cfg_drives_put__root_last__changes_places_with_the_first),
        TEST(test_cfg_drives_put__second_root__refused_and_nothing_changes),
        TEST(test_cfg_drives_put__same_id__replaced_in_place),
        TEST(test_cfg_drives_put__full__refused),
        TEST(test_cfg_nics_put__same_id__goes_last_and_last_takes_its_place),
        TEST(test_cfg_nics_put__mac_of_another__refused),
        TEST(test_cfg_nics_put__full__refused),
        TEST(test_cfg_mmds_check_nics__unknown_id__refused),
        TEST(test_cfg_mmds_put__interfaces__once_and_in_the_order_of_the_vm),
        TEST(test_cfg_nics_put__one_of_mmds_again__loses_it),
    };
    return cmocka_run_group_tests_name("cfg_devices", tests, NULL, NULL);
}
