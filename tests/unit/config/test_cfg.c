/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/config/cfg.c: defaults of a VM and the rules of its objects with the reference's sentences.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/config/cfg.h"

#define VCPUS_TEXT                                                                                 \
    "The number of vCPUs must be greater than 0, less than 32 and must be 1 or an even number if " \
    "SMT is enabled."
#define MEMORY_TEXT                                                                                \
    "The memory size (MiB) is either 0, or not a multiple of the configured page size."

static void test_cfg_vm_init__fresh__one_vcpu_128_mib(void **state)
{
    (void)state;
    struct cfg_vm *vm = malloc(sizeof(*vm));
    assert_non_null(vm);
    memset(vm, 0xa5, sizeof(*vm));
    cfg_vm_init(vm);
    assert_int_equal(vm->machine.vcpu_count, 1);
    assert_int_equal(vm->machine.mem_size_mib, 128);
    assert_int_equal(vm->machine.cpu_template, CFG_TEMPLATE_NONE);
    assert_int_equal(vm->drives_count, 0);
    assert_null(vm->boot_source.kernel_image_path);
    assert_false(vm->has_vsock || vm->has_mmds || vm->has_logger || vm->has_metrics ||
                 vm->has_cpu_template);
    cfg_vm_done(vm);
    free(vm);
}

static void test_cfg_vm_done__full__everything_freed(void **state)
{
    (void)state;
    struct cfg_vm *vm = malloc(sizeof(*vm));
    assert_non_null(vm);
    cfg_vm_init(vm);
    vm->boot_source.kernel_image_path = strdup("k");
    vm->drives = calloc(1, sizeof(*vm->drives));
    assert_non_null(vm->drives);
    vm->drives[0].drive_id = strdup("d");
    vm->drives_count = 1;
    vm->nics = calloc(1, sizeof(*vm->nics));
    assert_non_null(vm->nics);
    vm->nics[0].iface_id = strdup("n");
    vm->nics_count = 1;
    vm->mmds.network_interfaces[0] = strdup("n");
    vm->mmds.network_interfaces_count = 1;
    vm->vsock.uds_path = strdup("v");
    vm->logger.log_path = strdup("l");
    vm->metrics.metrics_path = strdup("m");
    vm->cpu_template.msrs = calloc(1, sizeof(*vm->cpu_template.msrs));
    vm->cpu_template.msrs_count = 1;
    vm->cpu_template.cpuid = calloc(1, sizeof(*vm->cpu_template.cpuid));
    vm->cpu_template.cpuid_count = 1;
    cfg_vm_done(vm); /* what stays behind is a leak report */
    assert_null(vm->boot_source.kernel_image_path);
    assert_int_equal(vm->drives_count, 0);
    assert_int_equal(vm->nics_count, 0);
    assert_int_equal(vm->mmds.network_interfaces_count, 0);
    cfg_vm_done(vm); /* again is fine */
    free(vm);
}

static void test_cfg_machine_validate__table__sentence_or_success(void **state)
{
    (void)state;
    static const struct {
        uint8_t vcpus;
        bool smt;
        uint64_t mem_mib;
        enum cfg_huge_pages huge;
        const char *sentence;
    } rows[] = {
        {1, false, 1, CFG_HUGE_PAGES_NONE, NULL},
        {32, false, INT64_MAX, CFG_HUGE_PAGES_NONE, NULL},
        {3, false, 128, CFG_HUGE_PAGES_NONE, NULL},
        {1, true, 128, CFG_HUGE_PAGES_NONE, NULL},
        {2, true, 128, CFG_HUGE_PAGES_2M, NULL},
        {32, true, 130, CFG_HUGE_PAGES_TRANSPARENT, NULL},
        {0, false, 128, CFG_HUGE_PAGES_NONE, VCPUS_TEXT},
        {33, false, 128, CFG_HUGE_PAGES_NONE, VCPUS_TEXT},
        {255, false, 128, CFG_HUGE_PAGES_NONE, VCPUS_TEXT},
        {3, true, 128, CFG_HUGE_PAGES_NONE, VCPUS_TEXT},
        {0, false, 0, CFG_HUGE_PAGES_NONE, VCPUS_TEXT}, /* vCPUs come first */
        {1, false, 0, CFG_HUGE_PAGES_NONE, MEMORY_TEXT},
        {1, false, 129, CFG_HUGE_PAGES_2M, MEMORY_TEXT},
        {1, false, 129, CFG_HUGE_PAGES_TRANSPARENT, MEMORY_TEXT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cfg_machine machine = {
            .vcpu_count = rows[i].vcpus,
            .smt = rows[i].smt,
            .mem_size_mib = rows[i].mem_mib,
            .huge_pages = rows[i].huge,
        };
        struct err err = ERR_INIT;
        assert_int_equal(cfg_machine_validate(&machine, &err), rows[i].sentence ? -EINVAL : 0);
        assert_string_equal(err.msg, rows[i].sentence ? rows[i].sentence : "");
    }
}

static void test_cfg_boot_source_validate__command_line__2048_with_nul(void **state)
{
    (void)state;
    char args[CFG_CMDLINE_MAX_SIZE + 1];
    struct cfg_boot_source boot = {0};
    struct err err = ERR_INIT;

    assert_int_equal(cfg_boot_source_validate(&boot, &err), 0);
    memset(args, 'x', sizeof(args));
    args[CFG_CMDLINE_MAX_SIZE] = '\0';
    boot.boot_args = args;
    assert_int_equal(cfg_boot_source_validate(&boot, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "The kernel command line is invalid: Invalid cmdline capacity provided.");
    args[CFG_CMDLINE_MAX_SIZE - 1] = '\0';
    assert_int_equal(cfg_boot_source_validate(&boot, &err), 0);
}

static void test_cfg_boot_source_validate__command_line__any_text(void **state)
{
    (void)state;
    char args[] = " !~a=\"1 2\"\n\t\x1f\x7f caf\xc3\xa9";
    const struct cfg_boot_source boot = {.boot_args = args};
    struct err err = ERR_INIT;
    assert_int_equal(cfg_boot_source_validate(&boot, &err), 0);
}

static void test_cfg_drive_validate__path_and_socket__exactly_one_and_not_the_socket(void **state)
{
    (void)state;
    char path[] = "p";
    struct err err = ERR_INIT;
    struct cfg_drive drive = {.path_on_host = path};
    assert_int_equal(cfg_drive_validate(&drive, &err), 0);
    drive.socket = path;
    assert_int_equal(cfg_drive_validate(&drive, &err), -EINVAL);
    assert_string_equal(err.msg, "Unable to create the virtio block device: Invalid block config.");
    drive.path_on_host = NULL;
    assert_int_equal(cfg_drive_validate(&drive, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "Unable to create the virtio block device: vhost-user block devices "
                        "are not supported by this VMM; use path_on_host.");
    drive.socket = NULL;
    assert_int_equal(cfg_drive_validate(&drive, &err), -EINVAL);
    assert_string_equal(err.msg, "Unable to create the virtio block device: Invalid block config.");
}

static void test_cfg_nic_validate__mtu__68_and_up(void **state)
{
    (void)state;
    char name[] = "tap0";
    struct err err = ERR_INIT;
    struct cfg_nic nic = {.host_dev_name = name, .has_mtu = true, .mtu = 68};
    assert_int_equal(cfg_nic_validate(&nic, &err), 0);
    nic.mtu = UINT16_MAX;
    assert_int_equal(cfg_nic_validate(&nic, &err), 0);
    nic.mtu = 67;
    assert_int_equal(cfg_nic_validate(&nic, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "Could not create the network device: MTU 67 is out of range [68, 65535]");
    nic.has_mtu = false;
    assert_int_equal(cfg_nic_validate(&nic, &err), 0);
}

static void test_cfg_nic_validate__interface_name__15_bytes(void **state)
{
    (void)state;
    char name[] = "xxxxxxxxxxxxxxxx";
    struct err err = ERR_INIT;
    struct cfg_nic nic = {.host_dev_name = name};
    assert_int_equal(cfg_nic_validate(&nic, &err), -EINVAL);
    assert_string_equal(err.msg, "Could not create the network device: Open tap device failed: "
                                 "Invalid interface name");
    name[15] = '\0';
    assert_int_equal(cfg_nic_validate(&nic, &err), 0);
}

static void test_cfg_vsock_validate__path__107_bytes(void **state)
{
    (void)state;
    char path[109];
    struct err err = ERR_INIT;
    struct cfg_vsock vsock = {.uds_path = path};
    memset(path, 'v', sizeof(path));
    path[108] = '\0';
    assert_int_equal(cfg_vsock_validate(&vsock, &err), -EINVAL);
    assert_string_equal(err.msg, "Cannot create backend for vsock device: Error binding to the "
                                 "host-side Unix socket: path must be shorter than SUN_LEN");
    path[107] = '\0';
    assert_int_equal(cfg_vsock_validate(&vsock, &err), 0);
}

static void test_cfg_mmds_validate__address__link_local_only(void **state)
{
    (void)state;
    static const struct {
        const char *addr;
        bool good;
    } rows[] = {
        {NULL, true},           {"169.254.1.0", true},    {"169.254.254.255", true},
        {"169.254.0.1", false}, {"169.254.255.1", false}, {"169.253.1.1", false},
        {"1.2.3.4", false},     {"168.254.1.1", false},
    };
    char nic[] = "eth0";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char addr[16] = "";
        struct err err = ERR_INIT;
        struct cfg_mmds mmds = {.network_interfaces = {nic}, .network_interfaces_count = 1};
        if (rows[i].addr) {
            memcpy(addr, rows[i].addr, strlen(rows[i].addr) + 1);
            mmds.ipv4_address = addr;
        }
        assert_int_equal(cfg_mmds_validate(&mmds, &err), rows[i].good ? 0 : -EINVAL);
        assert_string_equal(err.msg,
                            rows[i].good ? "" : "The MMDS IPv4 address is not link local.");
    }
}

static void test_cfg_mmds_validate__no_interfaces__refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct cfg_mmds mmds = {0};
    assert_int_equal(cfg_mmds_validate(&mmds, &err), -EINVAL);
    assert_string_equal(err.msg, "The list of network interface IDs that allow forwarding MMDS "
                                 "requests is empty.");
}

static void test_cfg_bucket_limits__zero_or_overflow__no_limit(void **state)
{
    (void)state;
    struct cfg_bucket bucket = {.present = true, .size = 1, .refill_time_ms = 1};
    assert_true(cfg_bucket_limits(&bucket));
    bucket.present = false;
    assert_false(cfg_bucket_limits(&bucket));
    bucket = (struct cfg_bucket){.present = true, .size = 0, .refill_time_ms = 1};
    assert_false(cfg_bucket_limits(&bucket));
    bucket = (struct cfg_bucket){.present = true, .size = 1, .refill_time_ms = 0};
    assert_false(cfg_bucket_limits(&bucket));
    bucket.refill_time_ms = UINT64_MAX / 1000000;
    assert_true(cfg_bucket_limits(&bucket));
    bucket.refill_time_ms++;
    assert_false(cfg_bucket_limits(&bucket));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cfg_vm_init__fresh__one_vcpu_128_mib),
        cmocka_unit_test(test_cfg_vm_done__full__everything_freed),
        cmocka_unit_test(test_cfg_machine_validate__table__sentence_or_success),
        cmocka_unit_test(test_cfg_boot_source_validate__command_line__2048_with_nul),
        cmocka_unit_test(test_cfg_boot_source_validate__command_line__any_text),
        cmocka_unit_test(test_cfg_drive_validate__path_and_socket__exactly_one_and_not_the_socket),
        cmocka_unit_test(test_cfg_nic_validate__mtu__68_and_up),
        cmocka_unit_test(test_cfg_nic_validate__interface_name__15_bytes),
        cmocka_unit_test(test_cfg_vsock_validate__path__107_bytes),
        cmocka_unit_test(test_cfg_mmds_validate__address__link_local_only),
        cmocka_unit_test(test_cfg_mmds_validate__no_interfaces__refused),
        cmocka_unit_test(test_cfg_bucket_limits__zero_or_overflow__no_limit),
    };
    return cmocka_run_group_tests_name("cfg", tests, NULL, NULL);
}
