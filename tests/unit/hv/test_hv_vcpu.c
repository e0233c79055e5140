/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vCPU under this host's KVM: state in and out, and a real-mode guest of a few bytes that makes
 * each kind of exit. Skipped (77) where /dev/kvm cannot be used. Single thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vmm/hv/hv_int.h"

#define EXIT_SKIP 77
#define MEMORY_SIZE (2u * 1024 * 1024)
#define CODE 0x1000u
#define RUNS_MAX 64

struct fixture {
    struct hv hv;
    struct hv_vm vm;
    struct hv_vcpu vcpu;
    struct gmem *gmem;
};

static int build(struct fixture *fixture, struct err *err)
{
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    *fixture = (struct fixture){.hv.fd = FD_NONE, .vm.fd = FD_NONE, .vcpu.fd = FD_NONE};
    int rc = hv_open("/dev/kvm", &fixture->hv, err);
    if (rc == 0)
        rc = hv_vm_create(&fixture->hv, &fixture->vm, err);
    if (rc == 0)
        rc = gmem_create(&range, 1, GMEM_BACKING_DEFAULT, false, &fixture->gmem, err);
    if (rc == 0)
        rc = hv_vm_add_memory(&fixture->vm, fixture->gmem, false, err);
    if (rc == 0)
        rc = hv_vm_create_irqchip(&fixture->vm, HV_IRQCHIP_SPLIT, err);
    if (rc == 0)
        rc = hv_vcpu_create(&fixture->vm, 0, &fixture->vcpu, err);
    return rc;
}

static void discard(struct fixture *fixture)
{
    hv_vcpu_close(&fixture->vcpu);
    hv_vm_close(&fixture->vm);
    hv_close(&fixture->hv);
    gmem_free(fixture->gmem);
}

static int setup(void **state)
{
    static struct fixture fixture; /* the test's only one */
    struct err err = ERR_INIT;
    int rc = build(&fixture, &err);
    *state = &fixture;
    return rc;
}

static int teardown(void **state)
{
    discard(*state);
    return 0;
}

/* Puts real-mode code at CODE and the vCPU before it. */
static void load(struct fixture *fixture, const uint8_t *code, size_t len)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = CODE, .rflags = 2};
    struct err err = ERR_INIT;
    assert_int_equal(gmem_write(fixture->gmem, gpa(CODE), code, len), 0);
    assert_int_equal(hv_vcpu_get_sregs(&fixture->vcpu, &sregs, &err), 0);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    assert_int_equal(hv_vcpu_set_sregs(&fixture->vcpu, &sregs, &err), 0);
    assert_int_equal(hv_vcpu_set_regs(&fixture->vcpu, &regs, &err), 0);
}

/* Runs until the guest itself makes an exit. */
static enum hv_exit run(struct fixture *fixture)
{
    enum hv_exit why = HV_EXIT_INTERRUPTED;
    for (int i = 0; i < RUNS_MAX && why == HV_EXIT_INTERRUPTED; i++)
        assert_int_equal(hv_vcpu_run(&fixture->vcpu, &why), 0);
    return why;
}

static void test_hv_vcpu_run__port_output__unpacked(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t code[] = {0xb8, 0x34, 0x12, 0xe7, 0x80}; /* mov ax, 0x1234; out 0x80, ax */
    load(fixture, code, sizeof(code));
    assert_int_equal(run(fixture), HV_EXIT_IO);
    struct hv_access io;
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), 0);
    assert_true(io.is_write);
    assert_int_equal(io.addr, 0x80);
    assert_int_equal(io.len, 2);
    assert_int_equal(io.count, 1);
    assert_int_equal(io.data[0] | io.data[1] << 8, 0x1234);
}

static void test_hv_vcpu_run__port_input__gets_what_was_put(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t code[] = {0xe4, 0x81, 0xe6, 0x82}; /* in al, 0x81; out 0x82, al */
    load(fixture, code, sizeof(code));
    struct hv_access io;
    assert_int_equal(run(fixture), HV_EXIT_IO);
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), 0);
    assert_false(io.is_write);
    assert_int_equal(io.addr, 0x81);
    io.data[0] = 0x5a;
    assert_int_equal(run(fixture), HV_EXIT_IO);
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), 0);
    assert_true(io.is_write);
    assert_int_equal(io.data[0], 0x5a);
}

static void test_hv_vcpu_run__write_beyond_memory__mmio(void **state)
{
    struct fixture *fixture = *state;
    /* The segment's base carries it beyond the memory: real-mode offsets alone end at 64 KiB. */
    static const uint8_t code[] = {0xc6, 0x06, 0x08, 0x00, 0x77}; /* mov byte [8], 0x77 */
    struct kvm_sregs sregs;
    struct err err = ERR_INIT;
    load(fixture, code, sizeof(code));
    assert_int_equal(hv_vcpu_get_sregs(&fixture->vcpu, &sregs, &err), 0);
    sregs.ds.base = MEMORY_SIZE;
    assert_int_equal(hv_vcpu_set_sregs(&fixture->vcpu, &sregs, &err), 0);
    assert_int_equal(run(fixture), HV_EXIT_MMIO);
    struct hv_access mmio;
    assert_int_equal(hv_vcpu_mmio(&fixture->vcpu, &mmio), 0);
    assert_true(mmio.is_write);
    assert_int_equal(mmio.addr, MEMORY_SIZE + 8);
    assert_int_equal(mmio.len, 1);
    assert_int_equal(mmio.data[0], 0x77);
}

/* mov [8], al; mov [8], ah; out 0x80, al: two writes that the kernel keeps, then an exit. */
static const uint8_t late_code[] = {0xb8, 0x02, 0x01, 0xa2, 0x08, 0x00,
                                    0x88, 0x26, 0x08, 0x00, 0xe6, 0x80};

static void load_late(struct fixture *fixture)
{
    struct kvm_sregs sregs;
    struct err err = ERR_INIT;
    load(fixture, late_code, sizeof(late_code));
    assert_int_equal(hv_vcpu_get_sregs(&fixture->vcpu, &sregs, &err), 0);
    sregs.ds.base = MEMORY_SIZE;
    assert_int_equal(hv_vcpu_set_sregs(&fixture->vcpu, &sregs, &err), 0);
    assert_int_equal(hv_vm_coalesce_writes(&fixture->vm, gpa(MEMORY_SIZE + 8), 1, &err), 1);
}

static void test_hv_vcpu_late_write__kept_writes__come_in_order_without_exits(void **state)
{
    struct fixture *fixture = *state;
    struct hv_late_write write;
    load_late(fixture);
    assert_int_equal(hv_vcpu_late_write(&fixture->vcpu, &write), 0);
    assert_int_equal(run(fixture), HV_EXIT_IO);
    for (uint8_t value = 2; value >= 1; value--) {
        assert_int_equal(hv_vcpu_late_write(&fixture->vcpu, &write), 1);
        assert_int_equal(write.addr, MEMORY_SIZE + 8);
        assert_int_equal(write.len, 1);
        assert_int_equal(write.data[0], value);
    }
    assert_int_equal(hv_vcpu_late_write(&fixture->vcpu, &write), 0);
}

static void test_hv_vcpu_late_write__impossible_ring__refused(void **state)
{
    struct fixture *fixture = *state;
    struct hv_late_write write;
    load_late(fixture);
    assert_int_equal(run(fixture), HV_EXIT_IO);
    struct kvm_coalesced_mmio_ring *ring =
        (struct kvm_coalesced_mmio_ring *)(void *)((uint8_t *)fixture->vcpu.run +
                                                   KVM_COALESCED_MMIO_PAGE_OFFSET * 4096);
    ring->coalesced_mmio[ring->first].len = 9;
    assert_int_equal(hv_vcpu_late_write(&fixture->vcpu, &write), -EIO);
    ring->last = UINT32_MAX;
    assert_int_equal(hv_vcpu_late_write(&fixture->vcpu, &write), -EIO);
}

static void test_hv_vcpu_kick__before_entry__comes_back_until_taken_back(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t code[] = {0xe6, 0x80}; /* out 0x80, al */
    enum hv_exit why;
    load(fixture, code, sizeof(code));
    hv_vcpu_kick(&fixture->vcpu);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hv_vcpu_run(&fixture->vcpu, &why), 0);
        assert_int_equal(why, HV_EXIT_INTERRUPTED);
    }
    hv_vcpu_unkick(&fixture->vcpu);
    assert_int_equal(run(fixture), HV_EXIT_IO);
}

static void test_hv_vcpu_io__impossible_size_in_the_run_area__refused(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t code[] = {0xe6, 0x80};
    struct hv_access io;
    load(fixture, code, sizeof(code));
    assert_int_equal(run(fixture), HV_EXIT_IO);
    struct kvm_run *area = fixture->vcpu.run;
    const struct kvm_run good = *area;
    area->io.data_offset = fixture->hv.run_size + 1;
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), -EIO);
    area->io.data_offset = UINT64_MAX;
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), -EIO);
    area->io.data_offset = fixture->hv.run_size - 1;
    area->io.count = 2;
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), -EIO);
    area->io.count = UINT32_MAX;
    area->io.size = 255;
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), -EIO);
    *area = good;
    area->mmio.len = sizeof(area->mmio.data) + 1;
    assert_int_equal(hv_vcpu_mmio(&fixture->vcpu, &io), -EIO);
    *area = good;
    assert_int_equal(hv_vcpu_io(&fixture->vcpu, &io), 0);
}

static void test_hv_vcpu_state__set__reads_back(void **state)
{
    struct fixture *fixture = *state;
    struct hv_vcpu *vcpu = &fixture->vcpu;
    struct err err = ERR_INIT;
    struct kvm_regs regs = {.rax = 0x1122334455667788, .rip = 0x1234, .rflags = 2};
    struct kvm_fpu fpu = {.fcw = 0x37f, .mxcsr = 0x1f80};
    struct kvm_lapic_state lapic;
    assert_int_equal(hv_vcpu_set_regs(vcpu, &regs, &err), 0);
    regs = (struct kvm_regs){0};
    assert_int_equal(hv_vcpu_get_regs(vcpu, &regs, &err), 0);
    assert_true(regs.rax == 0x1122334455667788);
    assert_int_equal(regs.rip, 0x1234);
    assert_int_equal(hv_vcpu_set_fpu(vcpu, &fpu, &err), 0);
    assert_int_equal(hv_vcpu_get_lapic(vcpu, &lapic, &err), 0);
    assert_int_equal(hv_vcpu_set_lapic(vcpu, &lapic, &err), 0);
    assert_int_equal(hv_vcpu_set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE, &err), 0);
    uint32_t khz = 0;
    assert_int_equal(hv_vcpu_get_tsc_khz(vcpu, &khz, &err), 0);
    assert_true(khz > 0);
    assert_string_equal(err.msg, "");
}

static void test_hv_vcpu_msrs__known_and_unknown__first_unknown_named(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    struct hv_msrs msrs = {.count = 1, .entries = {{.index = 0xc0000082, .data = 0x4242}}};
    assert_int_equal(hv_vcpu_set_msrs(&fixture->vcpu, &msrs, &err), 0);
    msrs.entries[0].data = 0;
    assert_int_equal(hv_vcpu_get_msrs(&fixture->vcpu, &msrs, &err), 0);
    assert_int_equal(msrs.entries[0].data, 0x4242);
    /* An address that no processor has. */
    msrs = (struct hv_msrs){.count = 2,
                            .entries = {{.index = 0xc0000082}, {.index = 0x40ffff00, .data = 9}}};
    assert_int_equal(hv_vcpu_set_msrs(&fixture->vcpu, &msrs, &err), -EINVAL);
    assert_string_equal(err.msg, "vCPU 0: KVM does not take MSR 0x40ffff00 with the value 0x9");
    assert_int_equal(hv_vcpu_get_msrs(&fixture->vcpu, &msrs, &err), -EINVAL);
    assert_string_equal(err.msg, "vCPU 0: KVM cannot read MSR 0x40ffff00");
}

static void test_hv_vcpu_create__index_out_of_range__vcpu_and_call_named(void **state)
{
    struct fixture *fixture = *state;
    struct hv_vcpu vcpu;
    struct err err = ERR_INIT;
    assert_true(hv_vcpu_create(&fixture->vm, 1000000, &vcpu, &err) < 0);
    assert_non_null(strstr(err.msg, "vCPU 1000000: KVM_CREATE_VCPU failed: "));
    assert_true(hv_vcpu_create(&fixture->vm, 0, &vcpu, &err) < 0); /* there is one already */
    assert_non_null(strstr(err.msg, "vCPU 0: KVM_CREATE_VCPU failed: "));
}

static void test_hv_vcpu_set_sregs__nonsense__vcpu_and_call_named(void **state)
{
    struct fixture *fixture = *state;
    struct kvm_sregs sregs;
    struct err err = ERR_INIT;
    assert_int_equal(hv_vcpu_get_sregs(&fixture->vcpu, &sregs, &err), 0);
    sregs.cr4 |= 1ull << 63;
    assert_true(hv_vcpu_set_sregs(&fixture->vcpu, &sregs, &err) < 0);
    assert_non_null(strstr(err.msg, "vCPU 0: KVM_SET_SREGS failed: "));
}

#define WITH_VM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    struct fixture fixture;
    struct err err = ERR_INIT;
    int rc = build(&fixture, &err);
    discard(&fixture);
    if (rc < 0) {
        (void)fprintf(stderr, "skipped: %s\n", err.msg);
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        WITH_VM(test_hv_vcpu_run__port_output__unpacked),
        WITH_VM(test_hv_vcpu_run__port_input__gets_what_was_put),
        WITH_VM(test_hv_vcpu_run__write_beyond_memory__mmio),
        WITH_VM(test_hv_vcpu_late_write__kept_writes__come_in_order_without_exits),
        WITH_VM(test_hv_vcpu_late_write__impossible_ring__refused),
        WITH_VM(test_hv_vcpu_kick__before_entry__comes_back_until_taken_back),
        WITH_VM(test_hv_vcpu_io__impossible_size_in_the_run_area__refused),
        WITH_VM(test_hv_vcpu_state__set__reads_back),
        WITH_VM(test_hv_vcpu_msrs__known_and_unknown__first_unknown_named),
        WITH_VM(test_hv_vcpu_create__index_out_of_range__vcpu_and_call_named),
        WITH_VM(test_hv_vcpu_set_sregs__nonsense__vcpu_and_call_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
