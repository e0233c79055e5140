/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the way of writes in the Async engine: inline, over the ring for a while after one
 * waited, and with few of the kernel's workers.
 */
#include "tests/unit/backend/disk_ring_unit.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Threads of this process whose name begins with "iou-wrk". */
static unsigned workers_count(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        char path[300];
        char name[32] = {0};
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fgets(name, sizeof(name), file) && strncmp(name, "iou-wrk", 7) == 0)
            count++;
        (void)fclose(file);
    }
    closedir(dir);
    return count;
}

/* Flushes as well, since the kernel runs the writes of one file one after another anyway. Regular
 * files are served by one of the two kinds of workers only. */
static void test_disk_start__128_for_workers__few_workers(void **state)
{
    struct disk_fixture *fx = *state;
    static struct page_req reqs[RING_OPS_MAX];
    fixture_async(&fx->disk)->nowait_refused = true;
    fixture_async(&fx->disk)->ring_until_ns = UINT64_MAX;
    for (uint32_t i = 0; i < RING_OPS_MAX; i++) {
        struct disk_req *req = page_req(&reqs[i], DISK_WRITE, i);
        if (i % 2)
            *req = (struct disk_req){.op = DISK_FLUSH};
        assert_int_equal(disk_start(&fx->disk, req), 0);
    }
    assert_int_equal(disk_kick(&fx->disk), 0);
    assert_in_range(workers_count(), 0, 4);
    for (uint32_t i = 0; i < RING_OPS_MAX; i++) {
        const struct disk_req *req = fixture_reap(fx);
        assert_int_equal(req->result, req->len);
    }
    assert_in_range(workers_count(), 0, 4);
}

/* A clock by which everything takes `step_ns`. */
struct slow_clock {
    uint64_t now_ns;
    uint64_t step_ns;
};

static uint64_t slow_now(void *ctx)
{
    struct slow_clock *slow = ctx;
    slow->now_ns += slow->step_ns;
    return slow->now_ns;
}

static uint64_t always_waited(void)
{
    static uint64_t count;
    return ++count;
}

static uint64_t never_waited(void)
{
    return 7;
}

static struct disk_async *slow_disk(struct disk_fixture *fx, const struct clock *clock,
                                    uint64_t (*thread_waits)(void))
{
    struct disk_async *disk = fixture_async(&fx->disk);
    fx->ring->clock = clock;
    fx->ring->thread_waits = thread_waits;
    disk->nowait_refused = true; /* whatever file system the test runs on */
    return disk;
}

static void test_disk_start__128_buffered_writes__no_worker(void **state)
{
    struct disk_fixture *fx = *state;
    static struct page_req req;
    fx->ring->thread_waits = never_waited; /* a journal commit may hold us up here */
    unsigned before = workers_count();
    for (uint32_t i = 0; i < RING_OPS_MAX; i++)
        assert_int_equal(fixture_do(fx, page_req(&req, DISK_WRITE, i)), PAGE_SIZE);
    assert_int_equal(workers_count(), before);
}

static void test_disk_start__writes_wait__the_ring_for_a_while(void **state)
{
    struct disk_fixture *fx = *state;
    struct slow_clock slow = {.now_ns = 1 * NS_PER_S, .step_ns = 1000};
    const struct clock clock = {.now_ns = slow_now, .ctx = &slow};
    const struct disk_async *disk = slow_disk(fx, &clock, always_waited);
    static struct page_req pr;
    struct disk_req *req = page_req(&pr, DISK_WRITE, 0);

    assert_int_equal(disk_start(&fx->disk, req), 1);
    slow.step_ns = 3 * NS_PER_MS;
    assert_int_equal(disk_start(&fx->disk, req), 1); /* long: watched from here on */
    assert_int_equal(disk->backoff_ns, 0);
    assert_int_equal(disk_start(&fx->disk, req), 1); /* long, and it waited */
    assert_int_equal(disk->backoff_ns, NS_PER_S);
    assert_int_equal(fixture_do(fx, req), PAGE_SIZE); /* over the ring */
    assert_int_equal(disk->backoff_ns, NS_PER_S);
    slow.now_ns += NS_PER_S;
    assert_int_equal(disk_start(&fx->disk, req), 1); /* tried again, waited again */
    assert_int_equal(disk->backoff_ns, 2 * NS_PER_S);
    for (int i = 0; i < 10; i++) {
        slow.now_ns = disk->ring_until_ns;
        assert_int_equal(disk_start(&fx->disk, req), 1);
    }
    assert_int_equal(disk->backoff_ns, 64 * NS_PER_S);

    /* A long quiet time, then one wait: a short penalty again. */
    slow.now_ns = disk->ring_until_ns + 1000 * NS_PER_S;
    assert_int_equal(disk_start(&fx->disk, req), 1);
    assert_int_equal(disk->backoff_ns, NS_PER_S);
}

static void test_disk_start__writes_only_lose_the_cpu__stay_inline(void **state)
{
    struct disk_fixture *fx = *state;
    struct slow_clock slow = {.now_ns = 1 * NS_PER_S, .step_ns = 30 * NS_PER_MS};
    const struct clock clock = {.now_ns = slow_now, .ctx = &slow};
    const struct disk_async *disk = slow_disk(fx, &clock, never_waited);
    static struct page_req pr;
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(disk_start(&fx->disk, page_req(&pr, DISK_WRITE, i)), 1);
    assert_int_equal(disk->backoff_ns, 0);
    slow.step_ns = 1;
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(disk_start(&fx->disk, page_req(&pr, DISK_WRITE, i)), 1);
    assert_int_equal(disk->watched_writes, 0);
}

static void test_disk_async_thread_waits__a_sleep__counts(void **state)
{
    (void)state;
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t before = disk_async_thread_waits();
    assert_int_equal(nanosleep(&pause, NULL), 0);
    assert_true(disk_async_thread_waits() > before);
}

static void test_disk_start__long_write__over_the_ring(void **state)
{
    struct disk_fixture *fx = *state;
    static char buf[256 * 1024];
    const struct iovec iov = {buf, sizeof(buf)};
    struct disk_req req = {.op = DISK_WRITE, .iov = &iov, .iov_count = 1, .len = sizeof(buf)};
    assert_int_equal(disk_start(&fx->disk, &req), 0);
    assert_int_equal(disk_kick(&fx->disk), 0);
    assert_int_equal(fixture_reap(fx)->result, sizeof(buf));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_disk_start__128_buffered_writes__no_worker),
        RING_TEST(test_disk_start__128_for_workers__few_workers),
        RING_TEST(test_disk_start__writes_wait__the_ring_for_a_while),
        RING_TEST(test_disk_start__writes_only_lose_the_cpu__stay_inline),
        RING_TEST(test_disk_async_thread_waits__a_sleep__counts),
        RING_TEST(test_disk_start__long_write__over_the_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
