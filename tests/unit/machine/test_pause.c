/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pausing exactly: guests that count in memory stand still, go on, end and stop; devices publish
 * what was in flight and keep what comes meanwhile. Skipped (77) where /dev/kvm cannot be used.
 * Thread: the test's is the vmm thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/le.h"
#include "devices/blk/blk_int.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/machine/machine_fixture.h"

#define EXIT_SKIP 77
#define STILL_US (50u * 1000)
#define PATIENCE_MS 10000

/* Where each vCPU counts. */
#define BSP_COUNT 0x1200000ull
#define AP_COUNT 0x10100ull

/* Starts vCPU 1 through the x2APIC. */
#define START_VCPU_1                                                                               \
    0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32,              /* mov ecx, IA32_APIC_BASE; rdmsr */             \
        0x0d, 0x00, 0x0c, 0, 0, 0x0f, 0x30,       /* or eax, x2APIC; wrmsr */                      \
        0x48, 0xb8, 0x2e, 0x66, 0xff, 0x06, 0, 1, /* mov rax, vCPU 1's code: */                    \
        0xeb, 0xf8,                               /* inc dword cs:[0x100]; jmp back */             \
        0x48, 0x89, 0x04, 0x25, 0, 0, 1, 0,       /* mov [0x10000], rax */                         \
        0xb9, 0x30, 0x08, 0, 0, 0xba, 1, 0, 0, 0, /* mov ecx, ICR; mov edx, vCPU 1 */              \
        0xb8, 0x00, 0x45, 0, 0, 0x0f, 0x30,       /* mov eax, INIT; wrmsr */                       \
        0xb8, 0x10, 0x46, 0, 0, 0x0f, 0x30        /* mov eax, start-up at 0x10000; wrmsr */

/* ... then inc dword [BSP_COUNT]; jmp back */
static const uint8_t code_count[] = {START_VCPU_1, 0xff, 0x04, 0x25, 0, 0, 0x20, 1, 0xeb, 0xf7};
/* ... then mov al, 0xfe; out 0x64, al; hlt */
static const uint8_t code_reset[] = {START_VCPU_1, 0xb0, 0xfe, 0xe6, 0x64, 0xf4};
static const uint8_t code_halt[] = {0xf4, 0xeb, 0xfd};

static void pause_it(struct fixture *fixture)
{
    struct err err = ERR_INIT;
    int rc = machine_pause(fixture->machine, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static uint32_t count_at(struct fixture *fixture, uint64_t addr)
{
    uint32_t count;
    assert_int_equal(unit_peek(fixture->machine->gmem, gpa(addr), &count, sizeof(count)), 0);
    return count;
}

static void await_progress(struct fixture *fixture, uint64_t addr)
{
    uint32_t before = count_at(fixture, addr);
    for (int ms = 0; count_at(fixture, addr) == before; ms++) {
        assert_true(ms < PATIENCE_MS);
        (void)usleep(1000);
    }
}

static void await_both(struct fixture *fixture)
{
    await_progress(fixture, BSP_COUNT);
    await_progress(fixture, AP_COUNT);
}

/* All of the guest's memory stays as it is for so long. */
static void expect_still(struct fixture *fixture, uint32_t us)
{
    static uint8_t before[64u << 20];
    struct iovec iov;
    struct gmem *gmem = fixture->machine->gmem;
    assert_int_equal(gmem_iov(gmem, gpa(0), sizeof(before), false, &iov), 0);
    memcpy(before, iov.iov_base, sizeof(before));
    (void)usleep(us);
    assert_int_equal(memcmp(before, iov.iov_base, sizeof(before)), 0);
}

static void turn_loop(struct fixture *fixture)
{
    for (int i = 0; i < 4; i++)
        assert_true(loop_turn(fixture->loop, 0) >= 0);
}

/* ------------------------------------------------------------------ vCPUs */

static void test_machine_pause__two_vcpus_count__memory_stands_still(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    await_both(fixture);
    pause_it(fixture);
    expect_still(fixture, STILL_US);
}

static void test_machine_resume__paused_guest__goes_on_where_it_was(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    await_both(fixture);
    pause_it(fixture);
    machine_resume(fixture->machine);
    await_both(fixture);
    machine_resume(fixture->machine); /* not paused is fine */
    await_both(fixture);
}

static void test_machine_pause__twice__still_paused_and_one_resume_is_enough(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    pause_it(fixture);
    pause_it(fixture);
    expect_still(fixture, STILL_US);
    machine_resume(fixture->machine);
    await_progress(fixture, BSP_COUNT);
}

static void test_machine_pause__many_fast_cycles__each_is_exact(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    await_both(fixture);
    for (int i = 0; i < 2000; i++) {
        pause_it(fixture);
        uint32_t bsp = count_at(fixture, BSP_COUNT);
        uint32_t ap = count_at(fixture, AP_COUNT);
        if (i % 64 == 0)
            (void)usleep(1000);
        assert_int_equal(count_at(fixture, BSP_COUNT), bsp);
        assert_int_equal(count_at(fixture, AP_COUNT), ap);
        machine_resume(fixture->machine);
    }
    await_both(fixture);
}

static void test_machine_pause__resumed_at_once__guest_still_makes_progress(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    for (int i = 0; i < 200; i++) {
        pause_it(fixture);
        machine_resume(fixture->machine);
        pause_it(fixture); /* maybe before anybody has woken */
        machine_resume(fixture->machine);
    }
    await_both(fixture);
}

/* As after a pause that was given up: the kick has come, and nobody waits. */
static void test_machine_kick_vcpu__no_pause_behind_it__guest_goes_on(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    await_both(fixture);
    for (uint32_t i = 0; i < 2; i++)
        machine_kick_vcpu(&fixture->machine->vcpus[i]);
    (void)usleep(10 * 1000);
    await_both(fixture);
}

static void await_left(struct fixture *fixture, uint32_t count)
{
    struct machine *machine = fixture->machine;
    uint32_t left = 0;
    for (int ms = 0; left < count; ms++) {
        assert_true(ms < PATIENCE_MS);
        (void)usleep(1000);
        (void)pthread_mutex_lock(&machine->park_lock);
        left = machine->left_count;
        (void)pthread_mutex_unlock(&machine->park_lock);
    }
}

static void test_machine_pause__a_vcpu_has_ended__pauses_and_the_end_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    fixture_start(fixture, code_reset, sizeof(code_reset), 2);
    await_left(fixture, 1);
    pause_it(fixture);
    assert_int_equal(fixture->ends_count, 0);
    assert_int_equal(loop_run(fixture->loop, &err), 0);
    assert_int_equal(fixture->ends_count, 1);
    assert_int_equal(fixture->end, MACHINE_END_OK);
    pause_it(fixture); /* nobody is left: fine */
    machine_resume(fixture->machine);
}

static void test_machine_stop__while_paused__joined(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    pause_it(fixture);
    machine_stop(fixture->machine);
    assert_int_equal(fixture->ends_count, 0);
}

static void test_machine_free__while_paused__stopped_first(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    pause_it(fixture); /* the teardown frees it */
}

/* As when not all vCPU threads could be started, and one that was has ended the guest. */
static void test_machine_take_back__guest_has_ended__a_new_build_runs(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, code_reset, sizeof(code_reset), 2);
    await_left(fixture, 1);
    machine_take_back(fixture->machine);
    fd_close(&fixture->kernel_fd);
    fixture_start(fixture, code_count, sizeof(code_count), 2);
    turn_loop(fixture);
    assert_int_equal(fixture->ends_count, 0);
    await_both(fixture);
    pause_it(fixture);
    expect_still(fixture, STILL_US);
}

/* ------------------------------------------------------------------ devices */

#define HEADER 0x40000ull
#define DATA 0x80000ull
#define STATUS 0x60000ull
#define QUEUE_SIZE 64u
#define READS_COUNT 16u
#define READ_SIZE 16384u
#define DISK_SIZE (4u << 20)

static char drive_id[] = "a";

/* A file in memory; path: PATH_SIZE bytes. */
static int make_disk(char *path)
{
    int fd = file_of_size(DISK_SIZE);
    (void)snprintf(path, PATH_SIZE, "/proc/self/fd/%d", fd);
    return fd;
}

/* Configures one drive; false: this host has no io_uring for it. */
static bool add_drive(struct fixture *fixture, char *path, enum cfg_io_engine engine)
{
    struct err err = ERR_INIT;
    uint32_t tail_size;
    struct cfg_drive drive = {.drive_id = drive_id, .path_on_host = path, .io_engine = engine};
    if (machine_stage_drive(fixture->machine, &drive, &tail_size, &err) < 0) {
        print_message("no Async drive here: %s\n", err.msg);
        return false;
    }
    fixture->config.drives = calloc(1, sizeof(drive));
    assert_non_null(fixture->config.drives);
    fixture->config.drives[0] = drive;
    fixture->config.drives_count = 1;
    return true;
}

static void forget_drive(struct fixture *fixture)
{
    fixture->config.drives_count = 0; /* its strings are the test's */
    free(fixture->config.drives);
    fixture->config.drives = NULL;
}

/* The driver is ready, as far as the device knows. */
static struct virtio_dev *activate(struct fixture *fixture, struct vq_driver *driver)
{
    struct virtio_dev *dev = fixture->machine->placed[0].device.virtio;
    vqd_init(driver, fixture->machine->gmem, QUEUE_SIZE);
    (void)pthread_mutex_lock(&dev->lock);
    dev->acked = dev->offered & ~(1ull << VIRTIO_RING_F_EVENT_IDX);
    dev->queues[0].setup = vqd_setup(driver);
    int rc = virtio_dev_activate(dev, fixture->machine->gmem);
    (void)pthread_mutex_unlock(&dev->lock);
    assert_int_equal(rc, 0);
    return dev;
}

static void offer_read(struct fixture *fixture, struct vq_driver *driver, uint16_t slot)
{
    uint16_t head = (uint16_t)(slot * 3);
    const struct {
        le32_t type;
        le32_t reserved;
        le64_t sector;
    } header = {le32_put(VIRTIO_BLK_T_IN), {0}, le64_put(slot * (DISK_SIZE / 512 / READS_COUNT))};
    assert_int_equal(
        gmem_write(fixture->machine->gmem, gpa(HEADER + slot * 16ull), &header, sizeof(header)), 0);
    vqd_desc(driver, VQD_DESC, head, HEADER + slot * 16ull, 16, VRING_DESC_F_NEXT,
             (uint16_t)(head + 1));
    vqd_desc(driver, VQD_DESC, (uint16_t)(head + 1), DATA + slot * (uint64_t)READ_SIZE, READ_SIZE,
             VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, (uint16_t)(head + 2));
    vqd_desc(driver, VQD_DESC, (uint16_t)(head + 2), STATUS + slot, 1, VRING_DESC_F_WRITE, 0);
    vqd_offer(driver, head);
}

static uint32_t take_all_used(struct vq_driver *driver)
{
    uint32_t count = 0;
    uint32_t id;
    uint32_t len;
    while (vqd_take_used(driver, &id, &len) == 1) {
        assert_int_equal(len, READ_SIZE + 1);
        count++;
    }
    return count;
}

static void serve(struct virtio_dev *dev)
{
    (void)pthread_mutex_lock(&dev->lock);
    dev->ops->on_queue(dev, 0);
    (void)pthread_mutex_unlock(&dev->lock);
}

/* What was started waits in the ring until somebody drains it. */
static int kick_later(void *ctx)
{
    (void)ctx;
    return 0;
}

static void test_machine_pause__async_reads_in_flight__published_before_it_returns(void **state)
{
    struct fixture *fixture = *state;
    struct vq_driver driver;
    char path[PATH_SIZE];
    int fd = make_disk(path);
    if (!add_drive(fixture, path, CFG_IO_ENGINE_ASYNC)) {
        fd_close(&fd);
        skip();
    }
    fixture_start(fixture, code_halt, sizeof(code_halt), 1);
    struct virtio_dev *dev = activate(fixture, &driver);
    struct disk *disk = &fixture->machine->drives[0].blk->disk;
    const struct disk_ops *real = disk->ops;
    struct disk_ops ops = *real;
    ops.kick = kick_later;
    disk->ops = &ops;
    for (uint16_t slot = 0; slot < READS_COUNT; slot++)
        offer_read(fixture, &driver, slot);
    serve(dev);
    assert_int_equal(take_all_used(&driver), 0);
    pause_it(fixture);
    assert_int_equal(take_all_used(&driver), READS_COUNT);
    expect_still(fixture, STILL_US);
    turn_loop(fixture); /* late news of the ring touch nothing */
    assert_int_equal(take_all_used(&driver), 0);
    machine_resume(fixture->machine);
    disk->ops = real;
    forget_drive(fixture);
    fd_close(&fd);
}

static void test_machine_pause__queue_kicked_meanwhile__served_after_the_resume(void **state)
{
    struct fixture *fixture = *state;
    struct vq_driver driver;
    char path[PATH_SIZE];
    int fd = make_disk(path);
    assert_true(add_drive(fixture, path, CFG_IO_ENGINE_SYNC));
    fixture_start(fixture, code_halt, sizeof(code_halt), 1);
    (void)activate(fixture, &driver);
    turn_loop(fixture);
    pause_it(fixture);
    offer_read(fixture, &driver, 0);
    assert_int_equal(fd_event_raise(vmmio_kick_fd(fixture->machine->placed[0].vmmio, 0)), 0);
    turn_loop(fixture);
    assert_int_equal(take_all_used(&driver), 0);
    machine_resume(fixture->machine);
    turn_loop(fixture);
    assert_int_equal(take_all_used(&driver), 1);
    forget_drive(fixture);
    fd_close(&fd);
}

static int never_quiet(struct virtio_dev *dev, uint64_t until_ns)
{
    (void)dev;
    assert_true(until_ns > clock_mono_ns());
    return -ETIMEDOUT;
}

static void test_machine_pause__device_does_not_finish__refused_and_running(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    struct vq_driver driver;
    char path[PATH_SIZE];
    int fd = make_disk(path);
    assert_true(add_drive(fixture, path, CFG_IO_ENGINE_SYNC));
    fixture_start(fixture, code_count, sizeof(code_count), 1);
    await_progress(fixture, BSP_COUNT);
    struct virtio_dev *dev = activate(fixture, &driver);
    struct virtio_dev_ops ops = *dev->ops;
    const struct virtio_dev_ops *real = dev->ops;
    ops.quiesce = never_quiet;
    dev->ops = &ops;
    assert_int_equal(machine_pause(fixture->machine, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.msg, "could not finish what is in flight"));
    dev->ops = real;
    await_progress(fixture, BSP_COUNT);
    assert_true(virtio_serves(dev));
    pause_it(fixture);
    forget_drive(fixture);
    fd_close(&fd);
}

#define IER 1u
#define LSR 5u

static uint8_t serial_read(struct fixture *fixture, uint64_t reg)
{
    uint8_t value = 0;
    serial_bus_ops.read(fixture->machine->serial, reg, &value, 1);
    return value;
}

static void test_machine_pause__serial_input_meanwhile__kept_in_the_pipe(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t receive = 1;
    int source[2];
    int waiting = 0;
    assert_int_equal(pipe2(source, O_CLOEXEC | O_NONBLOCK), 0);
    fixture->machine->options.console_in_fd = source[0];
    fixture_start(fixture, code_halt, sizeof(code_halt), 1);
    serial_bus_ops.write(fixture->machine->serial, IER, &receive, 1);
    turn_loop(fixture);
    pause_it(fixture);
    assert_int_equal(write(source[1], "x", 1), 1);
    fd_close(&source[1]); /* a hang-up says nothing either */
    turn_loop(fixture);
    assert_int_equal(ioctl(source[0], FIONREAD, &waiting), 0);
    assert_int_equal(waiting, 1);
    machine_resume(fixture->machine);
    turn_loop(fixture);
    assert_int_equal(serial_read(fixture, LSR) & 1, 1);
    assert_int_equal(serial_read(fixture, 0), 'x');
    machine_free(fixture->machine); /* before its input goes */
    fixture->machine = NULL;
    fd_close(&source[0]);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        (void)fprintf(stderr, "skipped: /dev/kvm cannot be used\n");
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        TEST(test_machine_pause__two_vcpus_count__memory_stands_still),
        TEST(test_machine_resume__paused_guest__goes_on_where_it_was),
        TEST(test_machine_pause__twice__still_paused_and_one_resume_is_enough),
        TEST(test_machine_pause__many_fast_cycles__each_is_exact),
        TEST(test_machine_pause__resumed_at_once__guest_still_makes_progress),
        TEST(test_machine_kick_vcpu__no_pause_behind_it__guest_goes_on),
        TEST(test_machine_pause__a_vcpu_has_ended__pauses_and_the_end_is_told),
        TEST(test_machine_stop__while_paused__joined),
        TEST(test_machine_free__while_paused__stopped_first),
        TEST(test_machine_take_back__guest_has_ended__a_new_build_runs),
        TEST(test_machine_pause__async_reads_in_flight__published_before_it_returns),
        TEST(test_machine_pause__queue_kicked_meanwhile__served_after_the_resume),
        TEST(test_machine_pause__device_does_not_finish__refused_and_running),
        TEST(test_machine_pause__serial_input_meanwhile__kept_in_the_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
