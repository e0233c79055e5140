/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State out of KVM and into another VM, under this host's KVM. Skipped (77) where /dev/kvm cannot
 * be used. Single thread.
 */
#include "vmm/hv/hv_state.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vmm/hv/hv_int.h"

#define EXIT_SKIP 77
#define MEMORY_SIZE (2u * 1024 * 1024)
#define CODE 0x1000u
#define RUNS_MAX 64
#define HOUR_NS (3600 * NS_PER_S)
/* What a slow host may take between two calls. */
#define SLOW_NS (30 * NS_PER_S)

#define MSR_TSC 0x10u
#define MSR_TSC_DEADLINE 0x6e0u

#define FCW 0x37eu         /* 0x37f in a fresh vCPU */
#define XSTATE_BV_OFF 512u /* into the XSAVE area */

/* The deadline is first here, and has to be last in a state. */
static const struct hv_msr_list msrs = {
    .count = 8,
    .indexes = {MSR_TSC_DEADLINE, MSR_TSC, 0x174, 0x175, 0x176, 0x277, 0xc0000081, 0xc0000102},
};

/* One VM with one vCPU. */
struct side {
    struct hv hv;
    struct hv_vm vm;
    struct hv_vcpu vcpu;
    struct gmem *gmem;
};

static struct {
    struct side from;
    struct side to;
    struct hv_vcpu_state vcpu;
    struct hv_vcpu_state vcpu_again;
    struct hv_vm_state vm;
    struct hv_vm_state vm_again;
} fix;

static int build(struct side *side, enum hv_irqchip irqchip, struct err *err)
{
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    int rc = hv_open("/dev/kvm", &side->hv, err);
    if (rc == 0)
        rc = hv_vm_create(&side->hv, &side->vm, err);
    if (rc == 0)
        rc = gmem_create(&range, 1, GMEM_BACKING_DEFAULT, false, &side->gmem, err);
    if (rc == 0)
        rc = hv_vm_add_memory(&side->vm, side->gmem, true, err);
    if (rc == 0)
        rc = hv_vm_create_irqchip(&side->vm, irqchip, err);
    if (rc == 0)
        rc = hv_vcpu_create(&side->vm, 0, &side->vcpu, err);
    return rc;
}

static void discard(struct side *side)
{
    hv_vcpu_close(&side->vcpu);
    hv_vm_close(&side->vm);
    hv_close(&side->hv);
    gmem_free(side->gmem);
}

static int setup_with(enum hv_irqchip irqchip)
{
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    fix.from = fix.to = (struct side){.hv.fd = FD_NONE, .vm.fd = FD_NONE, .vcpu.fd = FD_NONE};
    int rc = build(&fix.from, irqchip, &err);
    return rc < 0 ? rc : build(&fix.to, irqchip, &err);
}

static int setup(void **state)
{
    (void)state;
    return setup_with(HV_IRQCHIP_SPLIT);
}

static int setup_full(void **state)
{
    (void)state;
    return setup_with(HV_IRQCHIP_FULL);
}

static int teardown(void **state)
{
    (void)state;
    discard(&fix.from);
    discard(&fix.to);
    return 0;
}

/* Everything that a guest may have changed, to values that a fresh vCPU does not have. */
static void change_vcpu(struct hv_vcpu *vcpu)
{
    static struct hv_cpuid cpuid;
    struct kvm_regs regs = {.rax = 1, .rbx = 2, .rsp = 0x8ff0, .r15 = 15, .rip = CODE, .rflags = 2};
    struct kvm_sregs sregs;
    struct hv_msrs values = {.count = 5,
                             .entries = {{.index = 0x174, .data = 8},
                                         {.index = 0x176, .data = 0x1234},
                                         {.index = 0x277, .data = 0x0007040600070406},
                                         {.index = 0xc0000081, .data = 0x23001000000000},
                                         {.index = 0xc0000102, .data = 0x5678}}};
    struct kvm_debugregs debugregs = {.db = {0x1111}, .dr6 = 0xffff0ff0, .dr7 = 0x401};
    struct err err = ERR_INIT;
    assert_int_equal(hv_supported_cpuid(vcpu->vm->hv, &cpuid, &err), 0);
    assert_int_equal(hv_vcpu_set_cpuid(vcpu, &cpuid, &err), 0);
    assert_int_equal(hv_vcpu_get_sregs(vcpu, &sregs, &err), 0);
    sregs.cs.base = 0x10000;
    sregs.cs.selector = 0x1000;
    sregs.cr2 = 0xabc;
    sregs.gdt.base = 0x500;
    assert_int_equal(hv_vcpu_set_sregs(vcpu, &sregs, &err), 0);
    assert_int_equal(hv_vcpu_set_regs(vcpu, &regs, &err), 0);
    assert_int_equal(hv_vcpu_set_msrs(vcpu, &values, &err), 0);
    assert_int_equal(hv_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &debugregs), 0);
}

static void save_vcpu(struct side *side, struct hv_vcpu_state *ret_state)
{
    struct err err = ERR_INIT;
    int rc = hv_vcpu_save(&side->vcpu, &msrs, ret_state, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

/* Out of the changed one, into the fresh one, and out of that. */
static void move_vcpu(void)
{
    struct err err = ERR_INIT;
    change_vcpu(&fix.from.vcpu);
    save_vcpu(&fix.from, &fix.vcpu);
    /* The control word of the x87 unit, and that there is one: KVM_SET_FPU alone does not say
     * so. */
    fix.vcpu.xsave[0] = FCW & 0xff;
    fix.vcpu.xsave[XSTATE_BV_OFF] |= 1;
    int rc = hv_vcpu_restore(&fix.to.vcpu, &fix.vcpu, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    save_vcpu(&fix.to, &fix.vcpu_again);
}

#define EXPECT_SAME(member)                                                                        \
    assert_memory_equal(&fix.vcpu_again.member, &fix.vcpu.member, sizeof(fix.vcpu.member))

static void test_hv_vcpu_restore__registers__as_they_were(void **state)
{
    (void)state;
    move_vcpu();
    assert_int_equal(fix.vcpu.regs.r15, 15);
    assert_int_equal(fix.vcpu.sregs.cr2, 0xabc);
    assert_int_equal(fix.vcpu.debugregs.db[0], 0x1111);
    EXPECT_SAME(mp_state);
    EXPECT_SAME(tsc_khz);
    EXPECT_SAME(regs);
    EXPECT_SAME(sregs);
    EXPECT_SAME(xcrs);
    EXPECT_SAME(debugregs);
    EXPECT_SAME(events);
}

static void test_hv_vcpu_restore__cpuid_and_extended_state__as_they_were(void **state)
{
    (void)state;
    move_vcpu();
    assert_true(fix.vcpu.cpuid.count > 0);
    EXPECT_SAME(cpuid);
    assert_true(fix.vcpu.xsave_size >= HV_STATE_XSAVE_SIZE_MIN);
    EXPECT_SAME(xsave_size);
    EXPECT_SAME(xsave);
    assert_int_equal(fix.vcpu_again.xsave[0] | fix.vcpu_again.xsave[1] << 8, FCW);
}

static void test_hv_vcpu_restore__msrs__as_they_were_but_time(void **state)
{
    (void)state;
    move_vcpu();
    assert_int_equal(fix.vcpu.msrs_count, msrs.count);
    for (uint32_t i = 0; i < msrs.count; i++) {
        const struct kvm_msr_entry *was = &fix.vcpu.msrs[i];
        const struct kvm_msr_entry *is = &fix.vcpu_again.msrs[i];
        assert_int_equal(is->index, was->index);
        if (was->index == MSR_TSC)
            assert_true(is->data >= was->data);
        else if (was->index != MSR_TSC_DEADLINE && is->data != was->data)
            fail_msg("MSR 0x%x: 0x%llx, was 0x%llx", was->index, (unsigned long long)is->data,
                     (unsigned long long)was->data);
    }
}

static void test_hv_vcpu_save__deadline__last_and_due_when_it_has_passed(void **state)
{
    (void)state;
    save_vcpu(&fix.from, &fix.vcpu);
    const struct kvm_msr_entry *last = &fix.vcpu.msrs[fix.vcpu.msrs_count - 1];
    assert_int_equal(last->index, MSR_TSC_DEADLINE);
    for (uint32_t i = 0; i < fix.vcpu.msrs_count; i++)
        if (fix.vcpu.msrs[i].index == MSR_TSC)
            assert_int_equal(last->data, fix.vcpu.msrs[i].data);
}

static void test_hv_vcpu_save__no_msrs__none(void **state)
{
    (void)state;
    static const struct hv_msr_list none;
    struct err err = ERR_INIT;
    assert_int_equal(hv_vcpu_save(&fix.from.vcpu, &none, &fix.vcpu, &err), 0);
    assert_int_equal(fix.vcpu.msrs_count, 0);
}

static void test_hv_vcpu_save__msr_that_is_not_there__said(void **state)
{
    (void)state;
    static const struct hv_msr_list unknown = {.count = 1, .indexes = {0x12345678}};
    struct err err = ERR_INIT;
    assert_true(hv_vcpu_save(&fix.from.vcpu, &unknown, &fix.vcpu, &err) < 0);
    assert_non_null(strstr(err.msg, "0x12345678"));
}

static void test_hv_vcpu_restore__impossible_registers__call_named(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    save_vcpu(&fix.from, &fix.vcpu);
    fix.vcpu.sregs.cr4 = UINT64_MAX;
    assert_true(hv_vcpu_restore(&fix.to.vcpu, &fix.vcpu, &err) < 0);
    assert_non_null(strstr(err.msg, "vCPU 0: KVM_SET_SREGS failed: "));
}

static void test_hv_msr_index_list__host__has_what_every_guest_has(void **state)
{
    (void)state;
    static struct hv_msr_list list;
    struct err err = ERR_INIT;
    bool has_tsc = false;
    assert_int_equal(hv_msr_index_list(&fix.from.hv, &list, &err), 0);
    assert_in_range(list.count, 1, HV_STATE_MSRS_MAX);
    for (uint32_t i = 0; i < list.count; i++)
        has_tsc |= list.indexes[i] == MSR_TSC;
    assert_true(has_tsc);
}

/* Runs real-mode code until it makes an exit. */
static void run(const uint8_t *code, size_t len)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rax = 0x77, .rip = CODE, .rflags = 2};
    struct err err = ERR_INIT;
    struct hv_vcpu *vcpu = &fix.from.vcpu;
    assert_int_equal(gmem_write(fix.from.gmem, gpa(CODE), code, len), 0);
    assert_int_equal(hv_vcpu_get_sregs(vcpu, &sregs, &err), 0);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    assert_int_equal(hv_vcpu_set_sregs(vcpu, &sregs, &err), 0);
    assert_int_equal(hv_vcpu_set_regs(vcpu, &regs, &err), 0);
    enum hv_exit why = HV_EXIT_INTERRUPTED;
    for (int i = 0; i < RUNS_MAX && why == HV_EXIT_INTERRUPTED; i++)
        assert_int_equal(hv_vcpu_run(vcpu, &why), 0);
    assert_int_equal(why, HV_EXIT_IO);
}

static void save_vm(struct side *side, struct hv_vm_state *ret_state)
{
    struct err err = ERR_INIT;
    assert_int_equal(hv_vm_save(&side->vm, ret_state, &err), 0);
}

static void move_vm(bool realtime)
{
    struct err err = ERR_INIT;
    int rc = hv_vm_restore(&fix.to.vm, &fix.vm, realtime, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    save_vm(&fix.to, &fix.vm_again);
}

static void test_hv_vm_restore__clock__goes_on_where_it_was(void **state)
{
    (void)state;
    save_vm(&fix.from, &fix.vm);
    fix.vm.clock.clock = HOUR_NS;
    fix.vm.clock.realtime -= 2 * HOUR_NS; /* asks nobody */
    move_vm(false);
    assert_in_range(fix.vm_again.clock.clock, HOUR_NS, HOUR_NS + SLOW_NS);
}

static void test_hv_vm_restore__clock_with_realtime__has_gone_on_since(void **state)
{
    (void)state;
    static const uint8_t code[] = {0xe6, 0x80}; /* out 0x80, al */
    run(code, sizeof(code));                    /* KVM trusts its clock from the first entry on */
    save_vm(&fix.from, &fix.vm);
    if (!hv_vm_state_has_realtime(&fix.vm))
        skip(); /* the host's clock is none that KVM trusts */
    fix.vm.clock.clock = HOUR_NS;
    fix.vm.clock.realtime -= 2 * HOUR_NS;
    move_vm(true);
    assert_in_range(fix.vm_again.clock.clock, 3 * HOUR_NS, 3 * HOUR_NS + SLOW_NS);
}

static void test_hv_vm_save__split_irqchip__no_chips(void **state)
{
    (void)state;
    static const struct kvm_irqchip none[HV_STATE_CHIPS_COUNT];
    save_vm(&fix.from, &fix.vm);
    assert_int_equal(fix.vm.irqchip, HV_IRQCHIP_SPLIT);
    assert_memory_equal(fix.vm.chips, none, sizeof(none));
}

static void test_hv_vm_restore__full_irqchip__chips_and_pit_as_they_were(void **state)
{
    (void)state;
    save_vm(&fix.from, &fix.vm);
    assert_int_equal(fix.vm.irqchip, HV_IRQCHIP_FULL);
    fix.vm.chips[0].chip.pic.imr = 0xb8;
    fix.vm.chips[1].chip.pic.imr = 0x8f;
    fix.vm.chips[2].chip.ioapic.redirtbl[5].bits = 0x0300000000010031;
    fix.vm.pit.channels[2].count = 0x4321;
    fix.vm.pit.channels[2].mode = 3;
    move_vm(false);
    assert_memory_equal(fix.vm_again.chips, fix.vm.chips, sizeof(fix.vm.chips));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(fix.vm_again.pit.channels[i].count, fix.vm.pit.channels[i].count);
        assert_int_equal(fix.vm_again.pit.channels[i].mode, fix.vm.pit.channels[i].mode);
    }
}

static void test_hv_vm_dirty_log__pages_that_the_guest_wrote__once(void **state)
{
    (void)state;
    /* mov [0x3000], al; mov [0x5fff], al; out 0x80, al */
    static const uint8_t code[] = {0xa2, 0x00, 0x30, 0xa2, 0xff, 0x5f, 0xe6, 0x80};
    uint64_t words[MEMORY_SIZE / GMEM_PAGE_SIZE / 64];
    struct err err = ERR_INIT;
    assert_int_equal(hv_vm_dirty_log(&fix.from.vm, 0, words, &err), 0);
    run(code, sizeof(code));
    assert_int_equal(hv_vm_dirty_log(&fix.from.vm, 0, words, &err), 0);
    assert_int_equal(words[0], 1u << 3 | 1u << 5);
    assert_int_equal(hv_vm_dirty_log(&fix.from.vm, 0, words, &err), 0);
    assert_int_equal(words[0], 0);
}

static void test_hv_vm_dirty_log__slot_that_is_not_there__said(void **state)
{
    (void)state;
    uint64_t words[MEMORY_SIZE / GMEM_PAGE_SIZE / 64];
    struct err err = ERR_INIT;
    assert_true(hv_vm_dirty_log(&fix.from.vm, 3, words, &err) < 0);
    assert_non_null(strstr(err.msg, "KVM_GET_DIRTY_LOG failed: "));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define FULL(test) cmocka_unit_test_setup_teardown(test, setup_full, teardown)

int main(void)
{
    struct err err = ERR_INIT;
    struct side side = {.hv.fd = FD_NONE, .vm.fd = FD_NONE, .vcpu.fd = FD_NONE};
    int rc = build(&side, HV_IRQCHIP_SPLIT, &err);
    discard(&side);
    if (rc < 0) {
        (void)fprintf(stderr, "skipped: %s\n", err.msg);
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        TEST(test_hv_vcpu_restore__registers__as_they_were),
        TEST(test_hv_vcpu_restore__cpuid_and_extended_state__as_they_were),
        TEST(test_hv_vcpu_restore__msrs__as_they_were_but_time),
        TEST(test_hv_vcpu_save__deadline__last_and_due_when_it_has_passed),
        TEST(test_hv_vcpu_save__no_msrs__none),
        TEST(test_hv_vcpu_save__msr_that_is_not_there__said),
        TEST(test_hv_vcpu_restore__impossible_registers__call_named),
        TEST(test_hv_msr_index_list__host__has_what_every_guest_has),
        TEST(test_hv_vm_restore__clock__goes_on_where_it_was),
        TEST(test_hv_vm_restore__clock_with_realtime__has_gone_on_since),
        TEST(test_hv_vm_save__split_irqchip__no_chips),
        FULL(test_hv_vm_restore__full_irqchip__chips_and_pit_as_they_were),
        TEST(test_hv_vm_dirty_log__pages_that_the_guest_wrote__once),
        TEST(test_hv_vm_dirty_log__slot_that_is_not_there__said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
