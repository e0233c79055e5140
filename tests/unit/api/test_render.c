/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/render.c: documents as measured on the reference (api.md 6 "echo form", 7, 8), and that what
 * is shown can be read back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/decode.h"
#include "api/render.h"
#include "tests/unit/unit.h"

#define ROOMY_SIZE (1024u * 1024u)
#define MACHINE_DEFAULT                                                                            \
    "{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":false,\"track_dirty_pages\":false,\"huge_"     \
    "pages\":\"None\"}"

static int vm_setup(void **state)
{
    struct cfg_vm *vm = malloc(sizeof(*vm));
    if (!vm)
        return -1;
    cfg_vm_init(vm);
    *state = vm;
    return 0;
}

static int vm_teardown(void **state)
{
    cfg_vm_done(*state);
    free(*state);
    return 0;
}

static void decode(const struct cfg_object *object, const char *text, void *ret_obj)
{
    struct err err = ERR_INIT;

    if (api_decode_text(object, text, strlen(text), ROOMY_SIZE, ret_obj, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
}

static void assert_shown(const struct cfg_object *object, const void *obj, const char *expected)
{
    char *text = NULL;
    size_t len = 0;

    assert_int_equal(api_render_object(object, obj, &text, &len), 0);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    free(text);
}

static void test_api_render_vm__fresh__document_of_the_reference(void **state)
{
    struct cfg_vm *vm = *state;
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(api_render_vm(vm, &text, &len), 0);
    assert_string_equal(
        text, "{\"balloon\":null,\"drives\":[],\"boot-source\":{\"kernel_image_path\":\"\","
              "\"initrd_path\":null,\"boot_args\":null},\"cpu-config\":null,\"logger\":null,"
              "\"machine-config\":" MACHINE_DEFAULT ",\"metrics\":null,\"mmds-config\":null,"
              "\"network-interfaces\":[],\"vsock\":null,\"entropy\":null,\"pmem\":[],"
              "\"memory-hotplug\":null}");
    assert_int_equal(len, 364); /* the Content-Length measured on the reference */
    free(text);
}

static void test_api_render_vm__configured__document_of_the_reference(void **state)
{
    struct cfg_vm *vm = *state;
    char *text = NULL;
    size_t len = 0;
    decode(&cfg_object_machine,
           "{\"vcpu_count\":1,\"mem_size_mib\":128,\"track_dirty_pages\":true}", &vm->machine);
    decode(&cfg_object_boot_source,
           "{\"kernel_image_path\":\"k.elf\",\"boot_args\":\"console=ttyS0 reboot=k panic=1\"}",
           &vm->boot_source);
    vm->drives = calloc(1, sizeof(*vm->drives));
    assert_non_null(vm->drives);
    decode(&cfg_object_drive,
           "{\"drive_id\":\"rootfs\",\"path_on_host\":\"d.img\",\"is_root_device\":true,"
           "\"is_read_only\":false}",
           &vm->drives[0]);
    vm->drives_count = 1;
    vm->nics = calloc(1, sizeof(*vm->nics));
    assert_non_null(vm->nics);
    decode(&cfg_object_nic,
           "{\"iface_id\":\"eth0\",\"host_dev_name\":\"tap0\",\"guest_mac\":\"06:00:00:00:00:01\"}",
           &vm->nics[0]);
    vm->nics_count = 1;
    decode(&cfg_object_vsock, "{\"vsock_id\":\"vs\",\"guest_cid\":3,\"uds_path\":\"v.sock\"}",
           &vm->vsock);
    vm->has_vsock = true;
    decode(&cfg_object_mmds, "{\"network_interfaces\":[\"eth0\"],\"version\":\"V2\"}", &vm->mmds);
    vm->has_mmds = true;
    assert_int_equal(api_render_vm(vm, &text, &len), 0);
    assert_string_equal(
        text,
        "{\"balloon\":null,\"drives\":[{\"drive_id\":\"rootfs\",\"partuuid\":null,\"is_root_"
        "device\":true,"
        "\"cache_type\":\"Unsafe\",\"is_read_only\":false,\"path_on_host\":\"d.img\",\"rate_"
        "limiter\":null,"
        "\"io_engine\":\"Sync\",\"socket\":null}],\"boot-source\":{\"kernel_image_path\":\"k.elf\","
        "\"initrd_path\":null,\"boot_args\":\"console=ttyS0 reboot=k "
        "panic=1\"},\"cpu-config\":null,"
        "\"logger\":null,\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":false,"
        "\"track_dirty_pages\":true,\"huge_pages\":\"None\"},\"metrics\":null,\"mmds-config\":{"
        "\"version\":"
        "\"V2\",\"network_interfaces\":[\"eth0\"],\"ipv4_address\":\"169.254.169.254\",\"imds_"
        "compat\":"
        "false},\"network-interfaces\":[{\"iface_id\":\"eth0\",\"host_dev_name\":\"tap0\",\"guest_"
        "mac\":"
        "\"06:00:00:00:00:01\",\"mtu\":null,\"rx_rate_limiter\":null,\"tx_rate_limiter\":null}],"
        "\"vsock\":"
        "{\"guest_cid\":3,\"uds_path\":\"v.sock\"},\"entropy\":null,\"pmem\":[],\"memory-hotplug\":"
        "null}");
    assert_int_equal(len, 831);
    free(text);
}

static void test_api_render_object__cpu_template__between_smt_and_tracking_when_active(void **state)
{
    (void)state;
    struct cfg_machine machine;
    decode(&cfg_object_machine, "{\"vcpu_count\":2,\"mem_size_mib\":256,\"cpu_template\":\"T2\"}",
           &machine);
    assert_shown(&cfg_object_machine, &machine,
                 "{\"vcpu_count\":2,\"mem_size_mib\":256,\"smt\":false,\"cpu_template\":\"T2\","
                 "\"track_dirty_pages\":false,\"huge_pages\":\"None\"}");
    decode(&cfg_object_machine, "{\"vcpu_count\":1,\"mem_size_mib\":128,\"cpu_template\":\"None\"}",
           &machine);
    assert_shown(&cfg_object_machine, &machine, MACHINE_DEFAULT);
}

static void test_api_render_object__rate_limiter__null_without_limits(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        const char *shown;
    } rows[] = {
        {"{}", "null"},
        {"{\"bandwidth\":null,\"ops\":null}", "null"},
        {"{\"bandwidth\":{\"size\":0,\"refill_time\":0}}", "null"},
        {"{\"bandwidth\":{\"size\":5,\"refill_time\":9223372036854775807}}", "null"}, /* too slow */
        {"{\"ops\":{\"size\":1000,\"refill_time\":100}}",
         "{\"bandwidth\":null,\"ops\":{\"size\":1000,\"one_time_burst\":null,\"refill_time\":100}"
         "}"},
        {"{\"bandwidth\":{\"refill_time\":2,\"one_time_burst\":3,\"size\":1},\"ops\":{\"size\":0,"
         "\"refill_time\":7}}",
         "{\"bandwidth\":{\"size\":1,\"one_time_burst\":3,\"refill_time\":2},\"ops\":null}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cfg_rate_limiter limiter;
        decode(&cfg_object_rate_limiter, rows[i].given, &limiter);
        limiter.present = true; /* what the enclosing object's decoder says */
        assert_shown(&cfg_object_rate_limiter, &limiter, rows[i].shown);
    }
}

static void test_api_render_object__mac_mtu__lower_case_and_number(void **state)
{
    (void)state;
    struct cfg_nic nic;
    decode(&cfg_object_nic,
           "{\"iface_id\":\"e\",\"host_dev_name\":\"t\",\"guest_mac\":\"AA:BB:CC:DD:EE:FF\","
           "\"mtu\":1500,"
           "\"tx_rate_limiter\":{\"ops\":{\"size\":1,\"refill_time\":1}}}",
           &nic);
    assert_shown(
        &cfg_object_nic, &nic,
        "{\"iface_id\":\"e\",\"host_dev_name\":\"t\",\"guest_mac\":\"aa:bb:cc:dd:ee:ff\",\"mtu\":"
        "1500,"
        "\"rx_rate_limiter\":null,\"tx_rate_limiter\":{\"bandwidth\":null,\"ops\":{\"size\":1,"
        "\"one_time_burst\":null,\"refill_time\":1}}}");
    cfg_object_done(&cfg_object_nic, &nic);
}

static void test_api_render_object__empty_boot_args__stay_empty(void **state)
{
    (void)state;
    struct cfg_boot_source boot;
    decode(&cfg_object_boot_source, "{\"kernel_image_path\":\"k\",\"boot_args\":\"\"}", &boot);
    assert_shown(&cfg_object_boot_source, &boot,
                 "{\"kernel_image_path\":\"k\",\"initrd_path\":null,\"boot_args\":\"\"}");
    cfg_object_done(&cfg_object_boot_source, &boot);
}

static void test_api_render_object__shown_objects__read_back_the_same(void **state)
{
    (void)state;
    static const struct {
        const struct cfg_object *object;
        const char *text;
    } rows[] = {
        {&cfg_object_machine, "{\"vcpu_count\":8,\"mem_size_mib\":9223372036854775807,\"smt\":true,"
                              "\"cpu_template\":\"T2CL\","
                              "\"track_dirty_pages\":true,\"huge_pages\":\"Transparent\"}"},
        {&cfg_object_boot_source, "{\"kernel_image_path\":\"a\\\"b\\\\c\xc3\xa9\",\"initrd_path\":"
                                  "\"i\",\"boot_args\":\"a\\nb\"}"},
        {&cfg_object_drive,
         "{\"drive_id\":\"/dev/"
         "x\",\"partuuid\":\"p\",\"is_root_device\":true,\"cache_type\":\"Writeback\","
         "\"is_read_only\":true,\"path_on_host\":\"h\",\"rate_limiter\":{\"bandwidth\":{\"size\":1,"
         "\"one_time_burst\":2,\"refill_time\":3},\"ops\":null},\"io_engine\":\"Async\",\"socket\":"
         "\"s\"}"},
        {&cfg_object_mmds, "{\"version\":\"V1\",\"network_interfaces\":[\"a\",\"b\"],\"ipv4_"
                           "address\":\"169.254.1.1\","
                           "\"imds_compat\":true}"},
        {&cfg_object_logger,
         "{\"log_path\":\"l\",\"level\":\"Warn\",\"show_level\":false,\"show_log_origin\":true,"
         "\"module\":null}"},
        {&cfg_object_metrics, "{\"metrics_path\":\"m\",\"emit_id\":true}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        void *obj = calloc(1, rows[i].object->size);
        assert_non_null(obj);
        decode(rows[i].object, rows[i].text, obj);
        assert_shown(rows[i].object, obj, rows[i].text);
        cfg_object_done(rows[i].object, obj);
        free(obj);
    }
}

static void test_api_render_object__unrenderable_text__error_and_no_leak(void **state)
{
    (void)state;
    char bad[] = "\xff";
    char *text = NULL;
    size_t len = 7;
    struct cfg_boot_source boot = {.kernel_image_path = bad};
    assert_int_equal(api_render_object(&cfg_object_boot_source, &boot, &text, &len), -ENOMEM);
    assert_null(text);
    assert_int_equal(len, 7);
    struct cfg_vm *vm = calloc(1, sizeof(*vm));
    assert_non_null(vm);
    vm->boot_source.kernel_image_path = bad;
    assert_int_equal(api_render_vm(vm, &text, &len), -ENOMEM);
    free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_api_render_vm__fresh__document_of_the_reference,
                                        vm_setup, vm_teardown),
        cmocka_unit_test_setup_teardown(test_api_render_vm__configured__document_of_the_reference,
                                        vm_setup, vm_teardown),
        cmocka_unit_test(
            test_api_render_object__cpu_template__between_smt_and_tracking_when_active),
        cmocka_unit_test(test_api_render_object__rate_limiter__null_without_limits),
        cmocka_unit_test(test_api_render_object__mac_mtu__lower_case_and_number),
        cmocka_unit_test(test_api_render_object__empty_boot_args__stay_empty),
        cmocka_unit_test(test_api_render_object__shown_objects__read_back_the_same),
        cmocka_unit_test(test_api_render_object__unrenderable_text__error_and_no_leak),
    };
    return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
