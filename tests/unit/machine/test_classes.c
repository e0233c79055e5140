/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classes of virtio devices: each has all that attaching, finding, saving and restoring ask
 * for. Single thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/machine/machine_int.h"

static void test_machine_classes__every_class__has_every_member(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++) {
        const struct machine_class *class = &machine_classes[i];
        assert_int_not_equal(class->kind, 0);
        assert_non_null(class->name);
        assert_non_null(class->count);
        assert_non_null(class->id);
        assert_non_null(class->find);
        assert_non_null(class->save);
        assert_non_null(class->restore);
    }
}

static void test_machine_class_of__kind_of_a_class__that_class(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++)
        assert_ptr_equal(machine_class_of(machine_classes[i].kind), &machine_classes[i]);
}

static void test_machine_class_of__unknown_kind__null(void **state)
{
    (void)state;
    assert_null(machine_class_of((enum machine_device_kind)0));
    assert_null(machine_class_of((enum machine_device_kind)(MACHINE_DEVICE_VSOCK + 1)));
}

/* Two drives, an interface and a vsock device. */
static void fill(struct cfg_vm *config)
{
    struct err err = ERR_INIT;
    struct cfg_drive drives[] = {{.drive_id = strdup("root"), .path_on_host = strdup("r")},
                                 {.drive_id = strdup("data"), .path_on_host = strdup("d")}};
    struct cfg_nic nic = {.iface_id = strdup("eth0"), .host_dev_name = strdup("tap0")};
    cfg_vm_init(config);
    assert_int_equal(cfg_drives_put(config, &drives[0], &err), 0);
    assert_int_equal(cfg_drives_put(config, &drives[1], &err), 0);
    assert_int_equal(cfg_nics_put(config, &nic, &err), 0);
    config->has_vsock = true;
    config->vsock.uds_path = strdup("v");
}

static void test_machine_classes__configuration__counted_and_named(void **state)
{
    (void)state;
    struct cfg_vm config;
    fill(&config);
    assert_int_equal(machine_devices_count(&config), 4);
    assert_int_equal(machine_class_of(MACHINE_DEVICE_BLK)->count(&config), 2);
    assert_string_equal(machine_class_of(MACHINE_DEVICE_BLK)->id(&config, 1), "data");
    assert_int_equal(machine_class_of(MACHINE_DEVICE_NET)->count(&config), 1);
    assert_string_equal(machine_class_of(MACHINE_DEVICE_NET)->id(&config, 0), "eth0");
    assert_int_equal(machine_class_of(MACHINE_DEVICE_VSOCK)->count(&config), 1);
    cfg_vm_done(&config);
}

static void test_machine_find_device__not_staged__named(void **state)
{
    (void)state;
    struct cfg_vm config;
    struct machine *machine = calloc(1, sizeof(*machine)); /* nothing was staged */
    assert_non_null(machine);
    fill(&config);
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++) {
        const struct machine_class *class = &machine_classes[i];
        struct machine_device device;
        struct err err = ERR_INIT;
        assert_int_equal(machine_find_device(machine, class, &config, 0, &device, &err), -ENODEV);
        assert_non_null(strstr(err.msg, class->id(&config, 0)));
        assert_non_null(strstr(err.msg, " was not opened"));
    }
    cfg_vm_done(&config);
    free(machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machine_classes__every_class__has_every_member),
        cmocka_unit_test(test_machine_class_of__kind_of_a_class__that_class),
        cmocka_unit_test(test_machine_class_of__unknown_kind__null),
        cmocka_unit_test(test_machine_classes__configuration__counted_and_named),
        cmocka_unit_test(test_machine_find_device__not_staged__named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
