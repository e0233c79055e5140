/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine before and beside KVM: which end counts, what staging keeps and replaces, what
 * building refuses. Reports of ends come from several threads, as vCPUs make them.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/machine/machine_fixture.h"

#define REPORTERS_COUNT 8

static int setup(void **state)
{
    static struct fixture fixture; /* the test's only one */
    fixture_init(&fixture, "/nonexistent/kvm");
    *state = &fixture;
    return 0;
}

static struct err reason_of(const char *text)
{
    struct err reason = ERR_INIT;
    (void)err_set(&reason, -EIO, "%s", text);
    return reason;
}

static void run_loop(struct fixture *fixture)
{
    struct err err = ERR_INIT;
    assert_int_equal(loop_run(fixture->loop, &err), 0);
}

static void test_machine_report_end__reset_then_fault__the_error_wins(void **state)
{
    struct fixture *fixture = *state;
    const struct err reason = reason_of("a triple fault");
    machine_report_end(fixture->machine, MACHINE_END_OK, NULL);
    machine_report_end(fixture->machine, MACHINE_END_ERROR, &reason);
    run_loop(fixture);
    assert_int_equal(fixture->ends_count, 1);
    assert_int_equal(fixture->end, MACHINE_END_ERROR);
    assert_string_equal(fixture->reason.msg, "a triple fault");
}

static void test_machine_report_end__fault_then_reset__the_error_stays(void **state)
{
    struct fixture *fixture = *state;
    const struct err first = reason_of("first");
    const struct err second = reason_of("second");
    machine_report_end(fixture->machine, MACHINE_END_ERROR, &first);
    machine_report_end(fixture->machine, MACHINE_END_OK, NULL);
    machine_report_end(fixture->machine, MACHINE_END_ERROR, &second);
    run_loop(fixture);
    assert_int_equal(fixture->ends_count, 1);
    assert_int_equal(fixture->end, MACHINE_END_ERROR);
    assert_string_equal(fixture->reason.msg, "first");
}

static void *report_ok(void *arg)
{
    machine_report_end(arg, MACHINE_END_OK, NULL);
    return NULL;
}

static void *report_error(void *arg)
{
    const struct err reason = reason_of("one of many");
    machine_report_end(arg, MACHINE_END_ERROR, &reason);
    return NULL;
}

static void test_machine_report_end__many_threads_at_once__told_once(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[REPORTERS_COUNT];
    for (int i = 0; i < REPORTERS_COUNT; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i == 3 ? report_error : report_ok, fixture->machine),
            0);
    for (int i = 0; i < REPORTERS_COUNT; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    run_loop(fixture);
    assert_int_equal(fixture->ends_count, 1);
    assert_int_equal(fixture->end, MACHINE_END_ERROR);
    assert_string_equal(fixture->reason.msg, "one of many");
}

static void test_machine_stage_boot_source__missing_file__earlier_one_kept(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    char kernel[] = "/dev/null";
    char none[] = "/nonexistent/file";
    const struct cfg_boot_source good = {.kernel_image_path = kernel};
    const struct cfg_boot_source no_kernel = {.kernel_image_path = none};
    const struct cfg_boot_source no_initrd = {.kernel_image_path = kernel, .initrd_path = none};
    assert_int_equal(machine_stage_boot_source(fixture->machine, &good, &err), 0);
    int fd = fixture->machine->kernel_fd;
    assert_true(fd >= 0);
    assert_int_equal(machine_stage_boot_source(fixture->machine, &no_kernel, &err), -ENOENT);
    assert_string_equal(err.msg, "The kernel file cannot be opened: No such file or directory (os "
                                 "error 2)");
    assert_int_equal(machine_stage_boot_source(fixture->machine, &no_initrd, &err), -ENOENT);
    assert_string_equal(err.msg, "The initrd file cannot be opened due to invalid path or invalid "
                                 "permissions. No such file or directory (os error 2)");
    assert_int_equal(fixture->machine->kernel_fd, fd);
    assert_int_equal(fixture->machine->initrd_fd, FD_NONE);
}

/* A drive on a memory file; the caller closes *ret_fd. */
static struct cfg_drive drive_make(const char *id, uint64_t size, int *ret_fd, char *path)
{
    *ret_fd = file_of_size(size);
    (void)snprintf(path, PATH_SIZE, "/proc/self/fd/%d", *ret_fd);
    struct cfg_drive drive = {.path_on_host = path};
    drive.drive_id = strdup(id);
    assert_non_null(drive.drive_id);
    return drive;
}

static void test_machine_stage_drive__same_id__replaces_and_survives_a_failure(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    char path[PATH_SIZE];
    char none[] = "/nonexistent/disk";
    FD_AUTO int fd = FD_NONE;
    uint32_t tail_size = 1;
    struct cfg_drive drive = drive_make("d", 4096, &fd, path);
    assert_int_equal(machine_stage_drive(fixture->machine, &drive, &tail_size, &err), 0);
    assert_int_equal(tail_size, 0);
    const struct blk *first = fixture->machine->drives[0].blk;
    assert_int_equal(ftruncate(fd, 4096 + 7), 0);
    assert_int_equal(machine_stage_drive(fixture->machine, &drive, &tail_size, &err), 0);
    assert_int_equal(tail_size, 7);
    assert_int_equal(fixture->machine->drives_count, 1);
    const struct blk *second = fixture->machine->drives[0].blk;
    assert_non_null(first);
    drive.path_on_host = none;
    assert_int_equal(machine_stage_drive(fixture->machine, &drive, &tail_size, &err), -ENOENT);
    assert_string_equal(err.msg,
                        "Virtio backend error: Error "
                        "manipulating the backing file: No such file or directory (os error 2) "
                        "/nonexistent/disk");
    assert_int_equal(fixture->machine->drives_count, 1);
    assert_ptr_equal(fixture->machine->drives[0].blk, second);
    free(drive.drive_id);
}

static void test_machine_build__nothing_staged__refused(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    assert_int_equal(machine_build(fixture->machine, &fixture->config, &err), -EINVAL);
    assert_string_equal(err.msg, "Cannot start microvm without kernel configuration.");
}

static void test_machine_build__no_kvm__category_and_path(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t code[] = {0xf4};
    struct err err = ERR_INIT;
    fixture_stage_code(fixture, code, sizeof(code));
    assert_int_equal(machine_build(fixture->machine, &fixture->config, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "Kvm error: Error creating KVM object: No such file"));
    assert_non_null(strstr(err.msg, "(/nonexistent/kvm)"));
}

static void test_machine_ctrl_alt_del__before_the_build__no_keyboard(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    assert_int_equal(machine_ctrl_alt_del(fixture->machine, &err), -ENODEV);
    machine_stop(fixture->machine); /* not started is fine */
    machine_free(NULL);
}

#define WITH_MACHINE(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MACHINE(test_machine_report_end__reset_then_fault__the_error_wins),
        WITH_MACHINE(test_machine_report_end__fault_then_reset__the_error_stays),
        WITH_MACHINE(test_machine_report_end__many_threads_at_once__told_once),
        WITH_MACHINE(test_machine_stage_boot_source__missing_file__earlier_one_kept),
        WITH_MACHINE(test_machine_stage_drive__same_id__replaces_and_survives_a_failure),
        WITH_MACHINE(test_machine_build__nothing_staged__refused),
        WITH_MACHINE(test_machine_build__no_kvm__category_and_path),
        WITH_MACHINE(test_machine_ctrl_alt_del__before_the_build__no_keyboard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
