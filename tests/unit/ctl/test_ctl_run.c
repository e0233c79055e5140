/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting, pausing, resuming and patching a VM with a guest of a few bytes. Skipped (77) where
 * /dev/kvm cannot be used. Thread: the test's is the vmm thread.
 */
#include <errno.h>

#include "base/metrics.h"
#include "tests/unit/ctl/ctl_fixture.h"

#define EXIT_SKIP 77
#define PATCH_FAILED "Drive config error: Unable to patch the block device: "

static struct file kernel;
static struct file disk;

static int setup(void **state)
{
    static struct fixture fixture; /* the test's only one */
    fixture_init(&fixture, "/dev/kvm");
    kernel = kernel_make(code_halt, sizeof(code_halt));
    disk = file_make(4096);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    fd_close(&kernel.fd);
    fd_close(&disk.fd);
    return 0;
}

static const struct ctl_action start_action = {.kind = CTL_INSTANCE_START};
static const struct ctl_action pause_action = {.kind = CTL_PAUSE};
static const struct ctl_action resume_action = {.kind = CTL_RESUME};

static void start(struct fixture *fixture)
{
    expect_ok(fixture, boot_source_action(kernel.path));
    expect_ok(fixture, machine_action(2, 64));
    expect_ok(fixture, drive_action("a", disk.path, false));
    expect_ok(fixture, start_action);
}

static void test_ctl_start__good_guest__running(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_RUNNING);
    assert_int_equal(fixture->state, CTL_STATE_RUNNING);
}

static void test_ctl_start__fails_for_each_reason__then_a_good_one_runs(void **state)
{
    struct fixture *fixture = *state;
    expect_ok(fixture, drive_action("a", disk.path, false));
    expect_ok(fixture, boot_source_action("/dev/null"));
    assert_true(carry(fixture, start_action) < 0); /* no kernel in it */
    expect_ok(fixture, boot_source_action(kernel.path));
    expect_ok(fixture, machine_action(1, UINT64_MAX));
    expect_refused(fixture, start_action,
                   "Start microvm error: Invalid Memory Configuration: Cannot create mmap region: "
                   "Out of memory (os error 12)");
    struct ctl_action long_args = boot_source_action(kernel.path);
    char args[2048];
    memset(args, 'x', sizeof(args) - 1);
    args[sizeof(args) - 1] = '\0';
    long_args.u.boot_source.boot_args = text_of(args);
    expect_ok(fixture, long_args);
    expect_ok(fixture, machine_action(1, 64));
    assert_true(carry(fixture, start_action) < 0); /* no room for what the VMM appends */
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_CONFIGURED);
    start(fixture);
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_RUNNING);
}

static void test_ctl_start__more_memory_than_kvm_takes__what_to_lower(void **state)
{
    struct fixture *fixture = *state;
    expect_ok(fixture, boot_source_action(kernel.path));
    expect_ok(fixture, machine_action(1, 9738880));
    assert_true(carry(fixture, start_action) < 0);
    if (strstr(fixture->reply.err.msg, "Cannot create mmap region"))
        skip(); /* this host does not even map it */
    static const char sentence[] =
        "Start microvm error: Invalid Memory Configuration: this host's KVM does not take 9738880 "
        "MiB; lower mem_size_mib: guest memory of ";
    assert_memory_equal(fixture->reply.err.msg, sentence, strlen(sentence));
    start(fixture);
}

static void test_ctl_pause__twice__paused_and_the_owner_hears_once(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    uint32_t before = fixture->states_count;
    expect_ok(fixture, pause_action);
    expect_ok(fixture, pause_action);
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_PAUSED);
    assert_int_equal(fixture->state, CTL_STATE_PAUSED);
    assert_int_equal(fixture->states_count, before + 1);
}

static void test_ctl_resume__twice__running_and_the_owner_hears_once(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    expect_ok(fixture, resume_action); /* runs already */
    uint32_t before = fixture->states_count;
    expect_ok(fixture, pause_action);
    expect_ok(fixture, resume_action);
    expect_ok(fixture, resume_action);
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_RUNNING);
    assert_int_equal(fixture->states_count, before + 2);
    assert_int_equal(fixture->state, CTL_STATE_RUNNING);
}

static void test_ctl_send_ctrl_alt_del__guest_reads_nothing__full_with_category(void **state)
{
    struct fixture *fixture = *state;
    static const struct ctl_action press = {.kind = CTL_CTRL_ALT_DEL};
    start(fixture);
    for (int i = 0; i < 4; i++)
        expect_ok(fixture, press);
    expect_refused(fixture, press, "Internal VMM error: I8042 error: i8042 internal buffer full.");
}

static void test_ctl_flush_metrics__no_file__fine(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    expect_ok(fixture, (struct ctl_action){.kind = CTL_METRICS_FLUSH});
}

static void check_patch(struct fixture *fixture)
{
    struct file larger = file_make(8192);
    const struct cfg_drive *drive = &fixture->ctl->config->drives[0];
    expect_ok(fixture, drive_patch_action("a", larger.path));
    assert_string_equal(drive->path_on_host, larger.path);
    expect_refused(fixture, drive_patch_action("a", NOWHERE),
                   PATCH_FAILED "Block: Virtio backend error: Error manipulating the backing file: "
                                "No such file or directory (os error 2) " NOWHERE
                                " Please verify the request arguments.");
    assert_string_equal(drive->path_on_host, larger.path);
    expect_ok(fixture, drive_patch_action("a", disk.path));
    fd_close(&larger.fd);
}

static void test_ctl_patch_drive__running_and_paused__path_changes_or_stays(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    check_patch(fixture);
    expect_ok(fixture, pause_action);
    check_patch(fixture);
}

static void test_ctl_patch_drive__bad_path_with_limiter__neither_changes(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    struct ctl_action patch = drive_patch_action("a", NOWHERE);
    patch.u.drive_patch.rate_limiter =
        (struct cfg_rate_limiter){.present = true, .ops = {true, 1, 0, 100}};
    assert_true(carry(fixture, patch) < 0);
    assert_false(fixture->ctl->config->drives[0].rate_limiter.present);
    patch.u.drive_patch.drive_id = text_of("a");
    patch.u.drive_patch.path_on_host = NULL;
    expect_ok(fixture, patch);
    assert_true(fixture->ctl->config->drives[0].rate_limiter.ops.present);
}

static void test_ctl_patch_drive__unknown_or_empty__their_sentences(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    expect_refused(fixture, drive_patch_action("b", disk.path),
                   PATCH_FAILED "Failed perform action on device: Device not found Please verify "
                                "the request arguments.");
    expect_refused(fixture, drive_patch_action("a", NULL),
                   PATCH_FAILED "Block: Running method expected different backend. Please verify "
                                "the request arguments.");
}

/* As the config file's loader does. */
static void test_ctl_start_config__whole_configuration__taken_over_and_running(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    enum ctl_part part;
    struct cfg_vm *config = calloc(1, sizeof(*config));
    assert_non_null(config);
    cfg_vm_init(config);
    config->boot_source.kernel_image_path = text_of(kernel.path);
    config->machine.mem_size_mib = 64;
    config->drives = calloc(1, sizeof(*config->drives));
    assert_non_null(config->drives);
    config->drives[0] =
        (struct cfg_drive){.drive_id = text_of("a"), .path_on_host = text_of(disk.path)};
    config->drives_count = 1;
    assert_int_equal(ctl_start_config(fixture->ctl, config, &part, &err), 0);
    assert_int_equal(part, CTL_PART_START);
    assert_int_equal(config->drives_count, 0);
    assert_int_equal(fixture->ctl->phase, CTL_PHASE_RUNNING);
    assert_string_equal(fixture->ctl->config->drives[0].path_on_host, disk.path);
    free(config);
}

static void test_ctl_start_config__bad_drive__the_part_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    enum ctl_part part;
    struct cfg_vm *config = calloc(1, sizeof(*config));
    assert_non_null(config);
    cfg_vm_init(config);
    config->boot_source.kernel_image_path = text_of(kernel.path);
    config->drives = calloc(1, sizeof(*config->drives));
    assert_non_null(config->drives);
    config->drives[0] =
        (struct cfg_drive){.drive_id = text_of("a"), .path_on_host = text_of(NOWHERE)};
    config->drives_count = 1;
    assert_int_equal(ctl_start_config(fixture->ctl, config, &part, &err), -ENOENT);
    assert_int_equal(part, CTL_PART_DRIVE);
    cfg_vm_done(config); /* still the caller's */
    free(config);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        (void)fprintf(stderr, "skipped: /dev/kvm cannot be used\n");
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        TEST(test_ctl_start__good_guest__running),
        TEST(test_ctl_start__fails_for_each_reason__then_a_good_one_runs),
        TEST(test_ctl_start__more_memory_than_kvm_takes__what_to_lower),
        TEST(test_ctl_pause__twice__paused_and_the_owner_hears_once),
        TEST(test_ctl_resume__twice__running_and_the_owner_hears_once),
        TEST(test_ctl_send_ctrl_alt_del__guest_reads_nothing__full_with_category),
        TEST(test_ctl_flush_metrics__no_file__fine),
        TEST(test_ctl_patch_drive__running_and_paused__path_changes_or_stays),
        TEST(test_ctl_patch_drive__bad_path_with_limiter__neither_changes),
        TEST(test_ctl_patch_drive__unknown_or_empty__their_sentences),
        TEST(test_ctl_start_config__whole_configuration__taken_over_and_running),
        TEST(test_ctl_start_config__bad_drive__the_part_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
