/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draining an Async disk on a thread that may not submit, while the ring's owner does not or cannot
 * go on: it ends all the same. Threads: the test's (the ring's owner) and one that drains.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/disk_ring_int.h"
#include "tests/unit/backend/disk_fixture.h"
#include "tests/unit/unit.h"

#define FILE_SIZE (64u * 1024)

struct fixture {
    struct disk_fixture disk;
    uint8_t page[4096];
    struct iovec iov;
    struct disk_req req;
};

static int setup(void **state)
{
    static struct fixture fixture; /* the test's only one */
    fixture = (struct fixture){0};
    fixture_open(&fixture.disk, ENGINE_ASYNC, FILE_SIZE);
    fixture.iov = (struct iovec){fixture.page, sizeof(fixture.page)};
    fixture.req = (struct disk_req){
        .op = DISK_READ, .iov = &fixture.iov, .iov_count = 1, .len = sizeof(fixture.page)};
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(&fixture->disk);
    return 0;
}

static void *drain(void *arg)
{
    struct fixture *fixture = arg;
    return (void *)(intptr_t)disk_drain(&fixture->disk.disk);
}

static int drain_elsewhere(struct fixture *fixture)
{
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, drain, fixture), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    return (int)(intptr_t)result;
}

static void test_disk_drain__ring_beyond_use__its_error_at_once(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(disk_start(&fixture->disk.disk, &fixture->req), 0);
    fixture->disk.ring->broken = -EIO;
    assert_int_equal(drain_elsewhere(fixture), -EIO);
    fixture->disk.ring->broken = 0;
    assert_int_equal(disk_kick(&fixture->disk.disk), 0);
    assert_ptr_equal(fixture_reap(&fixture->disk), &fixture->req);
}

/* As when the kernel was short of memory at the submit, and the owner waits for the drainer. */
static void test_disk_drain__submit_refused__gives_up_and_memory_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    memset(fixture->page, 0x5a, sizeof(fixture->page));
    assert_int_equal(disk_start(&fixture->disk.disk, &fixture->req), 0);
    fixture->disk.ring->refused = true;
    assert_int_equal(drain_elsewhere(fixture), -EAGAIN);
    /* The owner submits after all: the read that was given up does not happen. */
    assert_int_equal(disk_kick(&fixture->disk.disk), 0);
    assert_ptr_equal(fixture_reap(&fixture->disk), &fixture->req);
    assert_int_equal(fixture->req.result, -EACCES);
    assert_int_equal(fixture->page[0], 0x5a);
    assert_false(fixture->disk.ring->refused);
}

static void *kick_soon(void *arg)
{
    struct fixture *fixture = arg;
    return (void *)(intptr_t)drain_elsewhere(fixture);
}

/* The owner is slow, not refused: that is waited for. */
static void test_disk_drain__owner_submits_late__waited_for(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    void *result;
    assert_int_equal(disk_start(&fixture->disk.disk, &fixture->req), 0);
    assert_int_equal(pthread_create(&thread, NULL, kick_soon, fixture), 0);
    (void)usleep(1200 * 1000);
    assert_int_equal(disk_kick(&fixture->disk.disk), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, 0);
    assert_ptr_equal(fixture_reap(&fixture->disk), &fixture->req);
    assert_int_equal(fixture->req.result, sizeof(fixture->page));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_disk_drain__ring_beyond_use__its_error_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_disk_drain__submit_refused__gives_up_and_memory_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_drain__owner_submits_late__waited_for, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
