/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of base/ck.h (checked arithmetic) and base/le.h (little-endian values): edges of each
 * type.
 */
#include <string.h>

#include "base/ck.h"
#include "base/le.h"
#include "tests/unit/unit.h"

static void test_ck_add__edges__fits_or_refused(void **state)
{
    (void)state;
    uint64_t sum;
    uint8_t small;

    assert_true(ck_add(UINT64_MAX - 1, (uint64_t)1, &sum));
    assert_true(sum == UINT64_MAX);
    assert_false(ck_add(UINT64_MAX, (uint64_t)1, &sum));
    assert_true(ck_add(200, 55, &small));
    assert_int_equal(small, 255);
    assert_false(ck_add(200, 56, &small));
}

static void test_ck_sub__below_zero__refused(void **state)
{
    (void)state;
    uint64_t diff;

    assert_true(ck_sub((uint64_t)5, (uint64_t)5, &diff));
    assert_int_equal(diff, 0);
    assert_false(ck_sub((uint64_t)5, (uint64_t)6, &diff));
}

static void test_ck_mul__wrap__refused(void **state)
{
    (void)state;
    uint64_t product;

    assert_true(ck_mul((uint64_t)1 << 32, ((uint64_t)1 << 32) - 1, &product));
    assert_true(product == 0xffffffff00000000u);
    assert_false(ck_mul((uint64_t)1 << 32, (uint64_t)1 << 32, &product));
}

static void test_ck_narrow__too_large__refused(void **state)
{
    (void)state;
    uint16_t narrow;
    int32_t with_sign;

    assert_true(ck_narrow((uint64_t)65535, &narrow));
    assert_int_equal(narrow, 65535);
    assert_false(ck_narrow((uint64_t)65536, &narrow));
    assert_false(ck_narrow(-1, &narrow));
    assert_false(ck_narrow((uint64_t)1 << 31, &with_sign));
}

static void test_ck_range__edges__inside_or_not(void **state)
{
    (void)state;
    assert_true(ck_range(0, 10, 10));
    assert_true(ck_range(10, 0, 10));
    assert_false(ck_range(11, 0, 10));
    assert_false(ck_range(1, 10, 10));
    assert_false(ck_range(1, UINT64_MAX, 10));
    assert_false(ck_range(UINT64_MAX, 2, 10));
    assert_true(ck_range(0, UINT64_MAX, UINT64_MAX));
}

static void test_ck_index__inside_and_outside__index_or_refused(void **state)
{
    (void)state;
    uint32_t i = 77;

    assert_true(ck_index(0, 1, &i));
    assert_int_equal(i, 0);
    assert_true(ck_index(255, 256, &i));
    assert_int_equal(i, 255);
    assert_true(ck_index(UINT32_MAX - 1, UINT32_MAX, &i));
    assert_true(i == UINT32_MAX - 1);
    i = 77;
    assert_false(ck_index(256, 256, &i));
    assert_false(ck_index(UINT32_MAX, 256, &i));
    assert_int_equal(i, 77);
}

static void test_ck_align__edges__rounded_or_refused(void **state)
{
    (void)state;
    uint64_t up;

    assert_true(ck_align_up(0, 4096, &up));
    assert_int_equal(up, 0);
    assert_true(ck_align_up(4097, 4096, &up));
    assert_int_equal(up, 8192);
    assert_false(ck_align_up(UINT64_MAX, 4096, &up));
    assert_int_equal(ck_align_down(8191, 4096), 4096);
}

static void test_le_put__any_host__bytes_in_order(void **state)
{
    (void)state;
    le16_t v16 = le16_put(0x1122);
    le32_t v32 = le32_put(0x11223344);
    le64_t v64 = le64_put(0x1122334455667788);

    assert_memory_equal(&v16, "\x22\x11", 2);
    assert_memory_equal(&v32, "\x44\x33\x22\x11", 4);
    assert_memory_equal(&v64, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
    assert_int_equal(le16_get(v16), 0x1122);
    assert_int_equal(le32_get(v32), 0x11223344);
    assert_true(le64_get(v64) == 0x1122334455667788);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ck_add__edges__fits_or_refused),
        cmocka_unit_test(test_ck_sub__below_zero__refused),
        cmocka_unit_test(test_ck_mul__wrap__refused),
        cmocka_unit_test(test_ck_narrow__too_large__refused),
        cmocka_unit_test(test_ck_range__edges__inside_or_not),
        cmocka_unit_test(test_ck_index__inside_and_outside__index_or_refused),
        cmocka_unit_test(test_ck_align__edges__rounded_or_refused),
        cmocka_unit_test(test_le_put__any_host__bytes_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
