/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of actions and what is asked for before the start: phases, latch, sentences, and that a
 * refused request changes nothing. Without KVM. Single thread.
 */
#include <errno.h>

#include <string.h>

#include "tests/unit/ctl/ctl_fixture.h"

static int setup(void **state)
{
    static struct fixture fixture; /* the test's only one */
    fixture_init(&fixture, "/nonexistent/kvm");
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

/* Which refusal a phase has, of every kind: api.md 5. NULL: allowed. */
static const struct {
    const char *pre;
    const char *post;
} refusals[CTL_ACTIONS_COUNT] = {
    [CTL_MACHINE_CONFIG_GET] = {NULL, NULL},
    [CTL_VM_CONFIG_GET] = {NULL, NULL},
    [CTL_MMDS_GET] = {NULL, NULL},
    [CTL_BOOT_SOURCE_PUT] = {NULL, CTL_AFTER_START},
    [CTL_MACHINE_CONFIG_PUT] = {NULL, CTL_AFTER_START},
    [CTL_MACHINE_CONFIG_PATCH] = {NULL, CTL_AFTER_START},
    [CTL_CPU_CONFIG_PUT] = {NULL, CTL_AFTER_START},
    [CTL_DRIVE_PUT] = {NULL, CTL_NO_PCI},
    [CTL_NIC_PUT] = {NULL, CTL_NO_PCI},
    [CTL_VSOCK_PUT] = {NULL, CTL_AFTER_START},
    [CTL_MMDS_CONFIG_PUT] = {NULL, CTL_AFTER_START},
    [CTL_LOGGER_PUT] = {NULL, CTL_AFTER_START},
    [CTL_METRICS_PUT] = {NULL, CTL_AFTER_START},
    [CTL_SERIAL_PUT] = {NULL, CTL_AFTER_START},
    [CTL_MMDS_PUT] = {NULL, NULL},
    [CTL_MMDS_PATCH] = {NULL, NULL},
    [CTL_DRIVE_PATCH] = {CTL_BEFORE_START, NULL},
    [CTL_NIC_PATCH] = {CTL_BEFORE_START, NULL},
    [CTL_DEVICE_DELETE] = {CTL_BEFORE_START, CTL_NO_PCI},
    [CTL_INSTANCE_START] = {NULL, CTL_AFTER_START},
    [CTL_METRICS_FLUSH] = {CTL_BEFORE_START, NULL},
    [CTL_CTRL_ALT_DEL] = {CTL_BEFORE_START, NULL},
    [CTL_PAUSE] = {CTL_BEFORE_START, NULL},
    [CTL_RESUME] = {CTL_BEFORE_START, NULL},
    [CTL_SNAPSHOT_CREATE] = {CTL_BEFORE_START, NULL},
    [CTL_SNAPSHOT_LOAD] = {NULL, CTL_AFTER_START},
    [CTL_EXCLUDED] = {NULL, NULL},
};

static void test_ctl_rules__every_kind__phases_and_a_sentence_for_the_others(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < CTL_ACTIONS_COUNT; kind++) {
        const struct ctl_rule *rule = &ctl_rules[kind];
        bool pre = rule->phases & CTL_PHASES_PRE;
        bool post = rule->phases & CTL_PHASES_POST;
        if (!rule->phases || (rule->phases & ~(uint32_t)CTL_PHASES_ALL))
            fail_msg("action %zu has no row in ctl_rules[], or phases that do not exist", kind);
        if ((rule->phases == CTL_PHASES_ALL) != !rule->refusal)
            fail_msg("action %zu has a refusal that is never said, or none to say", kind);
        /* A row forgotten above would say "allowed". */
        if ((!pre && !refusals[kind].pre) || (!post && !refusals[kind].post))
            fail_msg("action %zu is refused by its row, and not by this test's", kind);
    }
}

static void check_refusals(struct fixture *fixture, enum ctl_phase phase)
{
    bool pre = phase & CTL_PHASES_PRE;
    fixture->ctl->phase = phase;
    for (size_t kind = 0; kind < ARRAY_LEN(refusals); kind++) {
        const char *sentence = pre ? refusals[kind].pre : refusals[kind].post;
        if (!sentence)
            continue;
        expect_refused(fixture, (struct ctl_action){.kind = (enum ctl_action_kind)kind}, sentence);
        assert_int_equal(fixture->ctl->phase, phase);
    }
}

static void test_ctl_do__wrong_phase__the_sentence_of_the_row(void **state)
{
    check_refusals(*state, CTL_PHASE_EMPTY);
    check_refusals(*state, CTL_PHASE_CONFIGURED);
    check_refusals(*state, CTL_PHASE_RUNNING);
    check_refusals(*state, CTL_PHASE_PAUSED);
}

static void test_ctl_do__refused__what_the_action_owns_is_freed(void **state)
{
    struct fixture *fixture = *state;
    fixture->ctl->phase = CTL_PHASE_RUNNING;
    expect_refused(fixture, boot_source_action(NOWHERE), CTL_AFTER_START);
    expect_refused(fixture, drive_action("a", NOWHERE, false), CTL_NO_PCI);
    fixture->ctl->phase = CTL_PHASE_EMPTY;
    expect_refused(fixture, drive_patch_action("a", NOWHERE), CTL_BEFORE_START);
}

static void test_ctl_do__gets__in_every_phase_and_no_news(void **state)
{
    struct fixture *fixture = *state;
    static const enum ctl_phase phases[] = {CTL_PHASE_EMPTY, CTL_PHASE_CONFIGURED,
                                            CTL_PHASE_RUNNING, CTL_PHASE_PAUSED};
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        fixture->ctl->phase = phases[i];
        assert_int_equal(carry_kind(fixture, CTL_VM_CONFIG_GET), 0);
        assert_int_equal(carry_kind(fixture, CTL_MACHINE_CONFIG_GET), 0);
    }
    assert_int_equal(fixture->states_count, 0);
}

/* ------------------------------------------------------------------ latch and snapshots */

#define LATCHED                                                                                    \
    "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific " \
    "resources."

static void test_ctl_latch__boot_requests_that_fail__set_it(void **state)
{
    struct fixture *fixture = *state;
    const struct ctl_action actions[] = {boot_source_action(NOWHERE),
                                         machine_action(0, 0),
                                         drive_action("a", NOWHERE, false),
                                         {.kind = CTL_MACHINE_CONFIG_PATCH}};
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        fixture->ctl->phase = CTL_PHASE_EMPTY;
        assert_true(carry(fixture, actions[i]) < 0);
        assert_int_equal(fixture->ctl->phase, CTL_PHASE_CONFIGURED);
        expect_refused(fixture, snapshot_load_action(NOWHERE, NOWHERE), LATCHED);
        assert_false(fixture->lost);
    }
}

static void test_ctl_latch__other_requests__leave_it(void **state)
{
    struct fixture *fixture = *state;
    static const enum ctl_action_kind kinds[] = {
        CTL_MACHINE_CONFIG_GET, CTL_VM_CONFIG_GET, CTL_MMDS_GET,       CTL_CPU_CONFIG_PUT,
        CTL_LOGGER_PUT,         CTL_METRICS_PUT,   CTL_SERIAL_PUT,     CTL_MMDS_PUT,
        CTL_MMDS_PATCH,         CTL_PAUSE,         CTL_INSTANCE_START, CTL_EXCLUDED};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        (void)carry_kind(fixture, kinds[i]);
        assert_int_equal(fixture->ctl->phase, CTL_PHASE_EMPTY);
    }
}

static void test_ctl_snapshot_load__fails__process_is_to_end(void **state)
{
    struct fixture *fixture = *state;
    expect_refused(fixture, snapshot_load_action(NOWHERE, NOWHERE),
                   "Load snapshot error: Failed to restore from snapshot: Failed to get snapshot "
                   "state from file: Failed to open snapshot file: No such file or directory (os "
                   "error 2) (" NOWHERE ")");
    assert_true(fixture->lost);
}

static void test_ctl_snapshot_create__running__refused(void **state)
{
    struct fixture *fixture = *state;
    fixture->ctl->phase = CTL_PHASE_RUNNING;
    expect_refused(fixture, snapshot_create_action(NOWHERE, NOWHERE "2"),
                   "Create snapshot error: Cannot save the microVM state: Operation not allowed: "
                   "save/restore unavailable while running");
}

static void test_ctl_excluded__every_request__its_answers(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CTL_EXCLUDED_COUNT; i++) {
        const struct ctl_action action = {.kind = CTL_EXCLUDED, .u.excluded = (enum ctl_excluded)i};
        const struct ctl_excluded_answer *answer = &ctl_excluded_answers[i];
        fixture->ctl->phase = CTL_PHASE_EMPTY;
        expect_refused(fixture, action, answer->pre);
        fixture->ctl->phase = CTL_PHASE_PAUSED;
        expect_refused(fixture, action, answer->post);
    }
    assert_string_equal(ctl_excluded_answers[CTL_EXCLUDED_BALLOON_PUT].pre,
                        "The requested operation is not supported: virtio-balloon is not part of "
                        "this VMM's device model.");
}

static void test_ctl_patch_nic__no_interface__not_found(void **state)
{
    struct fixture *fixture = *state;
    fixture->ctl->phase = CTL_PHASE_RUNNING;
    expect_refused(fixture, (struct ctl_action){.kind = CTL_NIC_PATCH},
                   "Network config error: Unable to update the net device: Failed perform action "
                   "on device: Device not found");
}

/* ------------------------------------------------------------------ machine configuration */

#define BAD_VCPUS                                                                                  \
    "Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be "  \
    "1 or an even number if SMT is enabled."

static void test_ctl_put_machine__refused__nothing_changes(void **state)
{
    struct fixture *fixture = *state;
    expect_ok(fixture, machine_action(2, 256));
    const struct cfg_machine before = fixture->ctl->config->machine;
    expect_refused(fixture, machine_action(33, 512), BAD_VCPUS);
    expect_refused(fixture, machine_action(1, 0),
                   "Machine config error: The memory size (MiB) is either 0, or not a multiple of "
                   "the configured page size.");
    assert_memory_equal(&fixture->ctl->config->machine, &before, sizeof(before));
}

static void test_ctl_put_machine__omitted_fields__defaults_but_for_the_template(void **state)
{
    struct fixture *fixture = *state;
    struct ctl_action action = machine_action(2, 256);
    action.u.machine.smt = true;
    action.u.machine.track_dirty_pages = true;
    action.u.machine.has_cpu_template = true;
    action.u.machine.cpu_template = CFG_TEMPLATE_T2;
    expect_ok(fixture, action);
    expect_ok(fixture, machine_action(3, 64));
    const struct cfg_machine *machine = &fixture->ctl->config->machine;
    assert_int_equal(machine->vcpu_count, 3);
    assert_false(machine->smt);
    assert_false(machine->track_dirty_pages);
    assert_true(machine->has_cpu_template);
    assert_int_equal(machine->cpu_template, CFG_TEMPLATE_T2);
}

static void test_ctl_put_machine__template_none__no_template(void **state)
{
    struct fixture *fixture = *state;
    struct ctl_action action = machine_action(1, 64);
    action.u.machine.has_cpu_template = true;
    action.u.machine.cpu_template = CFG_TEMPLATE_T2;
    expect_ok(fixture, action);
    action.u.machine.cpu_template = CFG_TEMPLATE_NONE;
    expect_ok(fixture, action);
    assert_false(fixture->ctl->config->machine.has_cpu_template);
}

static void test_ctl_patch_machine__one_field__the_others_stay(void **state)
{
    struct fixture *fixture = *state;
    expect_ok(fixture, machine_action(4, 256));
    const struct ctl_action patch = {
        .kind = CTL_MACHINE_CONFIG_PATCH,
        .u.machine_patch = {.machine = {.mem_size_mib = 512}, .has_mem_size_mib = true}};
    expect_ok(fixture, patch);
    assert_int_equal(fixture->ctl->config->machine.vcpu_count, 4);
    assert_int_equal(fixture->ctl->config->machine.mem_size_mib, 512);
}

static void test_ctl_patch_machine__bad_result_or_empty__nothing_changes(void **state)
{
    struct fixture *fixture = *state;
    expect_ok(fixture, machine_action(3, 256));
    const struct cfg_machine before = fixture->ctl->config->machine;
    const struct ctl_action bad = {.kind = CTL_MACHINE_CONFIG_PATCH,
                                   .u.machine_patch = {.machine = {.smt = true, .mem_size_mib = 64},
                                                       .has_smt = true,
                                                       .has_mem_size_mib = true}};
    expect_refused(fixture, bad, BAD_VCPUS);
    expect_refused(fixture, (struct ctl_action){.kind = CTL_MACHINE_CONFIG_PATCH},
                   "Machine config error: Empty PATCH request.");
    assert_memory_equal(&fixture->ctl->config->machine, &before, sizeof(before));
}

/* A template that owns something, so that what is lost or freed twice is seen. */
static struct ctl_action cpu_config_action(uint32_t msrs_count)
{
    struct ctl_action action = {.kind = CTL_CPU_CONFIG_PUT};
    action.u.cpu_template.msrs = calloc(msrs_count, sizeof(struct cfg_msr_modifier));
    action.u.cpu_template.msrs_count = msrs_count;
    assert_non_null(action.u.cpu_template.msrs);
    return action;
}

static void test_ctl_put_cpu_config__and_static_templates__last_writer_wins(void **state)
{
    struct fixture *fixture = *state;
    const struct cfg_vm *config = fixture->ctl->config;
    struct ctl_action named = machine_action(1, 64);
    named.u.machine.has_cpu_template = true;
    named.u.machine.cpu_template = CFG_TEMPLATE_T2;
    expect_ok(fixture, named);
    expect_ok(fixture, cpu_config_action(2));
    expect_ok(fixture, cpu_config_action(3));
    assert_true(config->has_cpu_template);
    assert_int_equal(config->cpu_template.msrs_count, 3);
    assert_false(config->machine.has_cpu_template);
    expect_ok(fixture, machine_action(2, 64)); /* names none: the custom one stays */
    assert_true(config->has_cpu_template);
    assert_false(config->machine.has_cpu_template); /* nor does the replaced one come back */
    expect_ok(fixture, named);
    assert_false(config->has_cpu_template);
    assert_true(config->machine.has_cpu_template);
}

/* ------------------------------------------------------------------ boot source and drives */

static void test_ctl_put_boot_source__refused__earlier_one_stays(void **state)
{
    struct fixture *fixture = *state;
    expect_ok(fixture, boot_source_action("/dev/null"));
    expect_refused(fixture, boot_source_action(NOWHERE),
                   "Boot source error: The kernel file cannot be opened: No such file or directory "
                   "(os error 2)");
    struct ctl_action bad_args = boot_source_action("/dev/null");
    char long_args[CFG_CMDLINE_MAX_SIZE + 1];
    memset(long_args, 'a', sizeof(long_args) - 1);
    long_args[sizeof(long_args) - 1] = '\0';
    bad_args.u.boot_source.boot_args = text_of(long_args);
    assert_true(carry(fixture, bad_args) < 0);
    assert_string_equal(fixture->ctl->config->boot_source.kernel_image_path, "/dev/null");
    assert_null(fixture->ctl->config->boot_source.boot_args);
}

static const struct cfg_drive *drive_at(const struct fixture *fixture, uint32_t idx)
{
    assert_true(idx < fixture->ctl->config->drives_count);
    return &fixture->ctl->config->drives[idx];
}

static void test_ctl_put_drive__root_comes_later__changes_places_with_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct file file = file_make(4096);
    expect_ok(fixture, drive_action("a", file.path, false));
    expect_ok(fixture, drive_action("b", file.path, false));
    expect_ok(fixture, drive_action("root", file.path, true));
    assert_string_equal(drive_at(fixture, 0)->drive_id, "root");
    assert_string_equal(drive_at(fixture, 1)->drive_id, "b");
    assert_string_equal(drive_at(fixture, 2)->drive_id, "a");
    fd_close(&file.fd);
}

static void test_ctl_put_drive__second_root__refused_unless_it_is_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct file file = file_make(4096);
    expect_ok(fixture, drive_action("a", file.path, true));
    expect_refused(fixture, drive_action("b", file.path, true),
                   "Drive config error: A root block device already exists!");
    assert_int_equal(fixture->ctl->config->drives_count, 1);
    expect_ok(fixture, drive_action("a", file.path, true));
    fd_close(&file.fd);
}

static void test_ctl_put_drive__same_id__replaced_in_place_only_by_one_that_opens(void **state)
{
    struct fixture *fixture = *state;
    struct file first = file_make(4096);
    struct file second = file_make(8192);
    expect_ok(fixture, drive_action("a", first.path, false));
    expect_ok(fixture, drive_action("b", first.path, false));
    expect_ok(fixture, drive_action("a", second.path, false));
    expect_refused(fixture, drive_action("a", NOWHERE, false),
                   "Drive config error: Unable to create the virtio block device: Virtio backend "
                   "error: Error manipulating the backing file: No such file or directory (os "
                   "error 2) " NOWHERE);
    assert_int_equal(fixture->ctl->config->drives_count, 2);
    assert_string_equal(drive_at(fixture, 0)->path_on_host, second.path);
    fd_close(&first.fd);
    fd_close(&second.fd);
}

static void test_ctl_put_drive__no_path__refused(void **state)
{
    expect_refused(*state, drive_action("a", NULL, false),
                   "Drive config error: Unable to create the virtio block device: Invalid block "
                   "config.");
}

/* ------------------------------------------------------------------ logger, metrics, serial */

static void test_ctl_put_logger_and_metrics__owner_refuses__its_sentence_with_category(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(carry_kind(fixture, CTL_LOGGER_PUT), 0);
    assert_int_equal(carry_kind(fixture, CTL_METRICS_PUT), 0);
    fixture->hook_result = -EIO;
    expect_refused(fixture, (struct ctl_action){.kind = CTL_LOGGER_PUT},
                   "Logger error: the logger's");
    expect_refused(fixture, (struct ctl_action){.kind = CTL_METRICS_PUT},
                   "Metrics error: the metrics'");
    assert_int_equal(fixture->loggers_count, 2);
    assert_int_equal(fixture->metrics_count, 2);
}

static void test_ctl_put_serial__again__both_values_replaced(void **state)
{
    struct fixture *fixture = *state;
    const struct ctl_action first = {
        .kind = CTL_SERIAL_PUT,
        .u.serial = {.serial_out_path = text_of(NOWHERE), .rate_limiter = {true, 1, 2, 3}}};
    expect_ok(fixture, first);
    assert_string_equal(fixture->ctl->serial.serial_out_path, NOWHERE);
    expect_ok(fixture, (struct ctl_action){.kind = CTL_SERIAL_PUT});
    assert_null(fixture->ctl->serial.serial_out_path);
    assert_false(fixture->ctl->serial.rate_limiter.present);
}

/* ------------------------------------------------------------------ start without KVM */

static void test_ctl_start__no_kernel__refused_and_nothing_latched(void **state)
{
    struct fixture *fixture = *state;
    expect_refused(fixture, (struct ctl_action){.kind = CTL_INSTANCE_START},
                   "Start microvm error: Cannot start microvm without kernel configuration.");
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_EMPTY);
}

static void test_ctl_start__no_kvm__category_and_still_configurable(void **state)
{
    struct fixture *fixture = *state;
    struct file kernel = kernel_make(code_halt, sizeof(code_halt));
    expect_ok(fixture, boot_source_action(kernel.path));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(carry_kind(fixture, CTL_INSTANCE_START), -ENOENT);
        assert_non_null(strstr(fixture->reply.err.msg, "Start microvm error: Kvm error: "));
        assert_int_equal(fixture->ctl->phase, CTL_PHASE_CONFIGURED);
    }
    expect_ok(fixture, machine_action(2, 64));
    fd_close(&kernel.fd);
}

static void test_ctl_start__serial_file_cannot_be_opened__start_fails(void **state)
{
    struct fixture *fixture = *state;
    expect_ok(fixture, boot_source_action("/dev/null"));
    const struct ctl_action serial = {.kind = CTL_SERIAL_PUT,
                                      .u.serial = {.serial_out_path = text_of(NOWHERE)}};
    expect_ok(fixture, serial);
    expect_refused(fixture, (struct ctl_action){.kind = CTL_INSTANCE_START},
                   "Start microvm error: The serial output file cannot be opened: No such file or "
                   "directory (os error 2) (" NOWHERE ")");
}

static struct ctl_action metadata_action(enum ctl_action_kind kind, const char *text)
{
    return (struct ctl_action){.kind = kind,
                               .u.metadata = {.text = text_of(text), .len = strlen(text)}};
}

static void expect_metadata(struct fixture *fixture, const char *text)
{
    assert_int_equal(carry_kind(fixture, CTL_MMDS_GET), 0);
    assert_string_equal(fixture->reply.metadata, text);
}

static void test_ctl_mmds__before_the_start__put_merged_and_shown(void **state)
{
    struct fixture *fixture = *state;
    expect_metadata(fixture, "{}");
    expect_refused(fixture, metadata_action(CTL_MMDS_PATCH, "{}"),
                   "MMDS error: The MMDS data store is not initialized.");
    expect_ok(fixture, metadata_action(CTL_MMDS_PUT, "{\"b\":1,\"a\":{\"c\":2}}"));
    assert_null(fixture->reply.metadata);
    expect_ok(fixture, metadata_action(CTL_MMDS_PATCH, "{\"b\":null}"));
    expect_metadata(fixture, "{\"a\":{\"c\":2}}");
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_EMPTY);
}

static void test_ctl_mmds__too_large__413_and_nothing_changes(void **state)
{
    struct fixture *fixture = *state;
    char large[120] = "{\"a\":\"";
    memset(large + 6, 'x', 100);
    memcpy(large + 106, "\"}", 3);
    expect_ok(fixture, metadata_action(CTL_MMDS_PUT, "{\"b\":1}"));
    expect_refused(fixture, metadata_action(CTL_MMDS_PUT, large),
                   "MMDS limit exceeded error: The MMDS patch request doesn't fit.");
    assert_int_equal(fixture->reply.code, -EMSGSIZE);
    expect_refused(fixture, metadata_action(CTL_MMDS_PATCH, large),
                   "MMDS limit exceeded error: The MMDS patch request doesn't fit.");
    expect_metadata(fixture, "{\"b\":1}");
}

static void test_ctl_mmds__runs_without_such_an_interface__refused(void **state)
{
    struct fixture *fixture = *state;
    static const char refusal[] = "MMDS error: The MMDS data store is not initialized.";
    expect_ok(fixture, metadata_action(CTL_MMDS_PUT, "1"));
    fixture->ctl->phase = CTL_PHASE_RUNNING;
    expect_refused(fixture, metadata_action(CTL_MMDS_PUT, "2"), refusal);
    expect_refused(fixture, metadata_action(CTL_MMDS_PATCH, "2"), refusal);
    expect_refused(fixture, (struct ctl_action){.kind = CTL_MMDS_GET}, refusal);
    fixture->ctl->config->has_mmds = true;
    expect_metadata(fixture, "1");
    fixture->ctl->config->has_mmds = false;
}

static void test_ctl_put_mmds_config__refused__nothing_changes_but_the_latch(void **state)
{
    struct fixture *fixture = *state;
    struct ctl_action action = {.kind = CTL_MMDS_CONFIG_PUT};
    action.u.mmds.network_interfaces[0] = text_of("none");
    action.u.mmds.network_interfaces_count = 1;
    expect_refused(fixture, action,
                   "MMMDS config error: The list of network interface IDs provided contains at "
                   "least one ID that does not correspond to any existing network interface.");
    assert_false(fixture->ctl->config->has_mmds);
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_CONFIGURED);
}

static void test_ctl_load_metadata__document__no_action_and_no_latch(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    assert_int_equal(ctl_load_metadata(fixture->ctl, "[1]", 3, &err), 0);
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_EMPTY);
    expect_metadata(fixture, "[1]");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctl_rules__every_kind__phases_and_a_sentence_for_the_others),
        TEST(test_ctl_do__wrong_phase__the_sentence_of_the_row),
        TEST(test_ctl_do__refused__what_the_action_owns_is_freed),
        TEST(test_ctl_do__gets__in_every_phase_and_no_news),
        TEST(test_ctl_latch__boot_requests_that_fail__set_it),
        TEST(test_ctl_latch__other_requests__leave_it),
        TEST(test_ctl_snapshot_load__fails__process_is_to_end),
        TEST(test_ctl_snapshot_create__running__refused),
        TEST(test_ctl_excluded__every_request__its_answers),
        TEST(test_ctl_patch_nic__no_interface__not_found),
        TEST(test_ctl_put_machine__refused__nothing_changes),
        TEST(test_ctl_put_machine__omitted_fields__defaults_but_for_the_template),
        TEST(test_ctl_put_machine__template_none__no_template),
        TEST(test_ctl_patch_machine__one_field__the_others_stay),
        TEST(test_ctl_patch_machine__bad_result_or_empty__nothing_changes),
        TEST(test_ctl_put_cpu_config__and_static_templates__last_writer_wins),
        TEST(test_ctl_put_boot_source__refused__earlier_one_stays),
        TEST(test_ctl_put_drive__root_comes_later__changes_places_with_the_first),
        TEST(test_ctl_put_drive__second_root__refused_unless_it_is_the_first),
        TEST(test_ctl_put_drive__same_id__replaced_in_place_only_by_one_that_opens),
        TEST(test_ctl_put_drive__no_path__refused),
        TEST(test_ctl_put_logger_and_metrics__owner_refuses__its_sentence_with_category),
        TEST(test_ctl_put_serial__again__both_values_replaced),
        TEST(test_ctl_start__no_kernel__refused_and_nothing_latched),
        TEST(test_ctl_start__no_kvm__category_and_still_configurable),
        TEST(test_ctl_start__serial_file_cannot_be_opened__start_fails),
        TEST(test_ctl_mmds__before_the_start__put_merged_and_shown),
        TEST(test_ctl_mmds__too_large__413_and_nothing_changes),
        TEST(test_ctl_mmds__runs_without_such_an_interface__refused),
        TEST(test_ctl_put_mmds_config__refused__nothing_changes_but_the_latch),
        TEST(test_ctl_load_metadata__document__no_action_and_no_latch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
