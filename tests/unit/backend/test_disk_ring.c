/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of what only the Async engine has: the ring's restrictions, its limits, disks sharing
 * it, and wake-ups. The way of writes stands in test_disk_async.c.
 */
#include "tests/unit/backend/disk_ring_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Submits one hand-made entry past the engine and returns its result. */
static int raw_result(struct disk_ring *ring, const struct io_uring_sqe *from)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe) {
        fail_msg("the submission queue is full");
        return 0;
    }
    *sqe = *from;
    sqe->user_data = UINT64_MAX; /* not one of the engine's */
    struct io_uring_cqe *cqe = NULL;
    assert_true(io_uring_submit(&ring->uring) >= 0);
    assert_int_equal(io_uring_wait_cqe(&ring->uring, &cqe), 0);
    int res = cqe->res;
    io_uring_cqe_seen(&ring->uring, cqe);
    return res;
}

static void test_disk_ring__forbidden_operations__eacces(void **state)
{
    struct disk_fixture *fx = *state;
    static char buf[64];
    struct io_uring_sqe sqe = {0};
    uint8_t slot = (uint8_t)fixture_async(&fx->disk)->slot;

    io_uring_prep_read(&sqe, slot, buf, sizeof(buf), 0);
    sqe.flags = IOSQE_FIXED_FILE;
    assert_int_equal(raw_result(fx->ring, &sqe), sizeof(buf));
    io_uring_prep_read(&sqe, 0, buf, sizeof(buf), 0);
    assert_int_equal(raw_result(fx->ring, &sqe), -EACCES); /* a file that is not registered */
    io_uring_prep_read(&sqe, slot, buf, sizeof(buf), 0);
    sqe.flags = IOSQE_FIXED_FILE | IOSQE_ASYNC;
    assert_int_equal(raw_result(fx->ring, &sqe), -EACCES);

    for (int op = 0; op < IORING_OP_LAST; op++) {
        if (op == IORING_OP_READ || op == IORING_OP_WRITE || op == IORING_OP_READV ||
            op == IORING_OP_WRITEV || op == IORING_OP_FSYNC)
            continue;
        sqe = (struct io_uring_sqe){.opcode = (uint8_t)op, .flags = IOSQE_FIXED_FILE, .fd = slot};
        int res = raw_result(fx->ring, &sqe);
        if (res != -EACCES && res != -EINVAL) /* EINVAL: an operation that this kernel lacks */
            fail_msg("operation %d: %d", op, res);
        if (op <= IORING_OP_TEE)
            assert_int_equal(res, -EACCES);
    }
}

static void test_disk_ring__forbidden_registrations__eacces(void **state)
{
    struct disk_fixture *fx = *state;
    struct iovec iov = {fx, sizeof(*fx)};
    assert_int_equal(io_uring_register_buffers(&fx->ring->uring, &iov, 1), -EACCES);
    assert_int_equal(io_uring_register_eventfd(&fx->ring->uring, fx->ring->event_fd), -EACCES);
    assert_int_equal(io_uring_unregister_files(&fx->ring->uring), -EACCES);
    assert_int_equal(io_uring_register_personality(&fx->ring->uring), -EACCES);
}

static void test_disk_start__128_in_flight__ebusy_until_one_completes(void **state)
{
    struct disk_fixture *fx = *state;
    static struct page_req reqs[RING_OPS_MAX + 1];
    for (uint32_t i = 0; i < RING_OPS_MAX; i++)
        assert_int_equal(disk_start(&fx->disk, page_req(&reqs[i], DISK_READ, i)), 0);
    struct disk_req *late = page_req(&reqs[RING_OPS_MAX], DISK_READ, RING_OPS_MAX);
    assert_int_equal(disk_start(&fx->disk, late), -EBUSY);
    assert_int_equal(disk_start(&fx->disk, late), -EBUSY);

    assert_int_equal(disk_kick(&fx->disk), 0);
    for (uint32_t i = 0; i < RING_OPS_MAX; i++)
        assert_int_equal(fixture_reap(fx)->result, PAGE_SIZE);
    assert_null(disk_reap(&fx->disk));
    /* The refused one is told, even when all completions were taken at the kick. */
    while (fx->notified == 0)
        assert_true(loop_turn(fx->loop, 5000) > 0);
    assert_int_equal(fixture_do(fx, late), PAGE_SIZE);
}

static void test_disk_ring__two_disks__each_reaps_its_own(void **state)
{
    struct disk_fixture *fx = *state;
    struct disk_fixture other = {.loop = fx->loop, .ring = fx->ring, .engine = ENGINE_ASYNC};
    fixture_make_file(other.path, FILE_SIZE);
    fixture_reopen(&other, false);
    static struct page_req mine[16];
    static struct page_req theirs[16];
    memset(mine[0].page, 0xff, PAGE_SIZE);
    for (uint32_t i = 0; i < ARRAY_LEN(mine); i++) {
        assert_int_equal(disk_start(&fx->disk, page_req(&mine[i], DISK_READ, i)), 0);
        assert_int_equal(disk_start(&other.disk, page_req(&theirs[i], DISK_READ, i)), 0);
    }
    /* One kick submits both; the disk that did not kick is called to its completions. */
    assert_int_equal(disk_kick(&fx->disk), 0);
    for (uint32_t i = 0; i < ARRAY_LEN(mine); i++) {
        const struct disk_req *req = fixture_reap(fx);
        assert_true(req >= &mine[0].req && req <= &mine[15].req);
    }
    for (int turns = 0; other.notified == 0 && turns < 50; turns++)
        assert_true(loop_turn(fx->loop, 100) >= 0);
    assert_true(other.notified > 0);
    for (uint32_t i = 0; i < ARRAY_LEN(theirs); i++) {
        const struct disk_req *req = fixture_reap(&other);
        assert_true(req >= &theirs[0].req && req <= &theirs[15].req);
    }
    assert_null(disk_reap(&fx->disk));
    disk_close(&other.disk);
    unlink(other.path);
}

static void test_disk_drain__two_disks__waits_for_one_and_tells_the_other(void **state)
{
    struct disk_fixture *fx = *state;
    struct disk_fixture other = {.loop = fx->loop, .ring = fx->ring, .engine = ENGINE_ASYNC_RING};
    fixture_make_file(other.path, FILE_SIZE);
    fixture_reopen(&other, false);
    static struct page_req mine[8];
    static struct page_req theirs[8];
    for (uint32_t i = 0; i < ARRAY_LEN(mine); i++) {
        assert_int_equal(disk_start(&fx->disk, page_req(&mine[i], DISK_READ, i)), 0);
        assert_int_equal(disk_start(&other.disk, page_req(&theirs[i], DISK_WRITE, i)), 0);
    }
    assert_int_equal(disk_drain(&fx->disk), 0);
    assert_int_equal(fixture_async(&fx->disk)->in_flight, 0);
    for (uint32_t i = 0; i < ARRAY_LEN(mine); i++)
        assert_int_equal(disk_reap(&fx->disk)->result, PAGE_SIZE);
    /* Closing the idle one must not disturb the busy one. */
    disk_close(&fx->disk);
    for (uint32_t i = 0; i < ARRAY_LEN(theirs); i++)
        assert_int_equal(fixture_reap(&other)->result, PAGE_SIZE);
    disk_close(&other.disk);
    unlink(other.path);
}

/* A device with its lock, as blk has it. */
struct locked_device {
    pthread_mutex_t lock;
    struct disk disk;
    unsigned reaped;
    int drain_rc;
};

static void reap_locked(struct locked_device *device)
{
    const struct disk_req *req;
    while ((req = disk_reap(&device->disk))) {
        assert_int_equal(req->result, PAGE_SIZE);
        device->reaped++;
    }
}

static void on_locked_notify(void *ctx)
{
    struct locked_device *device = ctx;
    (void)pthread_mutex_lock(&device->lock);
    reap_locked(device);
    (void)pthread_mutex_unlock(&device->lock);
}

/* What a vCPU thread does when its guest resets the device. */
static void *reset_device(void *ctx)
{
    struct locked_device *device = ctx;
    (void)pthread_mutex_lock(&device->lock);
    device->drain_rc = disk_drain(&device->disk);
    (void)pthread_mutex_unlock(&device->lock);
    return NULL;
}

/* The loop's thread meanwhile takes completions, and waits for the device's lock to report them. */
static void test_disk_drain__on_another_thread__returns_with_nothing_in_flight(void **state)
{
    struct disk_fixture *fx = *state;
    static struct page_req reqs[64];
    static struct locked_device device;
    device = (struct locked_device){.drain_rc = 1};
    assert_int_equal(pthread_mutex_init(&device.lock, NULL), 0);
    assert_int_equal(
        disk_open(fx->path, false, fx->ring, on_locked_notify, &device, &device.disk, NULL), 0);
    fixture_async(&device.disk)->nowait_refused = true;
    fixture_async(&device.disk)->ring_until_ns = UINT64_MAX;
    for (uint32_t round = 0; round < 50; round++) {
        device.reaped = 0;
        (void)pthread_mutex_lock(&device.lock);
        for (uint32_t i = 0; i < ARRAY_LEN(reqs); i++)
            assert_int_equal(disk_start(&device.disk, page_req(&reqs[i], DISK_WRITE, i)), 0);
        assert_int_equal(disk_kick(&device.disk), 0);
        (void)pthread_mutex_unlock(&device.lock);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, reset_device, &device), 0);
        while (device.reaped < ARRAY_LEN(reqs) && loop_turn(fx->loop, 20) >= 0)
            on_locked_notify(&device);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(device.drain_rc, 0);
        assert_int_equal(device.reaped, ARRAY_LEN(reqs));
        assert_int_equal(fixture_async(&device.disk)->in_flight, 0);
    }
    disk_close(&device.disk);
    (void)pthread_mutex_destroy(&device.lock);
}

/* The same with nobody else to take completions. */
static void test_disk_drain__on_another_thread_alone__returns(void **state)
{
    struct disk_fixture *fx = *state;
    static struct page_req reqs[64];
    static struct locked_device device;
    device = (struct locked_device){.drain_rc = 1, .disk = fx->disk};
    assert_int_equal(pthread_mutex_init(&device.lock, NULL), 0);
    fixture_async(&fx->disk)->nowait_refused = true;
    fixture_async(&fx->disk)->ring_until_ns = UINT64_MAX;
    for (uint32_t i = 0; i < ARRAY_LEN(reqs); i++)
        assert_int_equal(disk_start(&fx->disk, page_req(&reqs[i], DISK_WRITE, i)), 0);
    assert_int_equal(disk_kick(&fx->disk), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reset_device, &device), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(device.drain_rc, 0);
    reap_locked(&device);
    assert_int_equal(device.reaped, ARRAY_LEN(reqs));
    (void)pthread_mutex_destroy(&device.lock);
}

static void test_disk_ring__one_disk_takes_all__the_other_gets_its_turn(void **state)
{
    struct disk_fixture *fx = *state;
    struct disk_fixture other = {.loop = fx->loop, .ring = fx->ring, .engine = ENGINE_ASYNC};
    fixture_make_file(other.path, FILE_SIZE);
    fixture_reopen(&other, false);
    static struct page_req mine[RING_OPS_MAX];
    static struct page_req theirs;
    for (uint32_t i = 0; i < RING_OPS_MAX; i++)
        assert_int_equal(disk_start(&fx->disk, page_req(&mine[i], DISK_READ, i)), 0);
    struct disk_req *req = page_req(&theirs, DISK_READ, 0);
    assert_int_equal(disk_start(&other.disk, req), -EBUSY);

    assert_int_equal(disk_kick(&fx->disk), 0);
    for (int turns = 0; other.notified == 0 && turns < 50; turns++)
        assert_true(loop_turn(fx->loop, 100) >= 0);
    assert_true(other.notified > 0);
    assert_int_equal(fixture_do(&other, req), PAGE_SIZE);
    disk_close(&other.disk);
    unlink(other.path);
}

static void test_disk_ring__more_disks_than_slots__refused_and_reusable(void **state)
{
    struct disk_fixture *fx = *state;
    static struct disk disks[RING_FILES_MAX];
    struct disk none = {0};
    struct err err = ERR_INIT;
    for (uint32_t i = 1; i < RING_FILES_MAX; i++)
        assert_int_equal(disk_open(fx->path, true, fx->ring, NULL, NULL, &disks[i], NULL), 0);
    assert_int_equal(disk_open(fx->path, true, fx->ring, NULL, NULL, &none, &err), -ENFILE);
    assert_non_null(strstr(err.msg, fx->path));
    assert_non_null(strstr(err.msg, "ENFILE"));
    disk_close(&disks[5]);
    assert_int_equal(disk_open(fx->path, true, fx->ring, NULL, NULL, &disks[5], NULL), 0);
    for (uint32_t i = 1; i < RING_FILES_MAX; i++)
        disk_close(&disks[i]);
}

/* Reads that the page cache cannot answer complete by task work, which some ways of announcing
 * overlook. */
static void test_disk_ring__uncached_reads__loop_wakes_up(void **state)
{
    struct disk_fixture *fx = *state;
    static char bytes[FILE_SIZE];
    memset(bytes, 'c', sizeof(bytes));
    int fd = open(fx->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    fixture_reopen(fx, false);
    static struct page_req reqs[32];
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < ARRAY_LEN(reqs); i++) {
            uint32_t page = (i * 31 + round * 7) % (FILE_SIZE / PAGE_SIZE);
            assert_int_equal(disk_start(&fx->disk, page_req(&reqs[i], DISK_READ, page)), 0);
        }
        assert_int_equal(disk_kick(&fx->disk), 0);
        for (uint32_t i = 0; i < ARRAY_LEN(reqs); i++) {
            assert_int_equal(fixture_reap(fx)->result, PAGE_SIZE);
            assert_int_equal(reqs[i].page[PAGE_SIZE - 1], 'c');
        }
    }
}

/* Lets the calling thread make no more rings; like a container's seccomp profile. */
static int forbid_rings(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {ARRAY_LEN(rules), rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

struct refusal {
    struct loop *loop;
    int setup_rc;
    int rc;
    struct err err;
};

static void *open_refused(void *ctx)
{
    struct refusal *refusal = ctx;
    struct disk_ring *ring = NULL;
    refusal->setup_rc = forbid_rings();
    refusal->rc = disk_ring_open(refusal->loop, &ring, &refusal->err);
    if (refusal->rc == 0)
        disk_ring_close(ring);
    return NULL;
}

static void test_disk_ring_open__kernel_refuses__one_sentence(void **state)
{
    struct disk_fixture *fx = *state;
    struct refusal refusal = {.loop = fx->loop};
    pthread_t thread; /* of its own, since a filter stays with its thread */
    assert_int_equal(pthread_create(&thread, NULL, open_refused, &refusal), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(refusal.setup_rc, 0);
    assert_int_equal(refusal.rc, -EPERM);
    assert_non_null(strstr(refusal.err.msg,
                           "refused io_uring_setup for the Async io_engine: EPERM, "
                           "Operation not permitted (os error 1)"));
    assert_non_null(strstr(refusal.err.msg, "use the Sync io_engine"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_disk_ring__forbidden_operations__eacces),
        RING_TEST(test_disk_ring__forbidden_registrations__eacces),
        RING_TEST(test_disk_start__128_in_flight__ebusy_until_one_completes),
        RING_TEST(test_disk_ring__two_disks__each_reaps_its_own),
        RING_TEST(test_disk_drain__two_disks__waits_for_one_and_tells_the_other),
        RING_TEST(test_disk_drain__on_another_thread__returns_with_nothing_in_flight),
        RING_TEST(test_disk_drain__on_another_thread_alone__returns),
        RING_TEST(test_disk_ring__one_disk_takes_all__the_other_gets_its_turn),
        RING_TEST(test_disk_ring__more_disks_than_slots__refused_and_reusable),
        RING_TEST(test_disk_ring__uncached_reads__loop_wakes_up),
        RING_TEST(test_disk_ring_open__kernel_refuses__one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
