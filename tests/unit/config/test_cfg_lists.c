/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/config/cfg_lists.c: limits of the arrays inside objects, and folding of CPU template lists.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/config/cfg_lists_int.h"

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

static void test_cfg_list_registers__same_register_twice__later_wins(void **state)
{
    (void)state;
    struct cfg_cpuid_modifier cpuid = {0};
    struct cfg_register_modifier modifier = {.reg = 2, .bitmap = {.mask = 0xff, .value = 0x0f}};
    assert_int_equal(cfg_list_registers.add(&cpuid, &modifier, NULL), 0);
    modifier.bitmap = (struct cfg_bitmap32){.mask = 0x103, .value = 0x100};
    assert_int_equal(cfg_list_registers.add(&cpuid, &modifier, NULL), 0);
    assert_int_equal(cpuid.mask[2], 0x1ff);
    assert_int_equal(cpuid.value[2], 0x10c);
    assert_int_equal(cpuid.mask[0] | cpuid.mask[1] | cpuid.mask[3], 0);
}

static void test_cfg_lists__one_more_than_the_limit__enospc(void **state)
{
    struct cfg_vm *vm = *state;
    struct cfg_cpu_template *tmpl = &vm->cpu_template;
    struct cfg_cpuid_modifier cpuid = {.leaf = 1};
    struct cfg_msr_modifier msr = {.addr = 0x10a};
    for (unsigned i = 0; i < CFG_CPUID_LEAVES_MAX; i++)
        assert_int_equal(cfg_list_cpuid.add(tmpl, &cpuid, NULL), 0);
    for (unsigned i = 0; i < CFG_MSRS_MAX; i++)
        assert_int_equal(cfg_list_msrs.add(tmpl, &msr, NULL), 0);
    for (unsigned i = 0; i < CFG_CAPABILITIES_MAX; i++)
        assert_int_equal(cfg_list_capabilities.add(tmpl, i % 2 ? "!2" : "1", NULL), 0);
    for (unsigned i = 0; i < CFG_MMDS_NICS_MAX; i++)
        assert_int_equal(cfg_list_mmds_nics.add(&vm->mmds, "eth0", NULL), 0);
    assert_int_equal(cfg_list_cpuid.add(tmpl, &cpuid, NULL), -ENOSPC);
    assert_int_equal(cfg_list_msrs.add(tmpl, &msr, NULL), -ENOSPC);
    assert_int_equal(cfg_list_capabilities.add(tmpl, "1", NULL), -ENOSPC);
    assert_int_equal(cfg_list_capabilities.add(tmpl, "!2", NULL), -ENOSPC);
    assert_int_equal(cfg_list_mmds_nics.add(&vm->mmds, "eth0", NULL), -ENOSPC);
    assert_int_equal(tmpl->cpuid[CFG_CPUID_LEAVES_MAX - 1].leaf, 1);
    assert_int_equal(tmpl->caps[CFG_CAPABILITIES_MAX - 1].number, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cfg_list_registers__same_register_twice__later_wins),
        cmocka_unit_test_setup_teardown(test_cfg_lists__one_more_than_the_limit__enospc, vm_setup,
                                        vm_teardown),
    };
    return cmocka_run_group_tests_name("cfg_lists", tests, NULL, NULL);
}
