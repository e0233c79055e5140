/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/request.c, api/routes.c, api/id.c: which route a method, a path and a body take, what is
 * said when none fits, and what is counted (api.md 2, 7).
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/metrics.h"
#include "tests/unit/api/request_fixture.h"

#define EMPTY_ID "The ID cannot be empty."
#define BAD_ID "API Resource IDs can only contain alphanumeric characters and underscores."

#define IDS_DIFFER "The id from the path does not match the id from the body!"

#define ACTION(name) CTL_##name, 0
#define EXCLUDED(name) CTL_EXCLUDED, CTL_EXCLUDED_##name
#define GETS(name) &metrics.get_api_requests.name##_count, NULL
#define PUTS(name) &metrics.put_api_requests.name##_count, &metrics.put_api_requests.name##_fails
#define PATCHES(name)                                                                              \
    &metrics.patch_api_requests.name##_count, &metrics.patch_api_requests.name##_fails
#define UNKNOWN(what) "Invalid request method and/or path: " what "."

struct taken {
    enum http_method method;
    const char *path;
    const char *body;
    enum ctl_action_kind kind;
    enum ctl_excluded excluded; /* CTL_EXCLUDED */
    metric_t *count;            /* NULL: it is not counted */
    metric_t *fails;            /* NULL: no failures are counted */
};

static void take_all(const struct taken *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct api_request request;
        request_taken(rows[i].method, rows[i].path, rows[i].body, &request);
        const struct ctl_action *action = &request.action;
        if (action->kind != rows[i].kind || request.answer != API_ANSWER_CTL)
            fail_msg(REQUEST_FMT ": kind %d", REQUEST_ARGS(&rows[i]), (int)action->kind);
        if (action->kind == CTL_EXCLUDED && action->u.excluded != rows[i].excluded)
            fail_msg(REQUEST_FMT ": device %d", REQUEST_ARGS(&rows[i]), (int)action->u.excluded);
        api_request_done(&request);
    }
}

/* What the request becomes, and its counters if it has any. */
static const struct taken actions[] = {
    {GET, "/vm/config", NULL, ACTION(VM_CONFIG_GET)},
    {GET, "/machine-config", NULL, ACTION(MACHINE_CONFIG_GET), GETS(machine_cfg)},
    {GET, "/mmds", NULL, ACTION(MMDS_GET), GETS(mmds)},
    {PUT, "/actions", "{'action_type': 'FlushMetrics'}", ACTION(METRICS_FLUSH), PUTS(actions)},
    {PUT, "/actions", "{'action_type': 'InstanceStart'}", ACTION(INSTANCE_START), PUTS(actions)},
    {PUT, "/actions", "{'action_type': 'SendCtrlAltDel'}", ACTION(CTRL_ALT_DEL), PUTS(actions)},
    {PUT, "/boot-source", "{'kernel_image_path': 'k'}", ACTION(BOOT_SOURCE_PUT), PUTS(boot_source)},
    {PUT, "/cpu-config", "{}", ACTION(CPU_CONFIG_PUT), PUTS(cpu_cfg)},
    {PUT, "/drives/d", "{'drive_id': 'd', 'is_root_device': true}", ACTION(DRIVE_PUT), PUTS(drive)},
    {PUT, "/logger", "{}", ACTION(LOGGER_PUT), PUTS(logger)},
    {PUT, "/machine-config", "{'vcpu_count': 1, 'mem_size_mib': 128}", ACTION(MACHINE_CONFIG_PUT),
     PUTS(machine_cfg)},
    {PUT, "/metrics", "{'metrics_path': 'm'}", ACTION(METRICS_PUT), PUTS(metrics)},
    {PUT, "/mmds", "[1]", ACTION(MMDS_PUT), PUTS(mmds)},
    {PUT, "/mmds", "1", ACTION(MMDS_PUT), PUTS(mmds)},
    {PUT, "/mmds/config", "{'network_interfaces': ['e']}", ACTION(MMDS_CONFIG_PUT), PUTS(mmds)},
    {PUT, "/network-interfaces/e", "{'iface_id': 'e', 'host_dev_name': 't'}", ACTION(NIC_PUT),
     PUTS(network)},
    {PUT, "/serial", "{'serial_out_path': 's'}", ACTION(SERIAL_PUT), PUTS(serial)},
    {PUT, "/serial", "{}", ACTION(SERIAL_PUT), PUTS(serial)},
    {PUT, "/snapshot/create", "{'snapshot_path': 's', 'mem_file_path': 'm'}",
     ACTION(SNAPSHOT_CREATE)},
    {PUT, "/snapshot/load", "{'snapshot_path': 's', 'mem_file_path': 'm'}", ACTION(SNAPSHOT_LOAD)},
    {PUT, "/vsock", "{'guest_cid': 3, 'uds_path': 'v'}", ACTION(VSOCK_PUT), PUTS(vsock)},
    {PATCH, "/drives/d", "{'drive_id': 'd', 'path_on_host': 'p'}", ACTION(DRIVE_PATCH),
     PATCHES(drive)},
    {PATCH, "/drives/d", "{'drive_id': 'd'}", ACTION(DRIVE_PATCH), PATCHES(drive)},
    {PATCH, "/machine-config", "{'smt': true}", ACTION(MACHINE_CONFIG_PATCH), PATCHES(machine_cfg)},
    {PATCH, "/mmds", "{}", ACTION(MMDS_PATCH), PATCHES(mmds)},
    {PATCH, "/mmds", "1", ACTION(MMDS_PATCH), PATCHES(mmds)},
    {PATCH, "/network-interfaces/e", "{'iface_id': 'e'}", ACTION(NIC_PATCH), PATCHES(network)},
    {PATCH, "/vm", "{'state': 'Paused'}", ACTION(PAUSE)},
    {PATCH, "/vm", "{'state': 'Resumed'}", ACTION(RESUME)},
    {DELETE, "/drives/d", NULL, ACTION(DEVICE_DELETE)},
    {DELETE, "/network-interfaces/e", NULL, ACTION(DEVICE_DELETE)},
    {DELETE, "/pmem/p", NULL, ACTION(DEVICE_DELETE)},
};

static const struct taken excluded_devices[] = {
    {PUT, "/balloon", "{'amount_mib': 1, 'deflate_on_oom': true}", EXCLUDED(BALLOON_PUT)},
    {GET, "/balloon", NULL, EXCLUDED(BALLOON_GET)},
    {PATCH, "/balloon", "{'amount_mib': 1}", EXCLUDED(BALLOON_PATCH)},
    {PATCH, "/balloon/other", "{'amount_mib': 1}", EXCLUDED(BALLOON_PATCH)},
    {GET, "/balloon/statistics", NULL, EXCLUDED(BALLOON_STATS_GET)},
    {PATCH, "/balloon/statistics", "{'stats_polling_interval_s': 1}",
     EXCLUDED(BALLOON_STATS_PATCH)},
    {GET, "/balloon/hinting/status", NULL, EXCLUDED(BALLOON_HINTING_GET)},
    {PATCH, "/balloon/hinting/start", NULL, EXCLUDED(BALLOON_HINTING_PATCH)},
    {PATCH, "/balloon/hinting/start", "{'acknowledge_on_stop': false, 'more': 1}",
     EXCLUDED(BALLOON_HINTING_PATCH)},
    {PATCH, "/balloon/hinting/stop", NULL, EXCLUDED(BALLOON_HINTING_PATCH)},
    {PATCH, "/balloon/hinting/stop", "no json", EXCLUDED(BALLOON_HINTING_PATCH)},
    {PUT, "/entropy", "{}", EXCLUDED(ENTROPY_PUT)},
    {PUT, "/pmem/p", "{'id': 'p', 'path_on_host': 'f'}", EXCLUDED(PMEM_PUT), PUTS(pmem)},
    {PATCH, "/pmem/p", "{'id': 'p'}", EXCLUDED(PMEM_PATCH), PATCHES(pmem)},
    {PUT, "/hotplug/memory", "{'total_size_mib': 1024}", EXCLUDED(HOTPLUG_PUT),
     PUTS(hotplug_memory)},
    {GET, "/hotplug/memory", NULL, EXCLUDED(HOTPLUG_GET), GETS(hotplug_memory)},
    {PATCH, "/hotplug/memory", "{'requested_size_mib': 1}", EXCLUDED(HOTPLUG_PATCH),
     PATCHES(hotplug_memory)},
};

static void test_api_request_parse__every_route__its_action(void **state)
{
    (void)state;
    take_all(actions, ARRAY_LEN(actions));
}

static void test_api_request_parse__excluded_devices__which(void **state)
{
    (void)state;
    take_all(excluded_devices, ARRAY_LEN(excluded_devices));
}

static void test_api_request_parse__info_and_version__counted_and_no_action(void **state)
{
    (void)state;
    struct metrics_get_api_requests *gets = &metrics.get_api_requests;
    const struct {
        const char *path;
        enum api_answer answer;
        metric_t *count;
    } rows[] = {
        {"/", API_ANSWER_INFO, &gets->instance_info_count},
        {"", API_ANSWER_INFO, &gets->instance_info_count},
        {"//", API_ANSWER_INFO, &gets->instance_info_count},
        {"/version", API_ANSWER_VERSION, &gets->vmm_version_count},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_request request;
        uint64_t before = metric_get(rows[i].count);
        request_taken(GET, rows[i].path, NULL, &request);
        assert_int_equal(request.answer, rows[i].answer);
        assert_int_equal(metric_get(rows[i].count), before + 1);
        api_request_done(&request);
    }
}

static void count_all(const struct taken *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct taken *row = &rows[i];
        struct api_request request;
        if (!row->count)
            continue;
        uint64_t counted = metric_get(row->count);
        uint64_t failed = row->fails ? metric_get(row->fails) : 0;
        request_taken(row->method, row->path, row->body, &request);
        api_request_done(&request);
        if (metric_get(row->count) != counted + 1)
            fail_msg(REQUEST_FMT ": not counted once", REQUEST_ARGS(row));
        if (!row->fails)
            continue;
        if (metric_get(row->fails) != failed)
            fail_msg(REQUEST_FMT ": counted as failed", REQUEST_ARGS(row));
        assert_int_equal(request_parse(row->method, row->path, "{", &request, NULL), -EINVAL);
        if (metric_get(row->count) != counted + 2 || metric_get(row->fails) != failed + 1)
            fail_msg(REQUEST_FMT ": not counted as failed with a body that is no JSON",
                     REQUEST_ARGS(row));
    }
}

static void test_api_request_parse__every_counter__requests_and_failures(void **state)
{
    (void)state;
    count_all(actions, ARRAY_LEN(actions));
    count_all(excluded_devices, ARRAY_LEN(excluded_devices));
}

static void test_api_request_parse__slashes_and_surplus__do_not_count(void **state)
{
    (void)state;
    static const struct taken rows[] = {
        {GET, "vm/config", NULL, ACTION(VM_CONFIG_GET)},
        {GET, "///vm/config", NULL, ACTION(VM_CONFIG_GET)},
        {GET, "/vm/config/x/y", NULL, ACTION(VM_CONFIG_GET)},
        {GET, "/machine-config/", NULL, ACTION(MACHINE_CONFIG_GET)},
        {GET, "/machine-config//", NULL, ACTION(MACHINE_CONFIG_GET)},
        {GET, "/mmds/whatever", NULL, ACTION(MMDS_GET)},
        {PUT, "/machine-config/anything", "{'vcpu_count': 1, 'mem_size_mib': 128}",
         ACTION(MACHINE_CONFIG_PUT)},
        {PUT, "/mmds/", "{}", ACTION(MMDS_PUT)},
        {PUT, "/snapshot/create/x", "{'snapshot_path': 's', 'mem_file_path': 'm'}",
         ACTION(SNAPSHOT_CREATE)},
        {PATCH, "/vm/x", "{'state': 'Paused'}", ACTION(PAUSE)},
        {DELETE, "/drives/d/x", NULL, ACTION(DEVICE_DELETE)},
    };

    take_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__body_too_many_or_few__said_before_the_path(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {GET, "/", "x", "GET request cannot have a body."},
        {GET, "/version", "{}", "GET request cannot have a body."},
        {GET, "/vm", "{}", "GET request cannot have a body."},
        {GET, "/nothing", "{}", "GET request cannot have a body."},
        {GET, "/balloon/foo", "{}", "GET request cannot have a body."},
        {PUT, "/", NULL, "Empty PUT request."},
        {PUT, "/nothing", NULL, "Empty PUT request."},
        {PUT, "/drives", NULL, "Empty PUT request."},
        {PUT, "/drives/a-b", NULL, "Empty PUT request."},
        {PUT, "/snapshot", NULL, "Empty PUT request."},
        {PUT, "/snapshot/foo", NULL, "Empty PUT request."},
        {PUT, "/mmds/foo", NULL, "Empty PUT request."},
        {PATCH, "/nothing", NULL, "Empty PATCH request."},
        {PATCH, "/drives", NULL, "Empty PATCH request."},
        {PATCH, "/balloon", NULL, "Empty PATCH request."},
        {PATCH, "/balloon/statistics", NULL, "Empty PATCH request."},
        {PATCH, "/hotplug/memory", NULL, "Empty PATCH request."},
        {DELETE, "/nothing", "x", "Empty Delete request."},
        {DELETE, "/drives/d", "{}", "Empty Delete request."},
        {DELETE, "/drives", "{}", "Empty Delete request."},
    };

    request_refused_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__unknown_path__names_the_first_piece(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {GET, "/foo/bar", NULL, UNKNOWN("GET foo")},
        {GET, "/vm", NULL, UNKNOWN("GET vm")},
        {GET, "/vm/", NULL, UNKNOWN("GET vm")},
        {GET, "/vm//config", NULL, UNKNOWN("GET vm")},
        {GET, "/vm/configx", NULL, UNKNOWN("GET vm")},
        {GET, "/vm/conf", NULL, UNKNOWN("GET vm")},
        {GET, "/version?x=1", NULL, UNKNOWN("GET version?x=1")},
        {GET, "/hotplug", NULL, UNKNOWN("GET hotplug")},
        {GET, "/drives/d", NULL, UNKNOWN("GET drives")},
        {PUT, "/", "{}", UNKNOWN("PUT ")},
        {PUT, "/version", "{}", UNKNOWN("PUT version")},
        {PUT, "/vm", "{}", UNKNOWN("PUT vm")},
        {PUT, "/hotplug/cpu", "{}", UNKNOWN("PUT hotplug")},
        {PATCH, "/boot-source", "{}", UNKNOWN("PATCH boot-source")},
        {PATCH, "/hotplug", "{}", UNKNOWN("PATCH hotplug")},
        {DELETE, "/", NULL, UNKNOWN("DELETE ")},
        {DELETE, "/vsock", NULL, UNKNOWN("DELETE vsock")},
    };

    request_refused_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__paths_with_a_sentence__say_it(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {PUT, "/snapshot", "x", "Missing snapshot operation type."},
        {PUT, "/snapshot/", "x", "Missing snapshot operation type."},
        {PUT, "/snapshot/foo", "x", UNKNOWN("PUT /snapshot/foo")},
        {PUT, "/snapshot//", "x", UNKNOWN("PUT /snapshot/")},
        {PUT, "/mmds/foo", "x", "Unrecognized PUT request path `foo`."},
        {PUT, "/mmds//config", "x", "Unrecognized PUT request path ``."},
        {GET, "/balloon/foo", NULL, "Unrecognized GET request path `foo`."},
        {GET, "/balloon/hinting", NULL, "Unrecognized GET request path `/hinting/`."},
        {GET, "/balloon/hinting/x", NULL, "Unrecognized GET request path `/hinting/x`."},
        {PATCH, "/balloon/hinting", NULL, "Unrecognized PATCH request path `/hinting/`."},
        {PATCH, "/balloon/hinting/x", "{}", "Unrecognized PATCH request path `/hinting/x`."},
    };

    request_refused_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__bad_id__said_before_the_body(void **state)
{
    (void)state;
    static const char *const firsts[] = {"drives", "network-interfaces", "pmem"};
    static const struct {
        const char *behind;
        const char *sentence;
    } ids[] = {
        {"", EMPTY_ID},
        {"/", EMPTY_ID},
        {"//", EMPTY_ID},
        {"//d", EMPTY_ID},
        {"/a-b", BAD_ID},
        {"/a.b", BAD_ID},
        {"/..", BAD_ID},
        {"/%41", BAD_ID},
        {"/a b", BAD_ID},
        {"/d?x=1", BAD_ID},
        {"/\xe2\x82\xac", BAD_ID}, /* the euro sign */
        {"/\xc3\x97", BAD_ID},     /* a multiplication sign, between letters */
        {"/\xc3", BAD_ID},         /* cut in a character */
        {"/\xed\xa0\x80", BAD_ID}, /* a surrogate */
        {"/\xc1\x81", BAD_ID},     /* a letter, spelled too long */
        {"/\xf4\x90\x80\x80", BAD_ID},
        {"/\xff", BAD_ID},
    };

    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
            char path[64];
            (void)snprintf(path, sizeof(path), "/%s%s", firsts[i], ids[k].behind);
            request_refused(&(struct refused){PUT, path, "no json", ids[k].sentence});
            request_refused(&(struct refused){PATCH, path, "no json", ids[k].sentence});
            request_refused(&(struct refused){DELETE, path, NULL, ids[k].sentence});
        }
    }
}

static void test_api_request_parse__letters_and_digits_of_any_script__are_ids(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "_",
        "rootfs_1",
        "0123456789",
        "ABCXYZabcxyz",
        "\xc3\xa9",                     /* e with acute: a letter */
        "\xd0\x96\xce\xa9",             /* Cyrillic and Greek */
        "\xe6\xbc\xa2\xe5\xad\x97",     /* Han */
        "\xd9\xa3\xe2\x85\xa7\xc2\xbd", /* an Arabic digit, a Roman numeral, a half */
        "\xf0\x9d\x94\xb8",             /* beyond 16 bits */
    };

    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct api_request request;
        char path[64];
        (void)snprintf(path, sizeof(path), "/drives/%s", ids[i]);
        request_taken(DELETE, path, NULL, &request);
        api_request_done(&request);
    }
}

static void test_api_request_parse__bad_ids_and_paths__count_as_failures(void **state)
{
    (void)state;
    static const struct {
        struct refused request;
        metric_t *count;
        metric_t *fails;
        uint64_t counted; /* what each grows by */
    } rows[] = {
        {{PUT, "/drives", "{}", "The ID cannot be empty."}, PUTS(drive), 1},
        {{PUT, "/drives/a", "{'drive_id': 'b', 'is_root_device': false}", IDS_DIFFER},
         PUTS(drive),
         1},
        {{PUT, "/mmds/foo", "{}", "Unrecognized PUT request path `foo`."}, PUTS(mmds), 1},
        /* What has no route is not counted. */
        {{PUT, "/drives/a", NULL, "Empty PUT request."}, PUTS(drive), 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t count = metric_get(rows[i].count) + rows[i].counted;
        uint64_t fails = metric_get(rows[i].fails) + rows[i].counted;
        request_refused(&rows[i].request);
        if (metric_get(rows[i].count) != count || metric_get(rows[i].fails) != fails)
            fail_msg(REQUEST_FMT ": not counted %" PRIu64 " times", REQUEST_ARGS(&rows[i].request),
                     rows[i].counted);
    }
}

static void test_api_request_parse__no_err__same_code(void **state)
{
    (void)state;
    struct api_request request;

    assert_int_equal(request_parse(GET, "/foo", NULL, &request, NULL), -EINVAL);
    assert_int_equal(request_parse(PUT, "/logger", "{", &request, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_request_parse__every_route__its_action),
        cmocka_unit_test(test_api_request_parse__info_and_version__counted_and_no_action),
        cmocka_unit_test(test_api_request_parse__excluded_devices__which),
        cmocka_unit_test(test_api_request_parse__slashes_and_surplus__do_not_count),
        cmocka_unit_test(test_api_request_parse__body_too_many_or_few__said_before_the_path),
        cmocka_unit_test(test_api_request_parse__unknown_path__names_the_first_piece),
        cmocka_unit_test(test_api_request_parse__paths_with_a_sentence__say_it),
        cmocka_unit_test(test_api_request_parse__bad_id__said_before_the_body),
        cmocka_unit_test(test_api_request_parse__letters_and_digits_of_any_script__are_ids),
        cmocka_unit_test(test_api_request_parse__every_counter__requests_and_failures),
        cmocka_unit_test(test_api_request_parse__bad_ids_and_paths__count_as_failures),
        cmocka_unit_test(test_api_request_parse__no_err__same_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
