/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sentence about an exit that ends a VM, from run areas made by hand: no KVM is needed, so the
 * guest's registers are unknown and RIP is 0. Single thread.
 */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vmm/hv/hv.h"

struct fixture {
    struct hv_vm vm;
    struct kvm_run run;
    struct hv_vcpu vcpu;
};

static void prepare(struct fixture *fixture, uint32_t reason)
{
    *fixture = (struct fixture){.vm.fd = FD_NONE, .run.exit_reason = reason};
    fixture->vcpu =
        (struct hv_vcpu){.vm = &fixture->vm, .fd = FD_NONE, .idx = 3, .run = &fixture->run};
}

static void expect(struct fixture *fixture, const char *sentence)
{
    struct err err = ERR_INIT;
    assert_int_equal(hv_vcpu_explain_exit(&fixture->vcpu, &err), -EIO);
    assert_string_equal(err.msg, sentence);
    assert_int_equal(err.code, -EIO);
}

#define CANNOT_RUN "vCPU 3: this host cannot run the guest's instruction at RIP 0x0 "
#define WHY                                                                                        \
    ": KVM_EXIT_INTERNAL_ERROR, emulation failure. KVM here has no hardware virtualization "       \
    "behind it, or the guest jumped to where no code is"

static void test_hv_vcpu_explain_exit__emulation_failure__bytes_from_kvm(void **state)
{
    (void)state;
    struct fixture fixture;
    prepare(&fixture, KVM_EXIT_INTERNAL_ERROR);
    fixture.run.emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
    fixture.run.emulation_failure.ndata = 3;
    fixture.run.emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
    fixture.run.emulation_failure.insn_size = 3;
    memcpy(fixture.run.emulation_failure.insn_bytes, "\x0f\xae\x2e", 3);
    expect(&fixture, CANNOT_RUN "(bytes 0f ae 2e)" WHY);
}

static void test_hv_vcpu_explain_exit__size_beyond_an_instruction__cut(void **state)
{
    (void)state;
    struct fixture fixture;
    prepare(&fixture, KVM_EXIT_INTERNAL_ERROR);
    fixture.run.emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
    fixture.run.emulation_failure.ndata = 3;
    fixture.run.emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
    fixture.run.emulation_failure.insn_size = 255;
    memset(fixture.run.emulation_failure.insn_bytes, 0x90,
           sizeof(fixture.run.emulation_failure.insn_bytes));
    expect(&fixture, CANNOT_RUN "(bytes 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90)" WHY);
}

static void test_hv_vcpu_explain_exit__no_bytes_to_be_had__said_so(void **state)
{
    (void)state;
    struct fixture fixture;
    prepare(&fixture, KVM_EXIT_INTERNAL_ERROR);
    fixture.run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    expect(&fixture, CANNOT_RUN "(bytes not readable)" WHY);
}

static void test_hv_vcpu_explain_exit__other_internal_error__suberror_named(void **state)
{
    (void)state;
    struct fixture fixture;
    prepare(&fixture, KVM_EXIT_INTERNAL_ERROR);
    fixture.run.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    expect(&fixture, "vCPU 3: KVM_EXIT_INTERNAL_ERROR, suberror 3, at RIP 0x0: KVM met a state it "
                     "cannot go on from; the host's kernel log may say more");
}

static void test_hv_vcpu_explain_exit__entry_refused__hardware_reason_named(void **state)
{
    (void)state;
    struct fixture fixture;
    prepare(&fixture, KVM_EXIT_FAIL_ENTRY);
    fixture.run.fail_entry.hardware_entry_failure_reason = 0x80000021;
    expect(&fixture, "vCPU 3: the processor refused to enter the guest (KVM_EXIT_FAIL_ENTRY, "
                     "hardware reason 0x80000021, RIP 0x0)");
}

static void test_hv_vcpu_explain_exit__reason_without_meaning_here__numbered(void **state)
{
    (void)state;
    struct fixture fixture;
    prepare(&fixture, KVM_EXIT_DEBUG);
    expect(&fixture, "vCPU 3: unexpected KVM exit reason 4 at RIP 0x0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hv_vcpu_explain_exit__emulation_failure__bytes_from_kvm),
        cmocka_unit_test(test_hv_vcpu_explain_exit__size_beyond_an_instruction__cut),
        cmocka_unit_test(test_hv_vcpu_explain_exit__no_bytes_to_be_had__said_so),
        cmocka_unit_test(test_hv_vcpu_explain_exit__other_internal_error__suberror_named),
        cmocka_unit_test(test_hv_vcpu_explain_exit__entry_refused__hardware_reason_named),
        cmocka_unit_test(test_hv_vcpu_explain_exit__reason_without_meaning_here__numbered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
