/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole lives of guests of a few bytes, both irqchips, several vCPUs: built, run, ended by
 * themselves or stopped. Skipped (77) where /dev/kvm cannot be used. Thread: the test's is the vmm
 * thread.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/machine/machine_fixture.h"

#define EXIT_SKIP 77

/* 64-bit code. */
static const uint8_t code_reset[] = {0xb0, 0xfe, 0xe6, 0x64,
                                     0xf4};            /* mov al, 0xfe; out 0x64, al; hlt */
static const uint8_t code_halt[] = {0xf4, 0xeb, 0xfd}; /* hlt; jmp back */
static const uint8_t code_spin[] = {0xeb, 0xfe};       /* jmp to itself */
/* mov eax, 0x7f000000; mov eax, [rax]: no page is there, and no handler. */
static const uint8_t code_fault[] = {0xb8, 0x00, 0x00, 0x00, 0x7f, 0x8b, 0x00};

static void run_to_the_end(struct fixture *fixture)
{
    struct err err = ERR_INIT;
    assert_int_equal(loop_run(fixture->loop, &err), 0);
    assert_int_equal(fixture->ends_count, 1);
}

static void test_machine__guest_resets__ends_ok(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_reset, sizeof(code_reset), 1);
    run_to_the_end(fixture);
    assert_int_equal(fixture->end, MACHINE_END_OK);
}

static void test_machine__guest_resets_on_the_full_irqchip__ends_ok(void **state)
{
    struct fixture *fixture = *state;
    fixture->machine->options.irqchip = HV_IRQCHIP_FULL;
    fixture_start(fixture, code_reset, sizeof(code_reset), 4);
    run_to_the_end(fixture);
    assert_int_equal(fixture->end, MACHINE_END_OK);
}

static void test_machine__triple_fault__ends_with_the_sentence(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_fault, sizeof(code_fault), 2);
    run_to_the_end(fixture);
    assert_int_equal(fixture->end, MACHINE_END_ERROR);
    assert_string_equal(fixture->reason.msg, "vCPU 0: the guest shut down by a triple fault");
}

static void test_machine_stop__halted_vcpus__joined(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_halt, sizeof(code_halt), 8);
    machine_stop(fixture->machine);
    machine_stop(fixture->machine); /* again is fine */
    assert_int_equal(fixture->ends_count, 0);
}

static void test_machine_stop__spinning_vcpu__joined(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_spin, sizeof(code_spin), 1);
    machine_stop(fixture->machine);
    assert_int_equal(fixture->ends_count, 0);
}

static void test_machine_free__running_guest__stopped_first(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_spin, sizeof(code_spin), 2); /* the teardown frees it */
}

static void test_machine_ctrl_alt_del__guest_reads_nothing__refused_when_full(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    fixture_start(fixture, code_halt, sizeof(code_halt), 1);
    for (int i = 0; i < 4; i++) /* 4 bytes each into a queue of 16 */
        assert_int_equal(machine_ctrl_alt_del(fixture->machine, &err), 0);
    assert_int_equal(machine_ctrl_alt_del(fixture->machine, &err), -ENOSPC);
    assert_string_equal(err.msg, "i8042 internal buffer full.");
}

static void warm(struct fixture *fixture)
{
    struct err err = ERR_INIT;
    assert_int_equal(machine_warm(fixture->machine, &fixture->config.machine, &err), 0);
    assert_true(gmem_is_reserved(fixture->machine->gmem));
}

static void test_machine_warm__nothing_loaded__vcpus_asleep_and_freed(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.machine.vcpu_count = 4;
    warm(fixture);
    assert_int_equal(fixture->ends_count, 0); /* the teardown frees it */
}

static void test_machine_warm__run_before_a_load__ends_with_its_own_sentence(void **state)
{
    struct fixture *fixture = *state;
    warm(fixture);
    machine_resume(fixture->machine);
    run_to_the_end(fixture);
    assert_int_equal(fixture->end, MACHINE_END_ERROR);
    assert_non_null(
        strstr(fixture->reason.msg, "the guest ran before its memory was loaded, on address "));
}

static void test_machine_warm__boot_instead__made_way_for(void **state)
{
    struct fixture *fixture = *state;
    warm(fixture);
    fixture_start(fixture, code_reset, sizeof(code_reset), 2);
    run_to_the_end(fixture);
    assert_int_equal(fixture->end, MACHINE_END_OK);
}

static void test_machine_warm__no_kvm__nothing_is_left(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    fixture->machine->options.kvm_path = "/dev/null";
    assert_true(machine_warm(fixture->machine, &fixture->config.machine, &err) < 0);
    assert_null(fixture->machine->gmem);
    fixture->machine->options.kvm_path = "/dev/kvm";
    warm(fixture);
}

#define WITH_MACHINE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        (void)fprintf(stderr, "skipped: /dev/kvm cannot be used\n");
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        WITH_MACHINE(test_machine__guest_resets__ends_ok),
        WITH_MACHINE(test_machine__guest_resets_on_the_full_irqchip__ends_ok),
        WITH_MACHINE(test_machine__triple_fault__ends_with_the_sentence),
        WITH_MACHINE(test_machine_stop__halted_vcpus__joined),
        WITH_MACHINE(test_machine_stop__spinning_vcpu__joined),
        WITH_MACHINE(test_machine_free__running_guest__stopped_first),
        WITH_MACHINE(test_machine_ctrl_alt_del__guest_reads_nothing__refused_when_full),
        WITH_MACHINE(test_machine_warm__nothing_loaded__vcpus_asleep_and_freed),
        WITH_MACHINE(test_machine_warm__run_before_a_load__ends_with_its_own_sentence),
        WITH_MACHINE(test_machine_warm__boot_instead__made_way_for),
        WITH_MACHINE(test_machine_warm__no_kvm__nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
