/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/request.c, api/routes.c: bodies: what they become, the sentence about those that are wrong,
 * ids that differ, and deprecations (api.md 3.3, 3.4; deltas.md 6).
 */
#include <inttypes.h>

#include "base/metrics.h"
#include "tests/unit/api/request_fixture.h"

#define JSON(detail) "An error occurred when deserializing the json body of a request: " detail "."
#define NO_MEMORY_FILE "missing field: either `mem_backend` or `mem_file_path` is required"
#define MACHINE "'vcpu_count': 1, 'mem_size_mib': 1"
#define FILE_BACKEND "'mem_backend': {'backend_path': 'b', 'backend_type': 'File'}"
#define IDS_DIFFER "The id from the path does not match the id from the body!"
#define NIC_IDS_DIFFER "The id from the path [a] does not match the id from the body [b]!"

static void test_api_request_parse__wrong_body__wrapped_sentence(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {PUT, "/logger", "", JSON("EOF while parsing a value at line 1 column 0")},
        {PUT, "/actions", "{}", JSON("missing field `action_type` at line 1 column 2")},
        {PATCH, "/drives/d", "{'drive_id': 'd', 'is_read_only': true}",
         JSON("unknown field `is_read_only`, expected one of `drive_id`, `path_on_host`, "
              "`rate_limiter` at line 1 column 32")},
        {PATCH, "/network-interfaces/e", "{'iface_id': 'e', 'mtu': 1}",
         JSON("unknown field `mtu`, expected one of `iface_id`, `rx_rate_limiter`, "
              "`tx_rate_limiter` at line 1 column 23")},
        {PATCH, "/machine-config", "{'vcpu_count': 300}",
         JSON("invalid value: integer `300`, expected u8 at line 1 column 18")},
        {PUT, "/snapshot/load", "{'snapshot_path': 's', 'mem_backend': {'backend_path': 'b'}}",
         JSON("missing field `backend_type` at line 1 column 59")},
        {PUT, "/snapshot/load", "{'snapshot_path': 's', 'mem_backend': {'backend_type': 'foo'}}",
         JSON("unknown variant `foo`, expected `File` or `Uffd` at line 1 column 60")},
        {PUT, "/snapshot/load", "{'mem_file_path': 'm'}",
         JSON("missing field `snapshot_path` at line 1 column 22")},
        {PUT, "/snapshot/load", "{'snapshot_path': 's'}", JSON(NO_MEMORY_FILE)},
        {PUT, "/snapshot/load", "{'snapshot_path': 's', 'mem_file_path': 'm', " FILE_BACKEND "}",
         JSON("too many fields: either `mem_backend` or `mem_file_path` exclusively is required")},
        {PUT, "/balloon", "{'amount_mib': 1}",
         JSON("missing field `deflate_on_oom` at line 1 column 17")},
        {PUT, "/entropy", "{'rate_limiter': 1}",
         JSON("invalid type: integer `1`, expected struct RateLimiterConfig at line 1 column 18")},
        {PUT, "/hotplug/memory", "{'x': 1}",
         JSON("unknown field `x`, expected one of `total_size_mib`, `block_size_mib`, "
              "`slot_size_mib` at line 1 column 4")},
        {PATCH, "/balloon/hinting/start", "{'acknowledge_on_stop': 1}",
         JSON("invalid type: integer `1`, expected a boolean at line 1 column 25")},
        {PUT, "/mmds", "{'a':", JSON("EOF while parsing a value at line 1 column 5")},
    };

    request_refused_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__larger_than_allowed__refused(void **state)
{
    (void)state;
    const struct http_request http = {
        .method = PUT, .path = "/logger", .body = "{   }", .body_len = 5};
    struct api_request request;
    struct err err = ERR_INIT;

    assert_int_equal(api_request_parse(&http, 4, &request, &err), -EINVAL);
    assert_int_equal(api_request_parse(&http, 5, &request, &err), 0);
    api_request_done(&request);
}

static void test_api_request_parse__nul_in_kernel_path__boot_source_error(void **state)
{
    (void)state;
    request_refused(&(struct refused){
        PUT, "/boot-source", "{'kernel_image_path': 'a\\u0000b'}",
        "Boot source error: The kernel file cannot be opened: file name contained an unexpected "
        "NUL byte"});
}

static void test_api_request_parse__empty_patch__refused(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {PATCH, "/machine-config", "{}", "Empty PATCH request."},
        {PATCH, "/machine-config", "{'smt': null, 'cpu_template': null}", "Empty PATCH request."},
    };

    request_refused_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__ids_differ__refused(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {PUT, "/drives/a", "{'drive_id': 'b', 'is_root_device': false}", IDS_DIFFER},
        {PUT, "/drives/a", "{'drive_id': 'ab', 'is_root_device': false}", IDS_DIFFER},
        {PUT, "/drives/ab", "{'drive_id': 'a', 'is_root_device': false}", IDS_DIFFER},
        {PATCH, "/drives/a", "{'drive_id': ''}", IDS_DIFFER},
        {PUT, "/pmem/a", "{'id': 'b', 'path_on_host': 'p'}", IDS_DIFFER},
        {PATCH, "/pmem/a", "{'id': 'b'}", IDS_DIFFER},
        {PUT, "/network-interfaces/a", "{'iface_id': 'b', 'host_dev_name': 't'}", NIC_IDS_DIFFER},
        {PATCH, "/network-interfaces/a/more", "{'iface_id': 'b'}", NIC_IDS_DIFFER},
    };

    request_refused_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__load__settled(void **state)
{
    (void)state;
    struct api_request request;

    request_taken(
        PUT, "/snapshot/load",
        "{'snapshot_path': 's', 'mem_backend': {'backend_path': 'b', 'backend_type': 'Uffd', "
        "'on_handler_exit': 'exit'}, "
        "'resume_vm': true, 'clock_realtime': true, 'huge_pages': '2M', 'network_overrides': "
        "[{'iface_id': 'e', 'host_dev_name': 't', 'x': 1}, {'iface_id': 'f', 'host_dev_name': "
        "'u'}], 'vsock_override': {'uds_path': 'v', 'x': 1}}",
        &request);
    const struct cfg_snapshot_load *load = &request.action.u.snapshot_load;
    assert_false(request.deprecated);
    assert_string_equal(load->snapshot_path, "s");
    assert_string_equal(load->mem_backend.backend_path, "b");
    assert_int_equal(load->mem_backend.backend_type, CFG_MEM_BACKEND_UFFD);
    assert_int_equal(load->mem_backend.on_handler_exit, CFG_HANDLER_EXIT_EXIT);
    assert_true(load->resume_vm && load->clock_realtime && !load->track_dirty_pages);
    assert_int_equal(load->huge_pages, CFG_LOAD_HUGE_PAGES_2M);
    assert_int_equal(load->network_overrides_count, 2);
    assert_string_equal(load->network_overrides[1].iface_id, "f");
    assert_string_equal(load->network_overrides[1].host_dev_name, "u");
    assert_string_equal(load->vsock_override.uds_path, "v");
    api_request_done(&request);
}

static void test_api_request_parse__load_with_more_overrides__all_members(void **state)
{
    (void)state;
    struct api_request request;
    request_taken(
        PUT, "/snapshot/load",
        "{'snapshot_path': 's', 'mem_file_path': 'm', 'network_overrides': [{'iface_id': 'e', "
        "'host_dev_name': 't'}, {'iface_id': 'f', 'host_dev_name': 'u', 'guest_mac': "
        "'06:00:00:00:00:07', 'tx_rate_limiter': {'ops': {'size': 5, 'refill_time': 6}}}], "
        "'drive_overrides': [{'drive_id': 'd'}, {'drive_id': 'e', 'path_on_host': 'p', 'force': "
        "true, 'rate_limiter': {'bandwidth': {'size': 8, 'refill_time': 9}}}]}",
        &request);
    const struct cfg_snapshot_load *load = &request.action.u.snapshot_load;
    assert_int_equal(load->network_overrides_count, 2);
    assert_false(load->network_overrides[0].has_guest_mac);
    assert_false(load->network_overrides[0].tx_rate_limiter.present);
    assert_true(load->network_overrides[1].has_guest_mac);
    assert_int_equal(load->network_overrides[1].guest_mac[5], 7);
    assert_false(load->network_overrides[1].rx_rate_limiter.present);
    assert_int_equal(load->network_overrides[1].tx_rate_limiter.ops.size, 5);
    assert_int_equal(load->drive_overrides_count, 2);
    assert_null(load->drive_overrides[0].path_on_host);
    assert_false(load->drive_overrides[0].force);
    assert_string_equal(load->drive_overrides[1].path_on_host, "p");
    assert_true(load->drive_overrides[1].force);
    assert_int_equal(load->drive_overrides[1].rate_limiter.bandwidth.size, 8);
    api_request_done(&request);
}

static void test_api_request_parse__deprecated_members__flag_and_counter(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path;
        const char *body;
        bool deprecated;
    } rows[] = {
        {PUT, "/machine-config", "{" MACHINE ", 'cpu_template': 'None'}", true},
        {PUT, "/machine-config", "{" MACHINE ", 'cpu_template': null}", false},
        {PUT, "/machine-config", "{'vcpu_count': 1, 'mem_size_mib': 1}", false},
        {PATCH, "/machine-config", "{'cpu_template': 'T2'}", true},
        {PATCH, "/machine-config", "{'smt': true, 'cpu_template': null}", false},
        {PUT, "/vsock", "{'guest_cid': 3, 'uds_path': 'v', 'vsock_id': 'i'}", true},
        {PUT, "/vsock", "{'guest_cid': 3, 'uds_path': 'v', 'vsock_id': null}", false},
        {PUT, "/mmds/config", "{'network_interfaces': []}", true},
        {PUT, "/mmds/config", "{'network_interfaces': [], 'version': 'V1'}", true},
        {PUT, "/mmds/config", "{'network_interfaces': [], 'version': 'V2'}", false},
        {PUT, "/snapshot/load", "{'snapshot_path': 's', 'mem_file_path': 'm'}", true},
        {PUT, "/snapshot/load",
         "{'snapshot_path': 's', 'enable_diff_snapshots': true, " FILE_BACKEND "}", true},
        {PUT, "/snapshot/load",
         "{'snapshot_path': 's', 'enable_diff_snapshots': false, " FILE_BACKEND "}", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_request request;
        uint64_t before = metric_get(&metrics.deprecated_api.deprecated_http_api_calls);
        request_taken(rows[i].method, rows[i].path, rows[i].body, &request);
        uint64_t counted = metric_get(&metrics.deprecated_api.deprecated_http_api_calls) - before;
        if (request.deprecated != rows[i].deprecated || counted != rows[i].deprecated)
            fail_msg(REQUEST_FMT ": %d, counted %" PRIu64 " times", REQUEST_ARGS(&rows[i]),
                     request.deprecated, counted);
        api_request_done(&request);
    }
}

static void test_api_request_parse__refused_body__is_not_deprecated(void **state)
{
    (void)state;
    uint64_t before = metric_get(&metrics.deprecated_api.deprecated_http_api_calls);

    request_refused(&(struct refused){PUT, "/snapshot/load",
                                      "{'snapshot_path': 's', 'enable_diff_snapshots': true}",
                                      JSON(NO_MEMORY_FILE)});
    assert_int_equal(metric_get(&metrics.deprecated_api.deprecated_http_api_calls), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_request_parse__wrong_body__wrapped_sentence),
        cmocka_unit_test(test_api_request_parse__larger_than_allowed__refused),
        cmocka_unit_test(test_api_request_parse__nul_in_kernel_path__boot_source_error),
        cmocka_unit_test(test_api_request_parse__empty_patch__refused),
        cmocka_unit_test(test_api_request_parse__ids_differ__refused),
        cmocka_unit_test(test_api_request_parse__load__settled),
        cmocka_unit_test(test_api_request_parse__load_with_more_overrides__all_members),
        cmocka_unit_test(test_api_request_parse__deprecated_members__flag_and_counter),
        cmocka_unit_test(test_api_request_parse__refused_body__is_not_deprecated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
