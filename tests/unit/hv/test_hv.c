/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM room against this host's KVM: node, VM, slots, irqchips, lines, doorbells; and the
 * sentence of every failure. Skipped (77) where /dev/kvm cannot be used. Single thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vmm/hv/hv_int.h"

#define EXIT_SKIP 77
#define KVM_PATH "/dev/kvm"
#define MIB (1024ull * 1024)
#define NO_SUCH_CAPABILITY 0x7fffffffu

static int setup(void **state)
{
    static struct hv hv; /* the test program's only one */
    struct err err = ERR_INIT;
    if (hv_open(KVM_PATH, &hv, &err) < 0)
        return -1;
    *state = &hv;
    return 0;
}

static int teardown(void **state)
{
    hv_close(*state);
    return 0;
}

static struct hv_vm vm_create(struct hv *hv)
{
    struct hv_vm vm;
    struct err err = ERR_INIT;
    assert_int_equal(hv_vm_create(hv, &vm, &err), 0);
    assert_string_equal(err.msg, "");
    return vm;
}

static struct gmem *memory_create(const struct gmem_range *ranges, uint32_t count)
{
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(gmem_create(ranges, count, GMEM_BACKING_DEFAULT, false, &gmem, &err), 0);
    return gmem;
}

static void test_hv_open__unusable_node__sentence_says_which_way(void **state)
{
    (void)state;
    struct hv hv;
    struct err err = ERR_INIT;
    assert_int_equal(hv_open("/nonexistent/kvm", &hv, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "Error creating KVM object: No such file or directory"));
    assert_non_null(strstr(err.msg, "The node does not exist: load kvm_intel or kvm_amd"));
    assert_non_null(strstr(err.msg, "(/nonexistent/kvm)"));
    assert_int_equal(hv_open("/dev/null/kvm", &hv, &err), -ENOTDIR);
    assert_non_null(strstr(err.msg, "Not a directory (os error 20)"));
}

static void test_hv_vm_create__node_is_not_kvm__said_so(void **state)
{
    (void)state;
    struct hv hv;
    struct hv_vm vm;
    struct err err = ERR_INIT;
    assert_int_equal(hv_open("/dev/null", &hv, &err), 0);
    assert_int_equal(hv_vm_create(&hv, &vm, &err), -ENOTTY);
    assert_non_null(strstr(err.msg, "KVM_CREATE_VM failed: "));
    assert_non_null(strstr(err.msg, "The node that was opened is not KVM"));
    hv_close(&hv);
    assert_int_equal(hv.fd, FD_NONE);
    hv_close(&hv); /* closing twice is fine */
}

static void test_hv_check_capability__known_and_unknown__told_apart(void **state)
{
    const struct hv *hv = *state;
    assert_true(hv_check_capability(hv, KVM_CAP_USER_MEMORY) > 0);
    assert_true(hv_check_capability(hv, NO_SUCH_CAPABILITY) <= 0);
}

static void test_hv_fail__capability_missing__named(void **state)
{
    const struct hv *hv = *state;
    struct err err = ERR_INIT;
    const struct hv_need lacking = {NO_SUCH_CAPABILITY, "KVM_CAP_MAGIC"};
    assert_int_equal(hv_fail(hv, &err, -EINVAL, "KVM_DO_MAGIC", &lacking), -EINVAL);
    assert_string_equal(err.msg, "KVM_DO_MAGIC failed: Invalid argument (os error 22). This host's "
                                 "KVM lacks KVM_CAP_MAGIC, which Mayfly needs");
    const struct hv_need there = {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"};
    assert_int_equal(hv_fail(hv, &err, -EINVAL, "KVM_DO_MAGIC", &there), -EINVAL);
    assert_string_equal(err.msg, "KVM_DO_MAGIC failed: Invalid argument (os error 22)");
    assert_int_equal(hv_fail(hv, &err, -ENOMEM, "KVM_DO_MAGIC", NULL), -ENOMEM);
    assert_non_null(strstr(err.msg, "(os error 12)"));
}

static void test_hv_supported_cpuid__this_host__has_the_basic_leaf(void **state)
{
    static struct hv_cpuid cpuid;
    struct err err = ERR_INIT;
    assert_int_equal(hv_supported_cpuid(*state, &cpuid, &err), 0);
    assert_in_range(cpuid.count, 1, HV_CPUID_ENTRIES_MAX);
    bool found = false;
    for (uint32_t i = 0; i < cpuid.count; i++)
        found |= cpuid.entries[i].function == 0;
    assert_true(found);
}

static void test_hv_vm_add_memory__two_regions__two_slots(void **state)
{
    const struct gmem_range ranges[] = {{gpa(0), 4 * MIB}, {gpa(4096 * MIB), 2 * MIB}};
    struct hv_vm vm = vm_create(*state);
    struct gmem *gmem = memory_create(ranges, 2);
    struct err err = ERR_INIT;
    assert_int_equal(hv_vm_add_memory(&vm, gmem, false, &err), 0);
    assert_ptr_equal(vm.gmem, gmem);
    hv_vm_close(&vm);
    gmem_free(gmem);
}

static void test_hv_vm_add_memory__overlap__region_and_call_named(void **state)
{
    const struct gmem_range low[] = {{gpa(0), 4 * MIB}, {gpa(16 * MIB), 2 * MIB}};
    const struct gmem_range moved = {gpa(17 * MIB), 4 * MIB};
    struct hv_vm vm = vm_create(*state);
    struct gmem *first = memory_create(low, 2);
    struct gmem *second = memory_create(&moved, 1);
    struct err err = ERR_INIT;
    assert_int_equal(hv_vm_add_memory(&vm, first, true, &err), 0);
    /* Slot 0 would move into slot 1's range. */
    assert_true(hv_vm_add_memory(&vm, second, true, &err) < 0);
    assert_non_null(strstr(err.msg, "guest memory of 4 MiB at 0x1100000: "));
    assert_non_null(strstr(err.msg, "KVM_SET_USER_MEMORY_REGION failed: "));
    assert_ptr_equal(vm.gmem, first);
    hv_vm_close(&vm);
    gmem_free(first);
    gmem_free(second);
}

static void test_hv_vm_create_irqchip__either__lines_work_and_errors_are_named(void **state)
{
    static const enum hv_irqchip irqchips[] = {HV_IRQCHIP_SPLIT, HV_IRQCHIP_FULL};
    for (size_t i = 0; i < ARRAY_LEN(irqchips); i++) {
        struct hv_vm vm = vm_create(*state);
        struct err err = ERR_INIT;
        FD_AUTO int line = fd_eventfd();
        assert_true(line >= 0);
        assert_true(hv_vm_irqfd(&vm, line, 5, &err) < 0);
        assert_non_null(strstr(err.msg, "KVM_IRQFD failed: "));
        assert_int_equal(hv_vm_create_irqchip(&vm, irqchips[i], &err), 0);
        assert_int_equal(vm.irqchip, irqchips[i]);
        assert_int_equal(hv_vm_irqfd(&vm, line, 5, &err), 0);
        assert_true(hv_vm_irqfd(&vm, line, 6, &err) < 0); /* one line an eventfd */
        assert_non_null(strstr(err.msg, "KVM_IRQFD failed: "));
        assert_true(hv_vm_create_irqchip(&vm, irqchips[i], &err) < 0);
        assert_non_null(strstr(err.msg, irqchips[i] == HV_IRQCHIP_SPLIT
                                            ? "KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP) failed: "
                                            : "KVM_CREATE_IRQCHIP failed: "));
        hv_vm_close(&vm);
    }
}

static void test_hv_vm_set_routes__messages__taken_and_bad_ones_named(void **state)
{
    struct hv_vm vm = vm_create(*state);
    struct err err = ERR_INIT;
    assert_int_equal(hv_vm_create_irqchip(&vm, HV_IRQCHIP_SPLIT, &err), 0);
    struct kvm_irq_routing_entry entries[HV_ROUTES_MAX];
    for (uint32_t i = 0; i < HV_ROUTES_MAX; i++)
        entries[i] = (struct kvm_irq_routing_entry){
            .gsi = i % HV_GSI_COUNT,
            .type = KVM_IRQ_ROUTING_MSI,
            .u.msi = {.address_lo = 0xfee00000, .data = 0x30 + i},
        };
    assert_int_equal(hv_vm_set_routes(&vm, entries, HV_GSI_COUNT, &err), 0);
    assert_int_equal(hv_vm_set_routes(&vm, entries, 0, &err), 0);
    entries[3].type = 0xffff;
    assert_true(hv_vm_set_routes(&vm, entries, HV_GSI_COUNT, &err) < 0);
    assert_non_null(strstr(err.msg, "KVM_SET_GSI_ROUTING failed: "));
    hv_vm_close(&vm);
}

static void test_hv_vm_ioeventfd__same_doorbell_twice__refused_and_named(void **state)
{
    struct hv_vm vm = vm_create(*state);
    struct err err = ERR_INIT;
    FD_AUTO int bell = fd_eventfd();
    assert_true(bell >= 0);
    assert_int_equal(hv_vm_ioeventfd(&vm, bell, gpa(0xc0001050), 0, &err), 0);
    assert_int_equal(hv_vm_ioeventfd(&vm, bell, gpa(0xc0001050), 1, &err), 0);
    assert_int_equal(hv_vm_ioeventfd(&vm, bell, gpa(0xc0001050), 0, &err), -EEXIST);
    assert_non_null(strstr(err.msg, "KVM_IOEVENTFD failed: "));
    hv_vm_close(&vm);
}

int main(void)
{
    struct hv hv;
    struct hv_vm vm;
    struct err err = ERR_INIT;
    if (hv_open(KVM_PATH, &hv, &err) < 0 || hv_vm_create(&hv, &vm, &err) < 0) {
        (void)fprintf(stderr, "skipped: %s\n", err.msg);
        return EXIT_SKIP;
    }
    hv_vm_close(&vm);
    hv_close(&hv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hv_open__unusable_node__sentence_says_which_way),
        cmocka_unit_test(test_hv_vm_create__node_is_not_kvm__said_so),
        cmocka_unit_test(test_hv_check_capability__known_and_unknown__told_apart),
        cmocka_unit_test(test_hv_fail__capability_missing__named),
        cmocka_unit_test(test_hv_supported_cpuid__this_host__has_the_basic_leaf),
        cmocka_unit_test(test_hv_vm_add_memory__two_regions__two_slots),
        cmocka_unit_test(test_hv_vm_add_memory__overlap__region_and_call_named),
        cmocka_unit_test(test_hv_vm_create_irqchip__either__lines_work_and_errors_are_named),
        cmocka_unit_test(test_hv_vm_set_routes__messages__taken_and_bad_ones_named),
        cmocka_unit_test(test_hv_vm_ioeventfd__same_doorbell_twice__refused_and_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
