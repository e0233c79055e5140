/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/config/cfg_text.c: the small grammars inside requests, good and bad.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/config/cfg_text.h"

static void test_cfg_mac_parse__good__bytes_and_lower_case_text(void **state)
{
    (void)state;
    uint8_t mac[6];
    char text[CFG_MAC_TEXT_SIZE];
    assert_int_equal(cfg_mac_parse("0A:bC:00:ff:10:9f", mac, NULL), 0);
    assert_memory_equal(mac, "\x0a\xbc\x00\xff\x10\x9f", 6);
    assert_string_equal(cfg_mac_text(mac, text), "0a:bc:00:ff:10:9f");
}

static void test_cfg_mac_parse__bad__refused_and_untouched(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "zz",
        "00:11:22:33:44",
        "06:00:00:00:00:0g",
        "6:0:0:0:0:1",
        "06-00-00-00-00-01",
        "06:00:00:00:00:01:",
        "06:00:00:00:00:01:02",
        "06:00:00:00:00001",
        " 6:00:00:00:00:01",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        uint8_t mac[6] = {1, 2, 3, 4, 5, 6};
        struct err err = ERR_INIT;
        assert_int_equal(cfg_mac_parse(texts[i], mac, &err), -EINVAL);
        assert_string_equal(err.msg, "The provided MAC address is invalid.");
        assert_memory_equal(mac, "\1\2\3\4\5\6", 6);
    }
}

static void test_cfg_ipv4_parse__good__bytes(void **state)
{
    (void)state;
    uint8_t addr[4];
    assert_int_equal(cfg_ipv4_parse("169.254.0.255", addr, NULL), 0);
    assert_memory_equal(addr, "\xa9\xfe\x00\xff", 4);
}

static void test_cfg_ipv4_parse__bad__refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",         "x",        "1.2.3",      "1.2.3.4.5",         "1.2.3.256",
        "1.2.3.4 ", "01.2.3.4", "1..2.3",     "1.2.3.-",           "1.2.3.4.",
        "1.2.3.",   "+1.2.3.4", "1.2.3.0004", "1.2.3.99999999999",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        uint8_t addr[4];
        struct err err = ERR_INIT;
        assert_int_equal(cfg_ipv4_parse(texts[i], addr, &err), -EINVAL);
        assert_string_equal(err.msg, "invalid IPv4 address syntax");
    }
}

static void test_cfg_log_level_parse__any_case__level(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum log_level level;
    } rows[] = {
        {"off", LOG_LEVEL_OFF},     {"TRACE", LOG_LEVEL_TRACE}, {"Debug", LOG_LEVEL_DEBUG},
        {"info", LOG_LEVEL_INFO},   {"WARN", LOG_LEVEL_WARN},   {"Warning", LOG_LEVEL_WARN},
        {"eRROR", LOG_LEVEL_ERROR},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum log_level level = LOG_LEVEL_OFF;
        assert_int_equal(cfg_log_level_parse(rows[i].text, &level, NULL), 0);
        assert_int_equal(level, rows[i].level);
    }
}

static void test_cfg_log_level_parse__unknown__refused(void **state)
{
    (void)state;
    enum log_level level;
    struct err err = ERR_INIT;
    assert_int_equal(cfg_log_level_parse("foo", &level, &err), -EINVAL);
    assert_string_equal(err.msg, "Invalid LevelFilter");
    assert_int_equal(cfg_log_level_parse("", &level, &err), -EINVAL);
}

static void test_cfg_number32_parse__prefixes__numbers(void **state)
{
    (void)state;
    uint32_t number = 0;
    assert_int_equal(cfg_number32_parse("0x10A", &number, NULL), 0);
    assert_int_equal(number, 0x10a);
    assert_int_equal(cfg_number32_parse("0b101", &number, NULL), 0);
    assert_int_equal(number, 5);
    assert_int_equal(cfg_number32_parse("0xffffffff", &number, NULL), 0);
    assert_int_equal(number, UINT32_MAX);
}

static void test_cfg_number32_parse__bad__sentence(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence;
    } rows[] = {
        {"zz", "No supported number system prefix found in value [zz]. Make sure to prefix the "
               "number with "
               "'0x' for hexadecimal numbers or '0b' for binary numbers."},
        {"10", "No supported number system prefix found in value [10]. Make sure to prefix the "
               "number with "
               "'0x' for hexadecimal numbers or '0b' for binary numbers."},
        {"0x",
         "Failed to parse string [0x] as a 32-bit number: cannot parse integer from empty string"},
        {"0b2", "Failed to parse string [0b2] as a 32-bit number: invalid digit found in string"},
        {"0x100000000",
         "Failed to parse string [0x100000000] as a 32-bit number: number too large to fit in "
         "target type"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t number = 77;
        struct err err = ERR_INIT;
        assert_int_equal(cfg_number32_parse(rows[i].text, &number, &err), -EINVAL);
        assert_string_equal(err.msg, rows[i].sentence);
        assert_int_equal(number, 77);
    }
}

static void test_cfg_number32_parse__hostile_text__sentence_stays_printable(void **state)
{
    (void)state;
    uint32_t number;
    struct err err = ERR_INIT;
    assert_int_equal(cfg_number32_parse("\x1b[2J\xc3\xa9", &number, &err), -EINVAL);
    for (const char *p = err.msg; *p != '\0'; p++)
        assert_in_range(*p, ' ', '~');
}

static void test_cfg_register_parse__names__indexes(void **state)
{
    (void)state;
    static const char *const names[] = {"eax", "ebx", "ecx", "edx"};
    struct err err = ERR_INIT;
    uint32_t reg;
    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(cfg_register_parse(names[i], &reg, NULL), 0);
        assert_int_equal(reg, i);
    }
    assert_int_equal(cfg_register_parse("eee", &reg, &err), -EINVAL);
    assert_string_equal(err.msg, "Invalid CPUID register. Must be one of [eax, ebx, ecx, edx]");
}

static void test_cfg_bitmap_parse__digits__mask_and_value(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t bits;
        uint64_t mask;
        uint64_t value;
    } rows[] = {
        {"0b1", 32, 1, 1},
        {"0", 32, 1, 0},
        {"x", 32, 0, 0},
        {"", 32, 0, 0},
        {"0bxx_1_0x", 32, 6, 4},
        {"0b11111111111111111111111111111111", 32, UINT32_MAX, UINT32_MAX},
        {"0b1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0", 64,
         0x8000000000000001, 0x8000000000000000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cfg_bitmap64 bitmap = {0};
        assert_int_equal(cfg_bitmap_parse(rows[i].text, rows[i].bits, &bitmap, NULL), 0);
        assert_int_equal(bitmap.mask, rows[i].mask);
        assert_int_equal(bitmap.value, rows[i].value);
    }
}

static void test_cfg_bitmap_parse__bad__sentence(void **state)
{
    (void)state;
    struct cfg_bitmap64 bitmap;
    struct err err = ERR_INIT;
    assert_int_equal(cfg_bitmap_parse("0b2", 64, &bitmap, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "Failed to parse string [0b2] as a bitmap - unknown character: 50");
    const char *text33 = "0bx_00000000000000000000000000000000";
    assert_int_equal(cfg_bitmap_parse(text33, 32, &bitmap, &err), -EINVAL);
    assert_string_equal(
        err.msg, "Failed to parse string [0bx_00000000000000000000000000000000] as a bitmap - "
                 "string is too long");
    assert_int_equal(cfg_bitmap_parse(text33, 64, &bitmap, &err), 0);
}

static void test_cfg_capability_parse__both_forms__number_and_sense(void **state)
{
    (void)state;
    struct cfg_capability capability;
    assert_int_equal(cfg_capability_parse("171", &capability, NULL), 0);
    assert_int_equal(capability.number, 171);
    assert_false(capability.removal);
    assert_int_equal(cfg_capability_parse("!56", &capability, NULL), 0);
    assert_int_equal(capability.number, 56);
    assert_true(capability.removal);
}

static void test_cfg_capability_parse__bad__sentence(void **state)
{
    (void)state;
    static const char *const texts[] = {"x", "", "!", "-1", "4294967296", "!!1", "1 "};
    struct cfg_capability capability;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(cfg_capability_parse(texts[i], &capability, &err), -EINVAL);
    assert_int_equal(cfg_capability_parse("x", &capability, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "Failed to parse string [x] as a kvm capability - can not convert to "
                        "numeric: invalid digit found in string");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cfg_mac_parse__good__bytes_and_lower_case_text),
        cmocka_unit_test(test_cfg_mac_parse__bad__refused_and_untouched),
        cmocka_unit_test(test_cfg_ipv4_parse__good__bytes),
        cmocka_unit_test(test_cfg_ipv4_parse__bad__refused),
        cmocka_unit_test(test_cfg_log_level_parse__any_case__level),
        cmocka_unit_test(test_cfg_log_level_parse__unknown__refused),
        cmocka_unit_test(test_cfg_number32_parse__prefixes__numbers),
        cmocka_unit_test(test_cfg_number32_parse__bad__sentence),
        cmocka_unit_test(test_cfg_number32_parse__hostile_text__sentence_stays_printable),
        cmocka_unit_test(test_cfg_register_parse__names__indexes),
        cmocka_unit_test(test_cfg_bitmap_parse__digits__mask_and_value),
        cmocka_unit_test(test_cfg_bitmap_parse__bad__sentence),
        cmocka_unit_test(test_cfg_capability_parse__both_forms__number_and_sense),
        cmocka_unit_test(test_cfg_capability_parse__bad__sentence),
    };
    return cmocka_run_group_tests_name("cfg_text", tests, NULL, NULL);
}
