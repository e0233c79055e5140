/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/ctl/action.c: every kind of action gives back what it owns. AddressSanitizer
 * looks for what was forgotten.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/ctl/action.h"

static char *text(void)
{
    char *copy = strdup("owned");
    assert_non_null(copy);
    return copy;
}

static void check_done(struct ctl_action *action)
{
    static const struct ctl_action zero;

    ctl_action_done(action);
    assert_memory_equal(action, &zero, sizeof(zero));
    ctl_action_done(action); /* an empty one is fine */
}

static void test_ctl_action_done__configuration__freed_and_zeroed(void **state)
{
    (void)state;
    struct ctl_action action = {.kind = CTL_BOOT_SOURCE_PUT};
    action.u.boot_source = (struct cfg_boot_source){text(), text(), text()};
    check_done(&action);

    action.kind = CTL_DRIVE_PUT;
    action.u.drive =
        (struct cfg_drive){.drive_id = text(), .path_on_host = text(), .socket = text()};
    check_done(&action);

    action.kind = CTL_MMDS_CONFIG_PUT;
    action.u.mmds.network_interfaces[0] = text();
    action.u.mmds.network_interfaces_count = 1;
    check_done(&action);

    action.kind = CTL_CPU_CONFIG_PUT;
    action.u.cpu_template.msrs = calloc(2, sizeof(*action.u.cpu_template.msrs));
    action.u.cpu_template.msrs_count = 2;
    check_done(&action);
}

static void test_ctl_action_done__bodies_of_requests__freed_and_zeroed(void **state)
{
    (void)state;
    struct ctl_action action = {.kind = CTL_SNAPSHOT_LOAD};
    action.u.snapshot_load.snapshot_path = text();
    action.u.snapshot_load.mem_file_path = text();
    action.u.snapshot_load.mem_backend =
        (struct cfg_mem_source){.present = true, .backend_path = text()};
    action.u.snapshot_load.vsock_override =
        (struct cfg_vsock_override){.present = true, .uds_path = text()};
    action.u.snapshot_load.network_overrides_count = 1;
    action.u.snapshot_load.network_overrides[0] = (struct cfg_nic_override){text(), text()};
    check_done(&action);

    action.kind = CTL_SNAPSHOT_CREATE;
    action.u.snapshot_create.snapshot_path = text();
    action.u.snapshot_create.mem_file_path = text();
    check_done(&action);

    action.kind = CTL_DRIVE_PATCH;
    action.u.drive_patch.drive_id = text();
    action.u.drive_patch.path_on_host = text();
    check_done(&action);

    action.kind = CTL_NIC_PATCH;
    action.u.nic_patch.iface_id = text();
    check_done(&action);

    action.kind = CTL_SERIAL_PUT;
    action.u.serial.serial_out_path = text();
    check_done(&action);
}

static void test_ctl_action_done__every_kind_empty__zeroed(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < CTL_ACTIONS_COUNT; kind++) {
        struct ctl_action action = {.kind = (enum ctl_action_kind)kind};
        check_done(&action);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctl_action_done__configuration__freed_and_zeroed),
        cmocka_unit_test(test_ctl_action_done__bodies_of_requests__freed_and_zeroed),
        cmocka_unit_test(test_ctl_action_done__every_kind_empty__zeroed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
