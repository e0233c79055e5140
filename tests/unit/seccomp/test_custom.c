/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter files: a good one, and each way of being none (docs/seccomp.md). Single thread.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/fd.h"
#include "jailer/seccomp/custom.h"
#include "tests/unit/unit.h"

struct image {
    unsigned char bytes[4096];
    size_t size;
};

static void append(struct image *image, const void *data, size_t size)
{
    assert_true(image->size + size <= sizeof(image->bytes));
    memcpy(image->bytes + image->size, data, size);
    image->size += size;
}

static void append_filter(struct image *image, const char *name, uint32_t count)
{
    struct sec_file_filter head = {.count = le32_put(count)};
    const struct sock_filter allow = {.code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW};
    memcpy(head.name, name, strlen(name));
    append(image, &head, sizeof(head));
    for (uint32_t i = 0; i < count; i++)
        append(image, &allow, sizeof(allow));
}

/* Length and checksum are made right again. */
static void finish(struct image *image, uint32_t filters_count)
{
    struct sec_file_head head = {
        .version = le32_put(SEC_FILE_VERSION),
        .filters_count = le32_put(filters_count),
        .size = le64_put(image->size),
        .checksum = le64_put(sec_file_checksum(image->bytes + sizeof(struct sec_file_head),
                                               image->size - sizeof(struct sec_file_head))),
    };
    memcpy(head.magic, SEC_FILE_MAGIC, sizeof(head.magic));
    memcpy(image->bytes, &head, sizeof(head));
}

static struct image good_image(void)
{
    struct image image = {.size = sizeof(struct sec_file_head)};
    append_filter(&image, "vmm", 3);
    append_filter(&image, "api", 1);
    append_filter(&image, "vcpu", 2);
    finish(&image, 3);
    return image;
}

static int load(const struct image *image, struct sec_set *ret_set, struct err *err)
{
    char path[] = "/tmp/test_custom_XXXXXX";
    FD_AUTO int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, image->bytes, image->size), 0);
    int rc = sec_set_load(path, ret_set, err);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static void expect_refused(const struct image *image, const char *why)
{
    struct sec_set set = {0};
    struct err err = ERR_INIT;
    assert_int_equal(load(image, &set, &err), -EINVAL);
    if (!strstr(err.msg, why))
        fail_msg("'%s' says nothing of '%s'", err.msg, why);
    assert_null(set.storage);
}

static void test_sec_set_load__three_filters__are_there_and_start_is_none(void **state)
{
    (void)state;
    const struct image image = good_image();
    struct sec_set set = {0};
    struct err err = ERR_INIT;
    assert_int_equal(load(&image, &set, &err), 0);
    assert_int_equal(set.programs[SEC_FILTER_VMM].count, 3);
    assert_int_equal(set.programs[SEC_FILTER_API].count, 1);
    assert_int_equal(set.programs[SEC_FILTER_VCPU].count, 2);
    assert_int_equal(set.programs[SEC_FILTER_START].count, 0);
    assert_int_equal(set.programs[SEC_FILTER_VCPU].insns[1].k, SECCOMP_RET_ALLOW);
    sec_set_done(&set);
}

static void test_sec_set_load__start_as_well__is_taken(void **state)
{
    (void)state;
    struct image image = good_image();
    append_filter(&image, "start", 1);
    finish(&image, 4);
    struct sec_set set = {0};
    struct err err = ERR_INIT;
    assert_int_equal(load(&image, &set, &err), 0);
    assert_int_equal(set.programs[SEC_FILTER_START].count, 1);
    sec_set_done(&set);
}

static void test_sec_set_load__a_key_that_is_missing__is_named(void **state)
{
    (void)state;
    static const char *const keys[] = {"vmm", "api", "vcpu"};
    for (size_t left_out = 0; left_out < ARRAY_LEN(keys); left_out++) {
        struct image image = {.size = sizeof(struct sec_file_head)};
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            if (i != left_out)
                append_filter(&image, keys[i], 1);
        finish(&image, 2);
        char wanted[64];
        (void)snprintf(wanted, sizeof(wanted), "the key %s is missing", keys[left_out]);
        expect_refused(&image, wanted);
    }
}

static void test_sec_set_load__foreign_bytes__are_unrecognised(void **state)
{
    (void)state;
    struct image image = {.size = 5};
    memcpy(image.bytes, "{\"vm\"", 5);
    expect_refused(&image, "unrecognised filter file format");
    image.size = 0;
    expect_refused(&image, "unrecognised filter file format");
}

static void test_sec_set_load__cut_anywhere__is_refused(void **state)
{
    (void)state;
    const struct image whole = good_image();
    for (size_t size = 0; size < whole.size; size++) {
        struct image image = whole;
        image.size = size;
        struct sec_set set = {0};
        struct err err = ERR_INIT;
        assert_int_equal(load(&image, &set, &err), -EINVAL);
    }
}

static void test_sec_set_load__any_byte_changed__is_refused(void **state)
{
    (void)state;
    const struct image whole = good_image();
    for (size_t at = 0; at < whole.size; at++) {
        struct image image = whole;
        image.bytes[at] ^= 0x41;
        struct sec_set set = {0};
        struct err err = ERR_INIT;
        if (load(&image, &set, &err) != -EINVAL)
            fail_msg("byte %zu", at);
    }
}

static void test_sec_set_load__another_version__is_refused(void **state)
{
    (void)state;
    struct image image = good_image();
    image.bytes[8]++;
    expect_refused(&image, "a version that this build does not know");
}

static void test_sec_set_load__a_filter_twice__is_refused(void **state)
{
    (void)state;
    struct image image = good_image();
    append_filter(&image, "api", 1);
    finish(&image, 4);
    expect_refused(&image, "two filters of one name");
}

static void test_sec_set_load__an_unknown_filter__is_refused(void **state)
{
    (void)state;
    struct image image = good_image();
    append_filter(&image, "blk", 1);
    finish(&image, 4);
    expect_refused(&image, "none of vmm, api, vcpu and start");
}

static void test_sec_set_load__no_instructions_or_too_many__are_refused(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, SEC_INSNS_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct image image = good_image();
        struct sec_file_filter head = {.name = "start", .count = le32_put(counts[i])};
        append(&image, &head, sizeof(head));
        finish(&image, 4);
        expect_refused(&image, "1 to 4096 instructions");
    }
}

static void test_sec_set_load__more_than_its_filters__is_refused(void **state)
{
    (void)state;
    struct image image = good_image();
    append(&image, "x", 1);
    finish(&image, 3);
    expect_refused(&image, "something follows its filters");
    finish(&image, UINT32_MAX);
    expect_refused(&image, "a filter's head is cut off");
}

static void test_sec_set_load__no_such_file__is_named(void **state)
{
    (void)state;
    struct sec_set set = {0};
    struct err err = ERR_INIT;
    assert_int_equal(sec_set_load("/nowhere/filters", &set, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/nowhere/filters"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sec_set_load__three_filters__are_there_and_start_is_none),
        cmocka_unit_test(test_sec_set_load__start_as_well__is_taken),
        cmocka_unit_test(test_sec_set_load__a_key_that_is_missing__is_named),
        cmocka_unit_test(test_sec_set_load__foreign_bytes__are_unrecognised),
        cmocka_unit_test(test_sec_set_load__cut_anywhere__is_refused),
        cmocka_unit_test(test_sec_set_load__any_byte_changed__is_refused),
        cmocka_unit_test(test_sec_set_load__another_version__is_refused),
        cmocka_unit_test(test_sec_set_load__a_filter_twice__is_refused),
        cmocka_unit_test(test_sec_set_load__an_unknown_filter__is_refused),
        cmocka_unit_test(test_sec_set_load__no_instructions_or_too_many__are_refused),
        cmocka_unit_test(test_sec_set_load__more_than_its_filters__is_refused),
        cmocka_unit_test(test_sec_set_load__no_such_file__is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
