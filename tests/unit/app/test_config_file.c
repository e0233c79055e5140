/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/app/config_file.c: keys of the file, order of application, refusals with their wrapper.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/app/config_file.h"

#define WRAPPER "Configuration for VMM from one single json failed: "
#define UNSUPPORTED WRAPPER "The requested operation is not supported: "
#define BOOT "\"boot-source\":{\"kernel_image_path\":\"k\"}"
#define BASE "{" BOOT ",\"drives\":[]" /* to be continued with ",..." or "}" */
#define NIC "{\"iface_id\":\"n\",\"host_dev_name\":\"t\",\"guest_mac\":\"06:00:00:00:00:01\"}"

/* What the hooks saw, in the order of the calls. */
struct seen {
    char calls[256];
    int logger_result;
    const char *template_text;
};

static void note(struct seen *seen, const char *what, const char *detail)
{
    size_t len = strlen(seen->calls);
    (void)snprintf(seen->calls + len, sizeof(seen->calls) - len, "%s(%s) ", what, detail);
}

static int seen_template(void *ctx, const char *path, char **ret_text, size_t *ret_len,
                         struct err *err)
{
    struct seen *seen = ctx;
    note(seen, "template", path);
    if (!seen->template_text)
        return err_set(err, -ENOENT, "Cannot open %s: gone", path);
    *ret_text = strdup(seen->template_text);
    *ret_len = strlen(seen->template_text);
    return *ret_text ? 0 : -ENOMEM;
}

static void seen_unknown(void *ctx, const char *keys)
{
    note(ctx, "unknown", keys);
}

static int seen_logger(void *ctx, const struct cfg_logger *logger, struct err *err)
{
    struct seen *seen = ctx;
    note(seen, "logger", logger->log_path ? logger->log_path : "-");
    return seen->logger_result < 0
               ? err_set(err, seen->logger_result, "Failed to open target file: x")
               : 0;
}

static int seen_metrics(void *ctx, const struct cfg_metrics *metrics, struct err *err)
{
    (void)err;
    note(ctx, "metrics", metrics->metrics_path);
    return 0;
}

static struct app_config_hooks hooks_of(struct seen *seen)
{
    return (struct app_config_hooks){
        .ctx = seen,
        .template_read = seen_template,
        .unknown_keys = seen_unknown,
        .sinks = {.ctx = seen, .logger = seen_logger, .metrics = seen_metrics},
    };
}

/* A VM on the heap: it is large, and a sanitizer sees every byte beyond it. */
static struct cfg_vm *vm_of(const char *text, const struct app_config_hooks *hooks)
{
    struct cfg_vm *vm = malloc(sizeof(*vm));
    struct err err = ERR_INIT;

    assert_non_null(vm);
    memset(vm, 0xa5, sizeof(*vm));
    if (app_config_file_parse(text, strlen(text), hooks, vm, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return vm;
}

static void vm_free(struct cfg_vm *vm)
{
    cfg_vm_done(vm);
    free(vm);
}

/* Refused with a sentence that begins so; the caller's struct is untouched. */
static void refuse_with(const char *text, const struct app_config_hooks *hooks, int code,
                        const char *beginning)
{
    struct cfg_vm *vm = malloc(sizeof(*vm));
    struct err err = ERR_INIT;

    assert_non_null(vm);
    memset(vm, 0xa5, sizeof(*vm));
    int ret = app_config_file_parse(text, strlen(text), hooks, vm, &err);
    if (ret != code || strncmp(err.msg, beginning, strlen(beginning)) != 0)
        fail_msg("%s: %d, %s", text, ret, err.msg);
    for (size_t i = 0; i < sizeof(*vm); i++)
        assert_int_equal(((unsigned char *)vm)[i], 0xa5);
    free(vm);
}

static void refuse(const char *text, const char *beginning)
{
    refuse_with(text, NULL, -EINVAL, beginning);
}

static void test_parse__smallest__defaults(void **state)
{
    (void)state;
    struct cfg_vm *vm = vm_of(BASE "}", NULL);
    assert_string_equal(vm->boot_source.kernel_image_path, "k");
    assert_int_equal(vm->machine.vcpu_count, 1);
    assert_int_equal(vm->machine.mem_size_mib, 128);
    assert_int_equal(vm->drives_count + vm->nics_count, 0);
    assert_false(vm->has_vsock || vm->has_mmds || vm->has_logger || vm->has_metrics ||
                 vm->has_cpu_template);
    vm_free(vm);
}

static void test_parse__optional_sections_null__as_absent(void **state)
{
    (void)state;
    struct cfg_vm *vm = vm_of(
        BASE
        ",\"machine-config\":null,\"cpu-config\":null,\"network-interfaces\":null,\"vsock\":null,"
        "\"mmds-config\":null,\"logger\":null,\"metrics\":null,\"balloon\":null,"
        "\"entropy\":null,\"pmem\":[],\"memory-hotplug\":null}",
        NULL);
    assert_int_equal(vm->machine.vcpu_count, 1);
    assert_false(vm->has_vsock || vm->has_mmds || vm->has_logger || vm->has_metrics ||
                 vm->has_cpu_template);
    vm_free(vm);
    vm_free(vm_of(BASE ",\"network-interfaces\":[],\"pmem\":null}", NULL));
}

static void test_parse__everything_in_scope__stored(void **state)
{
    (void)state;
    struct cfg_vm *vm = vm_of(
        "{\"boot-source\":{\"kernel_image_path\":\"k\",\"initrd_path\":\"i\",\"boot_args\":\"\"},"
        "\"drives\":[{\"drive_id\":\"/a\",\"is_root_device\":false,\"path_on_host\":\"a\"},"
        "{\"drive_id\":\"r\",\"is_root_device\":true,\"path_on_host\":\"r\",\"io_engine\":"
        "\"Async\"}],"
        "\"machine-config\":{\"vcpu_count\":4,\"mem_size_mib\":512,\"huge_pages\":\"2M\"},"
        "\"logger\":{\"level\":\"Debug\",\"log_path\":\"l\"},\"metrics\":{\"metrics_path\":\"m\"}}",
        NULL);
    assert_string_equal(vm->boot_source.initrd_path, "i");
    assert_string_equal(vm->boot_source.boot_args, "");
    assert_int_equal(vm->drives_count, 2);
    assert_string_equal(vm->drives[0].drive_id, "r"); /* the root drive comes first */
    assert_int_equal(vm->drives[0].io_engine, CFG_IO_ENGINE_ASYNC);
    assert_string_equal(vm->drives[1].drive_id, "/a"); /* ids of the file may be paths */
    assert_int_equal(vm->machine.vcpu_count, 4);
    assert_int_equal(vm->machine.huge_pages, CFG_HUGE_PAGES_2M);
    assert_true(vm->has_logger && vm->has_metrics);
    assert_string_equal(vm->metrics.metrics_path, "m");
    vm_free(vm);
}

static void test_parse__required_sections_missing__refused(void **state)
{
    (void)state;
    refuse("{}", WRAPPER "Invalid JSON: missing field `boot-source` at line 1 column 2");
    refuse("{" BOOT "}", WRAPPER "Invalid JSON: missing field `drives` at line 1 column 41");
    refuse("{\"boot-source\":null,\"drives\":[]}",
           WRAPPER "Invalid JSON: invalid type: null, expected struct BootSourceConfig at line 1");
    refuse("{" BOOT ",\"drives\":null}",
           WRAPPER "Invalid JSON: invalid type: null, expected a sequence at line 1");
    refuse("[]",
           WRAPPER "Invalid JSON: invalid type: sequence, expected struct VmmConfig at line 1");
    refuse("7",
           WRAPPER "Invalid JSON: invalid type: integer `7`, expected struct VmmConfig at line 1");
}

static void test_parse__bad_text__invalid_json(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence;
    } rows[] = {
        {"", "EOF while parsing a value at line 1 column 0"},
        {" \n", "EOF while parsing a value at line 2 column 0"},
        {"{\"boot-source\"", "EOF while parsing an object at line 1 column 14"},
        {"\xef\xbb\xbf" BASE "}",
         "expected value (the text must not begin with a byte order mark)"},
        {"{\"\xff\": 1}", "invalid unicode code point at line 1 column"},
        {BASE "} {}", "trailing characters at line 1 column"},
        {BASE ",\"drives\":[]}", "duplicate field `drives` at line 1 column"},
        {BASE ",\"x\":{\"y\":1,\"y\":1}}", "duplicate field `y` at line 1 column"},
        {"{" BOOT ",\"drives\":7}",
         "invalid type: integer `7`, expected a sequence at line 1 column"},
        {"{" BOOT ",\"drives\":[7]}",
         "invalid type: integer `7`, expected struct BlockDeviceConfig at"},
        {"{" BOOT ",\"drives\":[{\"drive_id\":\"a\",\"path_on_host\":\"p\",\"is_root_device\":true,"
         "\"root\":1}]}",
         "unknown field `root`, expected one of `drive_id`, "},
        {BASE ",\"machine-config\":{\"vcpu_count\":1}}",
         "missing field `mem_size_mib` at line 1 column"},
        {BASE ",\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":1,\"smt\":null}}",
         "invalid type: null, expected a boolean at line 1 column"},
        {BASE ",\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":9223372036854775808}}",
         "invalid value: integer `9223372036854775808`, expected an integer below 2^63 at line 1"},
        {BASE ",\"network-interfaces\":{}}",
         "invalid type: map, expected a sequence at line 1 column"},
        {BASE ",\"vsock\":{\"guest_cid\":3}}", "missing field `uds_path` at line 1 column"},
        {BASE ",\"mmds-config\":{}}", "missing field `network_interfaces` at line 1 column"},
        {BASE ",\"logger\":{\"level\":\"loud\"}}", "Invalid LevelFilter at line 1 column"},
        {BASE ",\"metrics\":{}}", "missing field `metrics_path` at line 1 column"},
        {BASE ",\"cpu-config\":{\"msr\":[]}}",
         "unknown field `msr`, expected one of `kvm_capabilities`"},
        {BASE ",\"cpu-config\":7}",
         "invalid type: integer `7`, expected struct CustomCpuTemplate at"},
        {BASE ",\"cpu-config\":\"a\\u0000b\"}",
         "invalid value: string, expected a path at line 1 column"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char beginning[256];
        (void)snprintf(beginning, sizeof(beginning), WRAPPER "Invalid JSON: %s", rows[i].sentence);
        refuse(rows[i].text, beginning);
    }
}

static void test_parse__depth_bomb__refused(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    char *text = malloc(DEPTH + 1);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    text[DEPTH] = '\0';
    refuse(text, WRAPPER "Invalid JSON: recursion limit exceeded at line 1 column 129");
    free(text);
}

static void test_parse__bad_values__category_of_their_section(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *sentence;
    } rows[] = {
        {BASE ",\"machine-config\":{\"vcpu_count\":0,\"mem_size_mib\":1}}", -EINVAL,
         "VM config error: The number of vCPUs must be greater than 0, "},
        {BASE ",\"machine-config\":{\"vcpu_count\":33,\"mem_size_mib\":1}}", -EINVAL,
         "VM config error: The number of vCPUs must be greater than 0, "},
        {BASE ",\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":0}}", -EINVAL,
         "VM config error: The memory size (MiB) is either 0, "},
        {"{\"boot-source\":{\"kernel_image_path\":\"a\\u0000b\"},\"drives\":[]}", -EILSEQ,
         "Boot source error: The kernel file cannot be opened: file name contained an unexpected "
         "NUL"},
        {"{" BOOT ",\"drives\":[{\"drive_id\":\"a\",\"is_root_device\":true}]}", -EINVAL,
         "Block device error: Unable to create the virtio block device: Invalid block config."},
        {"{" BOOT ",\"drives\":[{\"drive_id\":\"a\",\"is_root_device\":true,\"socket\":\"s\"}]}",
         -EINVAL,
         "Block device error: Unable to create the virtio block device: vhost-user block devices "
         "are not "
         "supported by this VMM; use path_on_host."},
        {"{" BOOT
         ",\"drives\":[{\"drive_id\":\"a\",\"is_root_device\":true,\"path_on_host\":\"p\"},"
         "{\"drive_id\":\"b\",\"is_root_device\":true,\"path_on_host\":\"p\"}]}",
         -EEXIST, "Block device error: A root block device already exists!"},
        {BASE ",\"network-interfaces\":[" NIC
              ",{\"iface_id\":\"m\",\"host_dev_name\":\"t\",\"guest_mac\":"
              "\"06:00:00:00:00:01\"}]}",
         -EEXIST, "Network device error: The MAC address is already in use: 06:00:00:00:00:01"},
        {BASE ",\"network-interfaces\":[{\"iface_id\":\"m\",\"host_dev_name\":\"t\",\"mtu\":67}]}",
         -EINVAL,
         "Network device error: Could not create the network device: MTU 67 is out of range [68, "
         "65535]"},
        {BASE ",\"mmds-config\":{\"network_interfaces\":[]}}", -EINVAL,
         "MMDS config error: The list of network interface IDs that allow forwarding MMDS requests "
         "is "
         "empty."},
        {BASE ",\"network-interfaces\":[" NIC "],\"mmds-config\":{\"network_interfaces\":[\"z\"]}}",
         -EINVAL,
         "MMDS config error: The list of network interface IDs provided contains at least one ID "
         "that "},
        {BASE ",\"mmds-config\":{\"network_interfaces\":[\"n\"],\"ipv4_address\":\"1.2.3.4\"}}",
         -EINVAL, "MMDS config error: The MMDS IPv4 address is not link local."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char beginning[256];
        (void)snprintf(beginning, sizeof(beginning), WRAPPER "%s", rows[i].sentence);
        refuse_with(rows[i].text, NULL, rows[i].code, beginning);
    }
}

static void test_parse__long_command_line__boot_source_category(void **state)
{
    (void)state;
    char text[CFG_CMDLINE_MAX_SIZE + 256];
    char args[CFG_CMDLINE_MAX_SIZE + 1];
    memset(args, 'x', CFG_CMDLINE_MAX_SIZE);
    args[CFG_CMDLINE_MAX_SIZE] = '\0';
    (void)snprintf(
        text, sizeof(text),
        "{\"boot-source\":{\"kernel_image_path\":\"k\",\"boot_args\":\"%s\"},\"drives\":[]}", args);
    refuse(text, WRAPPER
           "Boot source error: The kernel command line is invalid: Invalid cmdline capacity "
           "provided.");
}

static void test_parse__too_many_drives__refused(void **state)
{
    (void)state;
    enum { SIZE = 16384 };
    char *text = calloc(1, SIZE);
    size_t len;
    assert_non_null(text);
    (void)snprintf(text, SIZE, "{" BOOT ",\"drives\":[");
    for (unsigned i = 0; i <= CFG_DRIVES_MAX; i++) {
        len = strlen(text);
        (void)snprintf(text + len, SIZE - len,
                       "%s{\"drive_id\":\"%u\",\"is_root_device\":false,\"path_on_host\":\"p\"}",
                       i > 0 ? "," : "", i);
    }
    len = strlen(text);
    (void)snprintf(text + len, SIZE - len, "]}");
    refuse_with(text, NULL, -ENOSPC,
                WRAPPER
                "Invalid JSON: invalid length 65, expected at most 64 in `drives` at line 1");
    free(text);
}

static void test_parse__excluded_devices__refused_with_reason(void **state)
{
    (void)state;
    static const struct {
        const char *member;
        const char *reason;
    } rows[] = {
        {"\"balloon\":{\"amount_mib\":1,\"deflate_on_oom\":true}",
         "virtio-balloon is not part of this VMM's device model."},
        {"\"balloon\":[]", "virtio-balloon is not part of this VMM's device model."},
        {"\"entropy\":{}", "virtio-rng is not part of this VMM's device model; guests should use "
                           "RDRAND/RDSEED and VMGenID."},
        {"\"pmem\":[{\"id\":\"p\"}]", "virtio-pmem is not part of this VMM's device model."},
        {"\"pmem\":{}", "virtio-pmem is not part of this VMM's device model."},
        {"\"memory-hotplug\":{\"total_size_mib\":1024}",
         "memory hotplug (virtio-mem) is not part of this VMM's device model."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[256];
        char sentence[256];
        (void)snprintf(text, sizeof(text), BASE ",%s}", rows[i].member);
        (void)snprintf(sentence, sizeof(sentence), UNSUPPORTED "%s", rows[i].reason);
        refuse_with(text, NULL, -EOPNOTSUPP, sentence);
    }
}

static void test_parse__mmds_config__its_interfaces_once(void **state)
{
    (void)state;
    struct cfg_vm *vm = vm_of(BASE ",\"mmds-config\":{\"network_interfaces\":[\"n\",\"n\"],"
                                   "\"version\":\"V2\",\"ipv4_address\":\"169.254.1.2\"},"
                                   "\"network-interfaces\":[" NIC "," NIC "]}",
                              NULL);
    uint8_t address[4];
    assert_true(vm->has_mmds);
    assert_int_equal(vm->mmds.version, CFG_MMDS_V2);
    assert_int_equal(vm->mmds.network_interfaces_count, 1);
    assert_string_equal(vm->mmds.network_interfaces[0], "n");
    cfg_mmds_address(&vm->mmds, address);
    assert_memory_equal(address, "\xa9\xfe\1\2", 4);
    vm_free(vm);
}

static void test_parse__unknown_top_level_keys__ignored_and_reported_once(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct app_config_hooks hooks = hooks_of(&seen);
    vm_free(vm_of("{\"serial\":{\"a\":[{}]}," BOOT ",\"x\\u001b\":1,\"drives\":[]}", &hooks));
    assert_string_equal(seen.calls, "unknown(`serial`, `x\\u{1b}`) ");
    seen.calls[0] = '\0';
    vm_free(vm_of(BASE "}", &hooks));
    assert_string_equal(seen.calls, "");
}

static void test_parse__very_many_unknown_keys__report_is_cut(void **state)
{
    (void)state;
    enum { COUNT = 1000, SIZE = COUNT * 16 };
    struct seen seen = {0};
    struct app_config_hooks hooks = hooks_of(&seen);
    char *text = calloc(1, SIZE);
    size_t len;
    assert_non_null(text);
    (void)snprintf(text, SIZE, BASE);
    for (unsigned i = 0; i < COUNT; i++) {
        len = strlen(text);
        (void)snprintf(text + len, SIZE - len, ",\"key%u\":%u", i, i);
    }
    len = strlen(text);
    (void)snprintf(text + len, SIZE - len, "}");
    vm_free(vm_of(text, &hooks));
    assert_memory_equal(seen.calls, "unknown(`key0`, `key1`, ", 24);
    free(text);
}

static void test_parse__order_of_application__sinks_before_any_check(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct app_config_hooks hooks = hooks_of(&seen);
    refuse_with(
        BASE
        ",\"cpu-config\":\"t.json\",\"metrics\":{\"metrics_path\":\"m\"},"
        "\"machine-config\":{\"vcpu_count\":0,\"mem_size_mib\":0},\"logger\":{\"log_path\":\"l\"}}",
        &hooks, -EINVAL, WRAPPER "VM config error: ");
    assert_string_equal(seen.calls,
                        "logger(l) metrics(m) "); /* and no file opened behind the failure */
    seen.calls[0] = '\0';
    refuse_with(BASE ",\"logger\":{\"log_path\":\"l\"},\"vsock\":7}", &hooks, -EINVAL,
                WRAPPER "Invalid JSON: ");
    assert_string_equal(seen.calls, ""); /* a document of the wrong shape applies nothing */
}

static void test_parse__logger_hook_fails__logger_category(void **state)
{
    (void)state;
    struct seen seen = {.logger_result = -ENOENT};
    struct app_config_hooks hooks = hooks_of(&seen);
    refuse_with(BASE ",\"logger\":{}}", &hooks, -ENOENT,
                WRAPPER "Logger error: Failed to open target file: x");
}

static void test_parse__cpu_template_inline__replaces_static_one(void **state)
{
    (void)state;
    struct cfg_vm *vm = vm_of(
        BASE ",\"cpu-config\":{\"msr_modifiers\":[{\"addr\":\"0x10a\",\"bitmap\":\"1\"}]},"
             "\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":128,\"cpu_template\":\"T2\"}}",
        NULL);
    assert_true(vm->has_cpu_template);
    assert_int_equal(vm->cpu_template.msrs_count, 1);
    assert_false(vm->machine.has_cpu_template);
    assert_int_equal(vm->machine.cpu_template, CFG_TEMPLATE_NONE);
    vm_free(vm);
    vm = vm_of(
        BASE ",\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":128,\"cpu_template\":\"T2\"}}",
        NULL);
    assert_int_equal(vm->machine.cpu_template, CFG_TEMPLATE_T2);
    vm_free(vm);
}

static void test_parse__cpu_template_by_path__read_through_the_hook(void **state)
{
    (void)state;
    struct seen seen = {.template_text = "{\"kvm_capabilities\":[\"!56\"]}"};
    struct app_config_hooks hooks = hooks_of(&seen);
    static const char text[] = BASE ",\"cpu-config\":\"t.json\"}";
    struct cfg_vm *vm = vm_of(text, &hooks);
    assert_string_equal(seen.calls, "template(t.json) ");
    assert_true(vm->has_cpu_template);
    assert_int_equal(vm->cpu_template.caps[0].number, 56);
    assert_true(vm->cpu_template.caps[0].removal);
    vm_free(vm);
    seen.template_text = "{\"kvm_capabilities\":[\"56\",7]}";
    refuse_with(text, &hooks, -EINVAL,
                WRAPPER "Invalid JSON: invalid type: integer `7`, expected a string");
    seen.template_text = NULL;
    refuse_with(text, &hooks, -ENOENT, WRAPPER "File operation error: Cannot open t.json: gone");
    refuse_with(text, NULL, -EOPNOTSUPP, WRAPPER "File operation error: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__smallest__defaults),
        cmocka_unit_test(test_parse__optional_sections_null__as_absent),
        cmocka_unit_test(test_parse__everything_in_scope__stored),
        cmocka_unit_test(test_parse__required_sections_missing__refused),
        cmocka_unit_test(test_parse__bad_text__invalid_json),
        cmocka_unit_test(test_parse__depth_bomb__refused),
        cmocka_unit_test(test_parse__bad_values__category_of_their_section),
        cmocka_unit_test(test_parse__long_command_line__boot_source_category),
        cmocka_unit_test(test_parse__too_many_drives__refused),
        cmocka_unit_test(test_parse__excluded_devices__refused_with_reason),
        cmocka_unit_test(test_parse__mmds_config__its_interfaces_once),
        cmocka_unit_test(test_parse__unknown_top_level_keys__ignored_and_reported_once),
        cmocka_unit_test(test_parse__very_many_unknown_keys__report_is_cut),
        cmocka_unit_test(test_parse__order_of_application__sinks_before_any_check),
        cmocka_unit_test(test_parse__logger_hook_fails__logger_category),
        cmocka_unit_test(test_parse__cpu_template_inline__replaces_static_one),
        cmocka_unit_test(test_parse__cpu_template_by_path__read_through_the_hook),
    };
    return cmocka_run_group_tests_name("config_file", tests, NULL, NULL);
}
