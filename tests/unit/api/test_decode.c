/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/decode.c: the sentences that clients match, with their positions (api.md 4), and what good
 * bodies become.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/decode.h"
#include "tests/unit/unit.h"

#define ROOMY_SIZE (1024u * 1024u)

/* Room for the largest object, aligned for any. */
union any {
    struct cfg_machine machine;
    struct cfg_boot_source boot;
    struct cfg_drive drive;
    struct cfg_nic nic;
    struct cfg_vsock vsock;
    struct cfg_mmds mmds;
    struct cfg_logger logger;
    struct cfg_metrics metrics;
    struct cfg_rate_limiter limiter;
    struct cfg_cpu_template tmpl;
};

static int decode(const struct cfg_object *object, const char *text, union any *ret,
                  struct err *err)
{
    return api_decode_text(object, text, strlen(text), ROOMY_SIZE, ret, err);
}

static void accept(const struct cfg_object *object, const char *text, union any *ret)
{
    struct err err = ERR_INIT;

    if (decode(object, text, ret, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
}

struct refusal {
    const struct cfg_object *object;
    const char *text;
    const char *sentence;
};

static void refuse_all(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = ERR_INIT;
        union any obj;
        union any before;
        memset(&obj, 0x5a, sizeof(obj));
        before = obj;
        assert_int_equal(decode(rows[i].object, rows[i].text, &obj, &err), -EINVAL);
        assert_string_equal(err.msg, rows[i].sentence);
        assert_memory_equal(&obj, &before, sizeof(obj)); /* a refused body changes nothing */
    }
}

static void test_api_decode__missing_field__named_at_closing_brace(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {&cfg_object_machine, "{}", "missing field `vcpu_count` at line 1 column 2"},
        {&cfg_object_machine, "{\"mem_size_mib\": 128}",
         "missing field `vcpu_count` at line 1 column 21"},
        {&cfg_object_machine, "{\"vcpu_count\": 2}",
         "missing field `mem_size_mib` at line 1 column 17"},
        {&cfg_object_machine, "{\n \"vcpu_count\": 2\n}\n",
         "missing field `mem_size_mib` at line 3 column 1"},
        {&cfg_object_vsock, "{\"uds_path\": \"v.sock\"}",
         "missing field `guest_cid` at line 1 column 22"},
        {&cfg_object_drive, "{\"drive_id\": \"d\", \"path_on_host\": \"p\"}",
         "missing field `is_root_device` at line 1 column 38"},
        {&cfg_object_mmds, "{\"version\": \"V2\"}",
         "missing field `network_interfaces` at line 1 column 17"},
        {&cfg_object_nic,
         "{\"iface_id\": \"eth0\", \"host_dev_name\": \"tap0\", \"guest_mac\": "
         "\"06:00:00:00:00:01\", "
         "\"rx_rate_limiter\": {\"bandwidth\": {\"size\": 1}}}",
         "missing field `refill_time` at line 1 column 124"},
    };
    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_decode__unknown_field__lists_candidates(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": 128, \"ht_enabled\": true}",
         "unknown field `ht_enabled`, expected one of `vcpu_count`, `mem_size_mib`, `smt`, "
         "`cpu_template`, `track_dirty_pages`, `huge_pages` at line 1 column 51"},
        {&cfg_object_rate_limiter, "{\"band\": null}",
         "unknown field `band`, expected `bandwidth` or `ops` at line 1 column 7"},
        {&cfg_object_cpu_template, "{\"reg_modifiers\": []}",
         "unknown field `reg_modifiers`, expected one of `kvm_capabilities`, `cpuid_modifiers`, "
         "`msr_modifiers` at line 1 column 16"},
        {&cfg_object_machine, "{\"a\\u001b\\\"b\": 1}",
         "unknown field `a\\u{1b}\\\"b`, expected one of `vcpu_count`, `mem_size_mib`, `smt`, "
         "`cpu_template`, `track_dirty_pages`, `huge_pages` at line 1 column 13"},
    };
    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_decode__wrong_type__says_what_it_got(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {&cfg_object_machine, "{\"vcpu_count\": \"1\", \"mem_size_mib\": 128}",
         "invalid type: string \"1\", expected u8 at line 1 column 18"},
        {&cfg_object_machine, "{\"vcpu_count\": 1.5, \"mem_size_mib\": 128}",
         "invalid type: floating point `1.5`, expected u8 at line 1 column 18"},
        {&cfg_object_machine, "{\"vcpu_count\": null, \"mem_size_mib\": 128}",
         "invalid type: null, expected u8 at line 1 column 19"},
        {&cfg_object_machine, "{\"vcpu_count\": true, \"mem_size_mib\": 128}",
         "invalid type: boolean `true`, expected u8 at line 1 column 19"},
        {&cfg_object_machine, "{\"vcpu_count\": [], \"mem_size_mib\": 128}",
         "invalid type: sequence, expected u8 at line 1 column 15"},
        {&cfg_object_machine, "{\"vcpu_count\": {}, \"mem_size_mib\": 128}",
         "invalid type: map, expected u8 at line 1 column 15"},
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": 1000.0}",
         "invalid type: floating point `1000.0`, expected usize at line 1 column 40"},
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": 128, \"smt\": 1}",
         "invalid type: integer `1`, expected a boolean at line 1 column 47"},
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": 128, \"huge_pages\": 2}",
         "expected value of `huge_pages`: one of `None`, `Transparent`, `2M` at line 1 column 54"},
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": 128, \"huge_pages\": null}",
         "expected value of `huge_pages`: one of `None`, `Transparent`, `2M` at line 1 column 54"},
        {&cfg_object_machine, "\"x\"",
         "invalid type: string \"x\", expected struct MachineConfig at line 1 column 3"},
        {&cfg_object_machine, "true",
         "invalid type: boolean `true`, expected struct MachineConfig at line 1 column 4"},
        {&cfg_object_machine, "null",
         "invalid type: null, expected struct MachineConfig at line 1 column 4"},
        {&cfg_object_boot_source, "{\"kernel_image_path\": \"k\", \"boot_args\": 1}",
         "invalid type: integer `1`, expected a string at line 1 column 41"},
        {&cfg_object_mmds, "{\"network_interfaces\": \"eth0\", \"version\": \"V2\"}",
         "invalid type: string \"eth0\", expected a sequence at line 1 column 29"},
        {&cfg_object_cpu_template, "{\"kvm_capabilities\": [1]}",
         "invalid type: integer `1`, expected a string at line 1 column 23"},
        {&cfg_object_drive, "{\"drive_id\": \"d\", \"is_root_device\": false, \"rate_limiter\": 5}",
         "invalid type: integer `5`, expected struct RateLimiterConfig at line 1 column 60"},
    };
    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_decode__out_of_range__invalid_value(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {&cfg_object_machine, "{\"vcpu_count\": -1, \"mem_size_mib\": 128}",
         "invalid value: integer `-1`, expected u8 at line 1 column 17"},
        {&cfg_object_machine, "{\"vcpu_count\": 256, \"mem_size_mib\": 128}",
         "invalid value: integer `256`, expected u8 at line 1 column 18"},
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": -1}",
         "invalid value: integer `-1`, expected usize at line 1 column 36"},
        {&cfg_object_machine, "{\"vcpu_count\": -0, \"mem_size_mib\": 128}",
         "invalid type: floating point `-0`, expected u8 at line 1 column 17"},
        {&cfg_object_vsock, "{\"guest_cid\": 4294967296, \"uds_path\": \"v.sock\"}",
         "invalid value: integer `4294967296`, expected u32 at line 1 column 24"},
    };
    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_decode__unknown_variant__lists_names(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": 128, \"cpu_template\": \"X\"}",
         "unknown variant `X`, expected one of `C3`, `T2`, `T2S`, `None`, `T2CL`, `T2A` at line 1 "
         "column 58"},
        {&cfg_object_machine, "{\"vcpu_count\": 1, \"mem_size_mib\": 128, \"huge_pages\": \"1G\"}",
         "unknown variant `1G`, expected one of `None`, `Transparent`, `2M` at line 1 column 57"},
        {&cfg_object_mmds, "{\"network_interfaces\": [\"eth0\"], \"version\": \"V3\"}",
         "unknown variant `V3`, expected `V1` or `V2` at line 1 column 48"},
        {&cfg_object_mmds, "{\"network_interfaces\": [\"eth0\"], \"version\": \"v1\"}",
         "unknown variant `v1`, expected `V1` or `V2` at line 1 column 48"},
        {&cfg_object_mmds, "{\"network_interfaces\": [\"eth0\"], \"version\": \"V1\\u0000\"}",
         "unknown variant `V1\\u{0}`, expected `V1` or `V2` at line 1 column 54"},
    };
    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_decode__texts_with_a_grammar__their_sentences_with_position(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {&cfg_object_nic,
         "{\"iface_id\": \"eth0\", \"host_dev_name\": \"tap0\", \"guest_mac\": \"zz\"}",
         "The provided MAC address is invalid. at line 1 column 64"},
        {&cfg_object_mmds,
         "{\"network_interfaces\": [\"eth0\"], \"version\": \"V2\", \"ipv4_address\": \"x\"}",
         "invalid IPv4 address syntax at line 1 column 69"},
        {&cfg_object_logger, "{\"level\": \"foo\"}", "Invalid LevelFilter at line 1 column 16"},
        {&cfg_object_cpu_template, "{\"kvm_capabilities\": [\"x\"]}",
         "Failed to parse string [x] as a kvm capability - can not convert to numeric: invalid "
         "digit "
         "found in string at line 1 column 26"},
        {&cfg_object_cpu_template,
         "{\"cpuid_modifiers\": [{\"leaf\": \"0x1\", \"subleaf\": \"0x0\", \"flags\": 0, "
         "\"modifiers\": "
         "[{\"register\": \"eee\", \"bitmap\": \"0b0\"}]}]}",
         "Invalid CPUID register. Must be one of [eax, ebx, ecx, edx] at line 1 column 99"},
        {&cfg_object_cpu_template,
         "{\"msr_modifiers\": [{\"addr\": \"0x10a\", \"bitmap\": \"0b2\"}]}",
         "Failed to parse string [0b2] as a bitmap - unknown character: 50 at line 1 column 53"},
    };
    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_decode__array_for_object__fields_in_table_order(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {&cfg_object_machine, "[]",
         "invalid length 0, expected struct MachineConfig with 6 elements at line 1 column 2"},
        {&cfg_object_vsock, "[]",
         "invalid length 1, expected struct VsockDeviceConfig with 3 elements at line 1 column 2"},
        {&cfg_object_mmds, "[]",
         "invalid length 1, expected struct MmdsConfig with 4 elements at line 1 column 2"},
        {&cfg_object_logger, "[]",
         "invalid length 0, expected struct LoggerConfig with 5 elements at line 1 column 2"},
        {&cfg_object_machine, "[{\"vcpu_count\": 1, \"mem_size_mib\": 128}]",
         "invalid type: map, expected u8 at line 1 column 1"},
        {&cfg_object_rate_limiter, "[null, null, 1]", "trailing characters at line 1 column 13"},
    };
    union any obj;
    refuse_all(rows, ARRAY_LEN(rows));
    accept(&cfg_object_cpu_template, "[]", &obj);
    assert_int_equal(obj.tmpl.cpuid_count + obj.tmpl.msrs_count + obj.tmpl.caps_count, 0);
    accept(&cfg_object_machine, "[2, 256]", &obj);
    assert_int_equal(obj.machine.vcpu_count, 2);
    assert_int_equal(obj.machine.mem_size_mib, 256);
}

static void test_api_decode__bad_behind_good__strings_freed(void **state)
{
    (void)state;
    /* Every text was stored before the mistake comes; what stays behind is a leak report. */
    static const struct refusal rows[] = {
        {&cfg_object_drive,
         "{\"drive_id\": \"d\", \"partuuid\": \"p\", \"path_on_host\": \"h\", \"socket\": \"s\", "
         "\"is_root_device\": 0}",
         "invalid type: integer `0`, expected a boolean at line 1 column 90"},
        {&cfg_object_mmds, "{\"network_interfaces\": [\"a\", \"b\", 3]}",
         "invalid type: integer `3`, expected a string at line 1 column 35"},
        {&cfg_object_cpu_template,
         "{\"msr_modifiers\": [{\"addr\": \"0x1\", \"bitmap\": \"1\"}, {\"addr\": \"0x1\"}]}",
         "missing field `bitmap` at line 1 column 66"},
    };
    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_decode__nul_in_path__sentence_without_position(void **state)
{
    (void)state;
    union any obj;
    struct err err = ERR_INIT;
    assert_int_equal(
        decode(&cfg_object_boot_source, "{\"kernel_image_path\": \"a\\u0000b\"}", &obj, &err),
        CFG_NUL_ERROR);
    assert_string_equal(
        err.msg, "Boot source error: The kernel file cannot be opened: file name contained an "
                 "unexpected NUL byte");
    assert_int_equal(
        decode(&cfg_object_vsock, "{\"guest_cid\": 3, \"uds_path\": \"a\\u0000b\"}", &obj, &err),
        -EINVAL);
    assert_string_equal(err.msg,
                        "invalid value: string with a NUL character, expected a string without "
                        "one at line 1 column 39");
}

static void test_api_decode__string_length__limit_is_exact(void **state)
{
    (void)state;
    static const char head[] = "{\"serial\":1,\"metrics_path\":\"";
    size_t size = sizeof(head) + CFG_STRING_MAX_LEN + 8;
    char *text = calloc(1, size);
    union any obj;
    struct err err = ERR_INIT;
    assert_non_null(text);
    for (size_t len = CFG_STRING_MAX_LEN; len <= CFG_STRING_MAX_LEN + 1; len++) {
        memcpy(text, head, strlen(head));
        memset(text + strlen(head), 'p', len);
        memcpy(text + strlen(head) + len, "\"}", 3);
        int ret = decode(&cfg_object_metrics, text, &obj, &err);
        assert_int_equal(ret, len > CFG_STRING_MAX_LEN ? -EINVAL : 0);
        if (ret == 0)
            cfg_object_done(&cfg_object_metrics, &obj);
    }
    assert_non_null(strstr(err.msg, "expected a string of at most 16384 bytes at line 1 column"));
    free(text);
}

static void test_api_decode__list_too_long__refused(void **state)
{
    (void)state;
    char text[1024] = "{\"network_interfaces\": [\"n\"";
    union any obj;
    struct err err = ERR_INIT;
    for (unsigned i = 0; i < CFG_MMDS_NICS_MAX; i++)
        memcpy(text + strlen(text), ",\"n\"", sizeof(",\"n\""));
    memcpy(text + strlen(text), "]}", sizeof("]}"));
    assert_int_equal(decode(&cfg_object_mmds, text, &obj, &err), -ENOSPC);
    assert_non_null(
        strstr(err.msg, "invalid length 65, expected at most 64 in `network_interfaces` at"));
}

static void test_api_decode__drive__every_field_stored(void **state)
{
    (void)state;
    union any obj;
    accept(&cfg_object_drive,
           "{\"drive_id\": \"root\", \"partuuid\": \"0eaa91a0-01\", \"is_root_device\": true, "
           "\"cache_type\": \"Writeback\", \"is_read_only\": true, \"path_on_host\": \"/d\", "
           "\"rate_limiter\": {\"bandwidth\": {\"size\": 10, \"one_time_burst\": 20, "
           "\"refill_time\": 30, \"extra\": 1}, \"ops\": null}, \"io_engine\": \"Async\", "
           "\"socket\": null}",
           &obj);
    assert_string_equal(obj.drive.drive_id, "root");
    assert_string_equal(obj.drive.partuuid, "0eaa91a0-01");
    assert_true(obj.drive.is_root_device);
    assert_int_equal(obj.drive.cache_type, CFG_CACHE_WRITEBACK);
    assert_true(obj.drive.is_read_only);
    assert_string_equal(obj.drive.path_on_host, "/d");
    assert_true(obj.drive.rate_limiter.present);
    assert_true(obj.drive.rate_limiter.bandwidth.present);
    assert_int_equal(obj.drive.rate_limiter.bandwidth.size, 10);
    assert_int_equal(obj.drive.rate_limiter.bandwidth.one_time_burst, 20);
    assert_int_equal(obj.drive.rate_limiter.bandwidth.refill_time_ms, 30);
    assert_false(obj.drive.rate_limiter.ops.present);
    assert_int_equal(obj.drive.io_engine, CFG_IO_ENGINE_ASYNC);
    assert_null(obj.drive.socket);
    cfg_object_done(&cfg_object_drive, &obj);
}

static void test_api_decode__nic__every_field_stored(void **state)
{
    (void)state;
    union any obj;
    accept(&cfg_object_nic,
           "{\"iface_id\": \"eth0\", \"host_dev_name\": \"tap0\", \"guest_mac\": "
           "\"AA:bb:CC:dd:EE:01\", "
           "\"mtu\": 1500, \"rx_rate_limiter\": {}, \"tx_rate_limiter\": null}",
           &obj);
    assert_string_equal(obj.nic.iface_id, "eth0");
    assert_string_equal(obj.nic.host_dev_name, "tap0");
    assert_true(obj.nic.has_guest_mac);
    assert_memory_equal(obj.nic.guest_mac, "\xaa\xbb\xcc\xdd\xee\x01", 6);
    assert_true(obj.nic.has_mtu);
    assert_int_equal(obj.nic.mtu, 1500);
    assert_true(obj.nic.rx_rate_limiter.present);
    assert_false(obj.nic.tx_rate_limiter.present);
    cfg_object_done(&cfg_object_nic, &obj);
}

static void test_api_decode__logger__given_and_absent_told_apart(void **state)
{
    (void)state;
    union any obj;
    accept(&cfg_object_logger, "{\"level\": \"WARN\", \"show_level\": false, \"module\": null}",
           &obj);
    assert_string_equal(obj.logger.level, "WARN");
    assert_true(obj.logger.has_show_level);
    assert_false(obj.logger.show_level);
    assert_false(obj.logger.has_show_log_origin);
    assert_null(obj.logger.module);
    assert_null(obj.logger.log_path);
    cfg_object_done(&cfg_object_logger, &obj);
}

static void test_api_decode__cpu_template__folded_into_masks(void **state)
{
    (void)state;
    union any obj;
    accept(
        &cfg_object_cpu_template,
        "{\"kvm_capabilities\": [\"171\", \"!56\"], \"cpuid_modifiers\": [{\"leaf\": \"0x1\", "
        "\"subleaf\": \"0b1\", \"flags\": 1, \"note\": \"ignored\", \"modifiers\": [{\"register\": "
        "\"eax\", \"bitmap\": \"0bxxxx_0011\"}, {\"register\": \"edx\", \"bitmap\": \"1\"}]}], "
        "\"msr_modifiers\": [{\"addr\": \"0x10a\", \"bitmap\": \"0b10x\"}]}",
        &obj);
    assert_int_equal(obj.tmpl.caps_count, 2);
    assert_int_equal(obj.tmpl.caps[0].number, 171);
    assert_false(obj.tmpl.caps[0].removal);
    assert_int_equal(obj.tmpl.caps[1].number, 56);
    assert_true(obj.tmpl.caps[1].removal);
    assert_int_equal(obj.tmpl.cpuid_count, 1);
    assert_int_equal(obj.tmpl.cpuid[0].leaf, 1);
    assert_int_equal(obj.tmpl.cpuid[0].subleaf, 1);
    assert_int_equal(obj.tmpl.cpuid[0].flags, 1);
    assert_int_equal(obj.tmpl.cpuid[0].mask[0], 0xf);
    assert_int_equal(obj.tmpl.cpuid[0].value[0], 0x3);
    assert_int_equal(obj.tmpl.cpuid[0].mask[3], 1);
    assert_int_equal(obj.tmpl.cpuid[0].value[3], 1);
    assert_int_equal(obj.tmpl.cpuid[0].mask[1] | obj.tmpl.cpuid[0].mask[2], 0);
    assert_int_equal(obj.tmpl.msrs_count, 1);
    assert_int_equal(obj.tmpl.msrs[0].addr, 0x10a);
    assert_int_equal(obj.tmpl.msrs[0].mask, 6);
    assert_int_equal(obj.tmpl.msrs[0].value, 4);
    cfg_object_done(&cfg_object_cpu_template, &obj);
}

static void test_api_decode__machine_without_template__not_given(void **state)
{
    (void)state;
    union any obj;
    accept(&cfg_object_machine, "{\"vcpu_count\": 4, \"mem_size_mib\": 9223372036854775807}", &obj);
    assert_int_equal(obj.machine.mem_size_mib, INT64_MAX);
    assert_false(obj.machine.has_cpu_template);
    assert_int_equal(obj.machine.cpu_template, CFG_TEMPLATE_NONE);
    accept(&cfg_object_machine,
           "{\"vcpu_count\": 4, \"mem_size_mib\": 1, \"cpu_template\": \"None\"}", &obj);
    assert_true(obj.machine.has_cpu_template);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_decode__missing_field__named_at_closing_brace),
        cmocka_unit_test(test_api_decode__unknown_field__lists_candidates),
        cmocka_unit_test(test_api_decode__wrong_type__says_what_it_got),
        cmocka_unit_test(test_api_decode__out_of_range__invalid_value),
        cmocka_unit_test(test_api_decode__unknown_variant__lists_names),
        cmocka_unit_test(test_api_decode__texts_with_a_grammar__their_sentences_with_position),
        cmocka_unit_test(test_api_decode__array_for_object__fields_in_table_order),
        cmocka_unit_test(test_api_decode__bad_behind_good__strings_freed),
        cmocka_unit_test(test_api_decode__nul_in_path__sentence_without_position),
        cmocka_unit_test(test_api_decode__string_length__limit_is_exact),
        cmocka_unit_test(test_api_decode__list_too_long__refused),
        cmocka_unit_test(test_api_decode__drive__every_field_stored),
        cmocka_unit_test(test_api_decode__nic__every_field_stored),
        cmocka_unit_test(test_api_decode__logger__given_and_absent_told_apart),
        cmocka_unit_test(test_api_decode__cpu_template__folded_into_masks),
        cmocka_unit_test(test_api_decode__machine_without_template__not_given),
    };
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
