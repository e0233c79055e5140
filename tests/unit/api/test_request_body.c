/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/request.c, api/routes.c: bodies: what they become, the sentence about those that are wrong,
 * ids that differ, deprecations, and the counters (api.md 3.3, 3.4, 7; deltas.md 6).
 */
#include <stdlib.h>

#include "base/metrics.h"
#include "tests/unit/api/request_fixture.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PATCH HTTP_METHOD_PATCH

#define JSON_ERROR(detail)                                                                         \
    "An error occurred when deserializing the json body of a request: " detail "."

static void test_api_request_parse__wrong_body__wrapped_sentence(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path;
        const char *body;
        const char *sentence;
    } rows[] = {
        {PUT, "/logger", "", JSON_ERROR("EOF while parsing a value at line 1 column 0")},
        {PUT, "/actions", "{}", JSON_ERROR("missing field `action_type` at line 1 column 2")},
        {PATCH, "/drives/d", "{\"drive_id\": \"d\", \"is_read_only\": true}",
         JSON_ERROR("unknown field `is_read_only`, expected one of `drive_id`, `path_on_host`, "
                    "`rate_limiter` at line 1 column 32")},
        {PATCH, "/network-interfaces/e", "{\"iface_id\": \"e\", \"mtu\": 1}",
         JSON_ERROR("unknown field `mtu`, expected one of `iface_id`, `rx_rate_limiter`, "
                    "`tx_rate_limiter` at line 1 column 23")},
        {PATCH, "/machine-config", "{\"vcpu_count\": 300}",
         JSON_ERROR("invalid value: integer `300`, expected u8 at line 1 column 18")},
        {PUT, "/snapshot/load",
         "{\"snapshot_path\": \"s\", \"mem_backend\": {\"backend_path\": \"b\"}}",
         JSON_ERROR("missing field `backend_type` at line 1 column 59")},
        {PUT, "/snapshot/load",
         "{\"snapshot_path\": \"s\", \"mem_backend\": {\"backend_type\": \"foo\"}}",
         JSON_ERROR("unknown variant `foo`, expected `File` or `Uffd` at line 1 column 60")},
        {PUT, "/snapshot/load", "{\"mem_file_path\": \"m\"}",
         JSON_ERROR("missing field `snapshot_path` at line 1 column 22")},
        {PUT, "/snapshot/load", "{\"snapshot_path\": \"s\"}",
         JSON_ERROR("missing field: either `mem_backend` or `mem_file_path` is required")},
        {PUT, "/snapshot/load",
         "{\"snapshot_path\": \"s\", \"mem_file_path\": \"m\", \"mem_backend\": {\"backend_path\": "
         "\"b\", \"backend_type\": \"File\"}}",
         JSON_ERROR("too many fields: either `mem_backend` or `mem_file_path` exclusively is "
                    "required")},
        {PUT, "/balloon", "{\"amount_mib\": 1}",
         JSON_ERROR("missing field `deflate_on_oom` at line 1 column 17")},
        {PUT, "/entropy", "{\"rate_limiter\": 1}",
         JSON_ERROR("invalid type: integer `1`, expected struct RateLimiterConfig at line 1 column "
                    "18")},
        {PUT, "/hotplug/memory", "{\"x\": 1}",
         JSON_ERROR("unknown field `x`, expected one of `total_size_mib`, `block_size_mib`, "
                    "`slot_size_mib` at line 1 column 4")},
        {PATCH, "/balloon/hinting/start", "{\"acknowledge_on_stop\": 1}",
         JSON_ERROR("invalid type: integer `1`, expected a boolean at line 1 column 25")},
        {PUT, "/mmds", "{\"a\":", JSON_ERROR("EOF while parsing a value at line 1 column 5")},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        request_refused(rows[i].method, rows[i].path, rows[i].body, rows[i].sentence);
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
    request_refused(PUT, "/boot-source", "{\"kernel_image_path\": \"a\\u0000b\"}",
                    "Boot source error: The kernel file cannot be opened: file name contained an "
                    "unexpected NUL byte");
}

static void test_api_request_parse__empty_patch__refused(void **state)
{
    (void)state;
    request_refused(PATCH, "/machine-config", "{}", "Empty PATCH request.");
    request_refused(PATCH, "/machine-config", "{\"smt\": null, \"cpu_template\": null}",
                    "Empty PATCH request.");
}

static void test_api_request_parse__ids_differ__refused(void **state)
{
    (void)state;
    static const char drives[] = "The id from the path does not match the id from the body!";

    request_refused(PUT, "/drives/a", "{\"drive_id\": \"b\", \"is_root_device\": false}", drives);
    request_refused(PUT, "/drives/a", "{\"drive_id\": \"ab\", \"is_root_device\": false}", drives);
    request_refused(PUT, "/drives/ab", "{\"drive_id\": \"a\", \"is_root_device\": false}", drives);
    request_refused(PATCH, "/drives/a", "{\"drive_id\": \"\"}", drives);
    request_refused(PUT, "/pmem/a", "{\"id\": \"b\", \"path_on_host\": \"p\"}", drives);
    request_refused(PATCH, "/pmem/a", "{\"id\": \"b\"}", drives);
    request_refused(PUT, "/network-interfaces/a", "{\"iface_id\": \"b\", \"host_dev_name\": \"t\"}",
                    "The id from the path [a] does not match the id from the body [b]!");
    request_refused(PATCH, "/network-interfaces/a/more", "{\"iface_id\": \"b\"}",
                    "The id from the path [a] does not match the id from the body [b]!");
}

static void test_api_request_parse__load__settled(void **state)
{
    (void)state;
    struct api_request request;

    request_taken(PUT, "/snapshot/load",
                  "{\"snapshot_path\": \"s\", \"mem_backend\": {\"backend_path\": \"b\", "
                  "\"backend_type\": \"Uffd\"}, \"resume_vm\": true, \"clock_realtime\": true, "
                  "\"huge_pages\": \"2M\", \"network_overrides\": [{\"iface_id\": \"e\", "
                  "\"host_dev_name\": \"t\", \"x\": 1}, {\"iface_id\": \"f\", \"host_dev_name\": "
                  "\"u\"}], \"vsock_override\": {\"uds_path\": \"v\", \"x\": 1}}",
                  &request);
    const struct cfg_snapshot_load *load = &request.action.u.snapshot_load;
    assert_false(request.deprecated);
    assert_string_equal(load->snapshot_path, "s");
    assert_string_equal(load->mem_backend.backend_path, "b");
    assert_int_equal(load->mem_backend.backend_type, CFG_MEM_BACKEND_UFFD);
    assert_true(load->resume_vm && load->clock_realtime && !load->track_dirty_pages);
    assert_int_equal(load->huge_pages, CFG_LOAD_HUGE_PAGES_2M);
    assert_int_equal(load->network_overrides_count, 2);
    assert_string_equal(load->network_overrides[1].iface_id, "f");
    assert_string_equal(load->network_overrides[1].host_dev_name, "u");
    assert_string_equal(load->vsock_override.uds_path, "v");
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
        {PUT, "/machine-config",
         "{\"vcpu_count\": 1, \"mem_size_mib\": 1, \"cpu_template\": \"None\"}", true},
        {PUT, "/machine-config", "{\"vcpu_count\": 1, \"mem_size_mib\": 1, \"cpu_template\": null}",
         false},
        {PUT, "/machine-config", "{\"vcpu_count\": 1, \"mem_size_mib\": 1}", false},
        {PATCH, "/machine-config", "{\"cpu_template\": \"T2\"}", true},
        {PATCH, "/machine-config", "{\"smt\": true, \"cpu_template\": null}", false},
        {PUT, "/vsock", "{\"guest_cid\": 3, \"uds_path\": \"v\", \"vsock_id\": \"i\"}", true},
        {PUT, "/vsock", "{\"guest_cid\": 3, \"uds_path\": \"v\", \"vsock_id\": null}", false},
        {PUT, "/mmds/config", "{\"network_interfaces\": []}", true},
        {PUT, "/mmds/config", "{\"network_interfaces\": [], \"version\": \"V1\"}", true},
        {PUT, "/mmds/config", "{\"network_interfaces\": [], \"version\": \"V2\"}", false},
        {PUT, "/snapshot/load", "{\"snapshot_path\": \"s\", \"mem_file_path\": \"m\"}", true},
        {PUT, "/snapshot/load",
         "{\"snapshot_path\": \"s\", \"enable_diff_snapshots\": true, \"mem_backend\": "
         "{\"backend_path\": \"b\", \"backend_type\": \"File\"}}",
         true},
        {PUT, "/snapshot/load",
         "{\"snapshot_path\": \"s\", \"enable_diff_snapshots\": false, \"mem_backend\": "
         "{\"backend_path\": \"b\", \"backend_type\": \"File\"}}",
         false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_request request;
        uint64_t before = metric_get(&metrics.deprecated_api.deprecated_http_api_calls);
        request_taken(rows[i].method, rows[i].path, rows[i].body, &request);
        assert_int_equal(request.deprecated, rows[i].deprecated);
        assert_int_equal(metric_get(&metrics.deprecated_api.deprecated_http_api_calls) - before,
                         rows[i].deprecated);
        api_request_done(&request);
    }
}

static void test_api_request_parse__refused_body__is_not_deprecated(void **state)
{
    (void)state;
    uint64_t before = metric_get(&metrics.deprecated_api.deprecated_http_api_calls);

    request_refused(
        PUT, "/snapshot/load", "{\"snapshot_path\": \"s\", \"enable_diff_snapshots\": true}",
        JSON_ERROR("missing field: either `mem_backend` or `mem_file_path` is required"));
    assert_int_equal(metric_get(&metrics.deprecated_api.deprecated_http_api_calls), before);
}

#define PUTS(name) &metrics.put_api_requests.name##_count, &metrics.put_api_requests.name##_fails
#define PATCHES(name)                                                                              \
    &metrics.patch_api_requests.name##_count, &metrics.patch_api_requests.name##_fails

static void test_api_request_parse__every_counter__requests_and_failures(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path;
        const char *good;
        metric_t *count;
        metric_t *fails;
    } rows[] = {
        {GET, "/", NULL, &metrics.get_api_requests.instance_info_count, NULL},
        {GET, "/version", NULL, &metrics.get_api_requests.vmm_version_count, NULL},
        {GET, "/machine-config", NULL, &metrics.get_api_requests.machine_cfg_count, NULL},
        {GET, "/mmds", NULL, &metrics.get_api_requests.mmds_count, NULL},
        {GET, "/hotplug/memory", NULL, &metrics.get_api_requests.hotplug_memory_count, NULL},
        {PUT, "/actions", "{\"action_type\": \"InstanceStart\"}", PUTS(actions)},
        {PUT, "/boot-source", "{\"kernel_image_path\": \"k\"}", PUTS(boot_source)},
        {PUT, "/drives/d", "{\"drive_id\": \"d\", \"is_root_device\": true}", PUTS(drive)},
        {PUT, "/logger", "{}", PUTS(logger)},
        {PUT, "/machine-config", "{\"vcpu_count\": 1, \"mem_size_mib\": 1}", PUTS(machine_cfg)},
        {PUT, "/cpu-config", "{}", PUTS(cpu_cfg)},
        {PUT, "/metrics", "{\"metrics_path\": \"m\"}", PUTS(metrics)},
        {PUT, "/network-interfaces/e", "{\"iface_id\": \"e\", \"host_dev_name\": \"t\"}",
         PUTS(network)},
        {PUT, "/mmds", "1", PUTS(mmds)},
        {PUT, "/mmds/config", "{\"network_interfaces\": []}", PUTS(mmds)},
        {PUT, "/vsock", "{\"guest_cid\": 3, \"uds_path\": \"v\"}", PUTS(vsock)},
        {PUT, "/pmem/p", "{\"id\": \"p\", \"path_on_host\": \"f\"}", PUTS(pmem)},
        {PUT, "/serial", "{}", PUTS(serial)},
        {PUT, "/hotplug/memory", "{\"total_size_mib\": 1}", PUTS(hotplug_memory)},
        {PATCH, "/drives/d", "{\"drive_id\": \"d\"}", PATCHES(drive)},
        {PATCH, "/network-interfaces/e", "{\"iface_id\": \"e\"}", PATCHES(network)},
        {PATCH, "/machine-config", "{\"smt\": true}", PATCHES(machine_cfg)},
        {PATCH, "/mmds", "1", PATCHES(mmds)},
        {PATCH, "/hotplug/memory", "{\"requested_size_mib\": 1}", PATCHES(hotplug_memory)},
        {PATCH, "/pmem/p", "{\"id\": \"p\"}", PATCHES(pmem)},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_request request;
        uint64_t count = metric_get(rows[i].count);
        uint64_t fails = rows[i].fails ? metric_get(rows[i].fails) : 0;
        request_taken(rows[i].method, rows[i].path, rows[i].good, &request);
        api_request_done(&request);
        assert_int_equal(metric_get(rows[i].count), count + 1);
        if (!rows[i].fails)
            continue;
        assert_int_equal(metric_get(rows[i].fails), fails);
        assert_int_equal(request_parse(rows[i].method, rows[i].path, "{", &request, NULL), -EINVAL);
        assert_int_equal(metric_get(rows[i].count), count + 2);
        assert_int_equal(metric_get(rows[i].fails), fails + 1);
    }
}

static void test_api_request_parse__bad_ids_and_paths__count_as_failures(void **state)
{
    (void)state;
    uint64_t drive_fails = metric_get(&metrics.put_api_requests.drive_fails);
    uint64_t mmds_fails = metric_get(&metrics.put_api_requests.mmds_fails);
    uint64_t drive_count = metric_get(&metrics.put_api_requests.drive_count);

    request_refused(PUT, "/drives", "{}", "The ID cannot be empty.");
    request_refused(PUT, "/drives/a", "{\"drive_id\": \"b\", \"is_root_device\": false}",
                    "The id from the path does not match the id from the body!");
    request_refused(PUT, "/mmds/foo", "{}", "Unrecognized PUT request path `foo`.");
    assert_int_equal(metric_get(&metrics.put_api_requests.drive_count), drive_count + 2);
    assert_int_equal(metric_get(&metrics.put_api_requests.drive_fails), drive_fails + 2);
    assert_int_equal(metric_get(&metrics.put_api_requests.mmds_fails), mmds_fails + 1);
    /* What has no route is not counted. */
    request_refused(PUT, "/drives/a", NULL, "Empty PUT request.");
    assert_int_equal(metric_get(&metrics.put_api_requests.drive_count), drive_count + 2);
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
        cmocka_unit_test(test_api_request_parse__deprecated_members__flag_and_counter),
        cmocka_unit_test(test_api_request_parse__refused_body__is_not_deprecated),
        cmocka_unit_test(test_api_request_parse__every_counter__requests_and_failures),
        cmocka_unit_test(test_api_request_parse__bad_ids_and_paths__count_as_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
