/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both disk engines against one table: what a device sees must not depend on the engine. Async runs
 * it three times: as it is, as on an old kernel, and with every write over the ring.
 */
#include "tests/unit/unit.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/backend/disk_fixture.h"

#define FILE_SIZE (1u << 20)

static struct disk_fixture fixture;
static const enum engine engines[] = {ENGINE_SYNC, ENGINE_ASYNC, ENGINE_ASYNC_PLAIN,
                                      ENGINE_ASYNC_RING};
static_assert(ARRAY_LEN(engines) == ENGINES_COUNT, "every engine runs the table");

static int setup(void **state)
{
    const enum engine *engine = *state;
    fixture_open(&fixture, *engine, FILE_SIZE);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_close(*state);
    return 0;
}

static void fill(uint8_t *buf, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)fixture_random(&seed);
}

static void test_disk_start__write_then_read__same_bytes(void **state)
{
    struct disk_fixture *fx = *state;
    uint8_t out[8192];
    uint8_t in[8192] = {0};
    fill(out, sizeof(out), 1);
    for (uint64_t off = 0; off < 64 * 8192; off += 3 * 8192) {
        assert_int_equal(fixture_io(fx, DISK_WRITE, out, sizeof(out), off), sizeof(out));
        assert_int_equal(fixture_io(fx, DISK_READ, in, sizeof(in), off), sizeof(in));
        assert_memory_equal(in, out, sizeof(in));
    }
}

/* 256 entries of uneven lengths over a buffer, with gaps. Returns the bytes in all. */
static uint64_t make_vector(struct iovec *iovs, uint8_t *buf, size_t gap)
{
    uint64_t len = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < DISK_IOVS_MAX; i++) {
        size_t part = i % 7 == 0 ? 1 : 16 * (i % 13) + 3;
        iovs[i] = (struct iovec){buf + at, part};
        at += part + gap;
        len += part;
    }
    return len;
}

static void test_disk_start__256_entries__scattered_and_gathered(void **state)
{
    struct disk_fixture *fx = *state;
    static uint8_t out[64 * 1024];
    static uint8_t in[64 * 1024];
    struct iovec out_iovs[DISK_IOVS_MAX];
    struct iovec in_iovs[DISK_IOVS_MAX];
    fill(out, sizeof(out), 2);
    uint64_t len = make_vector(out_iovs, out, 5);
    assert_int_equal(make_vector(in_iovs, in, 9), len);

    struct disk_req write = {
        .op = DISK_WRITE, .off = 777, .iov = out_iovs, .iov_count = DISK_IOVS_MAX, .len = len};
    struct disk_req read = {
        .op = DISK_READ, .off = 777, .iov = in_iovs, .iov_count = DISK_IOVS_MAX, .len = len};
    assert_int_equal(fixture_do(fx, &write), len);
    assert_int_equal(fixture_do(fx, &read), len);
    for (uint32_t i = 0; i < DISK_IOVS_MAX; i++)
        assert_memory_equal(in_iovs[i].iov_base, out_iovs[i].iov_base, in_iovs[i].iov_len);
}

static void test_disk_start__257_entries__refused(void **state)
{
    struct disk_fixture *fx = *state;
    struct disk_req req = {.op = DISK_READ, .iov_count = DISK_IOVS_MAX + 1, .result = 7};
    assert_int_equal(disk_start(&fx->disk, &req), -EINVAL);
    assert_int_equal(req.result, 7);
}

static void test_disk_start__offset_beyond_files__refused(void **state)
{
    struct disk_fixture *fx = *state;
    char byte = 0;
    const struct iovec iov = {&byte, 1};
    static const uint64_t offs[] = {(uint64_t)INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(offs); i++) {
        struct disk_req req = {
            .op = DISK_WRITE, .off = offs[i], .iov = &iov, .iov_count = 1, .len = 1};
        assert_int_equal(disk_start(&fx->disk, &req), -EINVAL);
    }
}

static void test_disk_start__flush__result_0(void **state)
{
    struct disk_fixture *fx = *state;
    char buf[512] = "x";
    assert_int_equal(fixture_io(fx, DISK_WRITE, buf, sizeof(buf), 0), sizeof(buf));
    assert_int_equal(fixture_io(fx, DISK_FLUSH, NULL, 0, 0), 0);
}

static void test_disk_start__write_to_read_only__ebadf(void **state)
{
    struct disk_fixture *fx = *state;
    char buf[512] = "x";
    fixture_reopen(fx, true);
    assert_int_equal(fixture_io(fx, DISK_WRITE, buf, sizeof(buf), 0), -EBADF);
    assert_int_equal(fixture_io(fx, DISK_READ, buf, sizeof(buf), 0), sizeof(buf));
    assert_int_equal(buf[0], 0);
    assert_int_equal(fixture_io(fx, DISK_FLUSH, NULL, 0, 0), 0);
}

static void test_disk_start__read_past_the_end__short(void **state)
{
    struct disk_fixture *fx = *state;
    char a[1024];
    char b[1024];
    assert_int_equal(fixture_io(fx, DISK_READ, a, sizeof(a), FILE_SIZE - 300), 300);
    assert_int_equal(fixture_io(fx, DISK_READ, a, sizeof(a), FILE_SIZE), 0);
    const struct iovec iovs[] = {{a, sizeof(a)}, {b, sizeof(b)}};
    struct disk_req req = {
        .op = DISK_READ, .off = FILE_SIZE - 1500, .iov = iovs, .iov_count = 2, .len = 2048};
    assert_int_equal(fixture_do(fx, &req), 1500);
}

static void test_disk_start__file_was_cut__short(void **state)
{
    struct disk_fixture *fx = *state;
    char buf[4096];
    assert_int_equal(truncate(fx->path, 1000), 0);
    assert_int_equal(fixture_io(fx, DISK_READ, buf, sizeof(buf), 0), 1000);
    assert_int_equal(fx->disk.size, FILE_SIZE);
}

static void test_disk_start__bad_memory__efault(void **state)
{
    struct disk_fixture *fx = *state;
    /* Page 0 is never mapped. */
    assert_int_equal(fixture_io(fx, DISK_READ, (void *)16, 512, 0), -EFAULT);
    assert_int_equal(fixture_io(fx, DISK_WRITE, (void *)16, 512, 0), -EFAULT);
}

/* The file size limit stands for every "no room": a write that it cuts fails, not looks short. */
static void test_disk_start__no_room__error(void **state)
{
    struct disk_fixture *fx = *state;
    static char buf[8192];
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit limit = {FILE_SIZE + 4096, before.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int64_t across = fixture_io(fx, DISK_WRITE, buf, sizeof(buf), FILE_SIZE);
    int64_t behind = fixture_io(fx, DISK_WRITE, buf, sizeof(buf), FILE_SIZE + 4096);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(across, -EFBIG);
    assert_int_equal(behind, -EFBIG);
}

#define REGION_SIZE (32u * 1024u)
#define REGIONS_COUNT (FILE_SIZE / REGION_SIZE)
#define ROUNDS_COUNT 50u
#define BATCH_COUNT 20u

/* One request in flight, alone in its region of the file. */
struct slot {
    struct disk_req req;
    struct iovec iovs[4];
    uint8_t *buf;
};

static void prepare(struct slot *slot, uint32_t region, uint64_t *seed)
{
    uint64_t r = fixture_random(seed);
    uint32_t iov_count = 1 + (uint32_t)(r & 3);
    uint32_t part = 1 + (uint32_t)((r >> 8) % (REGION_SIZE / 8));
    slot->req = (struct disk_req){.op = r & 4 ? DISK_WRITE : DISK_READ,
                                  .off = region * REGION_SIZE + ((r >> 40) & 0x3fff),
                                  .iov = slot->iovs,
                                  .iov_count = iov_count,
                                  .len = (uint64_t)part * iov_count};
    if ((r >> 4) % 16 == 0)
        slot->req = (struct disk_req){.op = DISK_FLUSH};
    for (uint32_t i = 0; i < iov_count; i++)
        slot->iovs[i] = (struct iovec){slot->buf + i * part, part};
    if (slot->req.op == DISK_WRITE)
        fill(slot->buf, slot->req.len, r | 1);
}

/* A completed request against the model, which learns what was written. */
static void compare(const struct slot *slot, uint8_t *model)
{
    const struct disk_req *req = &slot->req;
    assert_int_equal(req->result, req->len);
    if (req->op == DISK_WRITE)
        memcpy(model + req->off, slot->buf, req->len);
    else if (req->op == DISK_READ)
        assert_memory_equal(slot->buf, model + req->off, req->len);
}

static void test_disk__1000_random_requests__as_the_model(void **state)
{
    struct disk_fixture *fx = *state;
    static uint8_t model[FILE_SIZE];
    static struct slot slots[BATCH_COUNT];
    static uint8_t buffers[BATCH_COUNT][REGION_SIZE];
    memset(model, 0, sizeof(model));
    uint64_t seed = 20260101;
    for (uint32_t round = 0; round < ROUNDS_COUNT; round++) {
        uint32_t flying = 0;
        for (uint32_t i = 0; i < BATCH_COUNT; i++) {
            slots[i].buf = buffers[i];
            prepare(&slots[i], (round * 7 + i) % REGIONS_COUNT, &seed);
            int rc = disk_start(&fx->disk, &slots[i].req);
            assert_in_range(rc, 0, 1);
            if (rc == 1)
                compare(&slots[i], model);
            else
                flying++;
        }
        assert_int_equal(disk_kick(&fx->disk), 0);
        while (flying-- > 0)
            compare(CONTAINER_OF(fixture_reap(fx), struct slot, req), model);
    }
    static uint8_t whole[FILE_SIZE];
    assert_int_equal(fixture_io(fx, DISK_READ, whole, sizeof(whole), 0), sizeof(whole));
    assert_memory_equal(whole, model, sizeof(whole));
}

static void test_disk_drain__requests_in_flight__all_can_be_reaped(void **state)
{
    struct disk_fixture *fx = *state;
    static struct disk_req reqs[64];
    static char bufs[64][4096];
    struct iovec iovs[64];
    uint32_t flying = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(reqs); i++) {
        iovs[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
        reqs[i] = (struct disk_req){.op = i % 2 ? DISK_WRITE : DISK_READ,
                                    .off = i * sizeof(bufs[i]),
                                    .iov = &iovs[i],
                                    .iov_count = 1,
                                    .len = sizeof(bufs[i])};
        int rc = disk_start(&fx->disk, &reqs[i]);
        assert_in_range(rc, 0, 1);
        flying += rc == 0;
        /* Some submitted, the last ones only started. */
        if (i == 40)
            assert_int_equal(disk_kick(&fx->disk), 0);
    }
    assert_int_equal(disk_drain(&fx->disk), 0);
    const struct disk_req *req;
    while ((req = disk_reap(&fx->disk))) {
        assert_int_equal(req->result, req->len);
        flying--;
    }
    assert_int_equal(flying, 0);
    assert_int_equal(disk_drain(&fx->disk), 0);
}

static void test_disk_close__requests_in_flight__waits(void **state)
{
    struct disk_fixture *fx = *state;
    static char buf[FILE_SIZE / 2];
    const struct iovec iov = {buf, sizeof(buf)};
    memset(buf, 'w', sizeof(buf));
    struct disk_req req = {.op = DISK_WRITE, .iov = &iov, .iov_count = 1, .len = sizeof(buf)};
    assert_in_range(disk_start(&fx->disk, &req), 0, 1);
    disk_close(&fx->disk);
    assert_null(fx->disk.ops);
    disk_close(&fx->disk);

    fixture_reopen(fx, false);
    static char in[sizeof(buf)];
    assert_int_equal(fixture_io(fx, DISK_READ, in, sizeof(in), 0), sizeof(in));
    assert_memory_equal(in, buf, sizeof(in));
}

#define ENGINE_TEST(fn, idx)                                                                       \
    {                                                                                              \
        .name = #fn " [" #idx "]", .test_func = (fn), .setup_func = setup,                         \
        .teardown_func = teardown, .initial_state = (void *)(uintptr_t)&engines[ENGINE_##idx],     \
    }
#define ON_EVERY_ENGINE(fn)                                                                        \
    ENGINE_TEST(fn, SYNC), ENGINE_TEST(fn, ASYNC), ENGINE_TEST(fn, ASYNC_PLAIN),                   \
        ENGINE_TEST(fn, ASYNC_RING)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_ENGINE(test_disk_start__write_then_read__same_bytes),
        ON_EVERY_ENGINE(test_disk_start__256_entries__scattered_and_gathered),
        ON_EVERY_ENGINE(test_disk_start__257_entries__refused),
        ON_EVERY_ENGINE(test_disk_start__offset_beyond_files__refused),
        ON_EVERY_ENGINE(test_disk_start__flush__result_0),
        ON_EVERY_ENGINE(test_disk_start__write_to_read_only__ebadf),
        ON_EVERY_ENGINE(test_disk_start__read_past_the_end__short),
        ON_EVERY_ENGINE(test_disk_start__file_was_cut__short),
        ON_EVERY_ENGINE(test_disk_start__bad_memory__efault),
        ON_EVERY_ENGINE(test_disk_start__no_room__error),
        ON_EVERY_ENGINE(test_disk__1000_random_requests__as_the_model),
        ON_EVERY_ENGINE(test_disk_drain__requests_in_flight__all_can_be_reaped),
        ON_EVERY_ENGINE(test_disk_close__requests_in_flight__waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
