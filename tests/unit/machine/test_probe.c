/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe guest: an answer with a sentence where it is no, and errors that name the node. Single
 * thread.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "vmm/machine/probe.h"

static void test_machine_probe__this_host__yes_or_no_with_a_sentence(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        skip();
    int rc = machine_probe("/dev/kvm", &err);
    assert_in_range(rc, 0, 1);
    assert_true((rc == 0) == (err.msg[0] != '\0'));
    if (rc == 0)
        assert_non_null(strstr(err.msg, "guest"));
}

static void test_machine_probe__twice__same_answer(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        skip();
    assert_int_equal(machine_probe("/dev/kvm", &err), machine_probe("/dev/kvm", &err));
}

static void test_machine_probe__no_node__errno_and_path(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(machine_probe("/nonexistent/kvm", &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/nonexistent/kvm"));
}

static void test_machine_probe__node_is_not_kvm__said_so(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(machine_probe("/dev/null", &err), -ENOTTY);
    assert_non_null(strstr(err.msg, "not KVM"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machine_probe__this_host__yes_or_no_with_a_sentence),
        cmocka_unit_test(test_machine_probe__twice__same_answer),
        cmocka_unit_test(test_machine_probe__no_node__errno_and_path),
        cmocka_unit_test(test_machine_probe__node_is_not_kvm__said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
