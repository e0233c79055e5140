/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/request.c, api/routes.c, api/id.c: which route a method, a path and a body take, and what is
 * said when none fits (api.md 2).
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/api/request_fixture.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PATCH HTTP_METHOD_PATCH
#define DELETE HTTP_METHOD_DELETE

#define EMPTY_ID "The ID cannot be empty."
#define BAD_ID "API Resource IDs can only contain alphanumeric characters and underscores."

struct taken {
    enum http_method method;
    const char *path;
    const char *body;
    enum ctl_action_kind kind;
};

static void take_all(const struct taken *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct api_request request;
        request_taken(rows[i].method, rows[i].path, rows[i].body, &request);
        if (request.action.kind != rows[i].kind || request.is_version)
            fail_msg("%s became kind %d", rows[i].path, (int)request.action.kind);
        api_request_done(&request);
    }
}

static void test_api_request_parse__every_route__its_action(void **state)
{
    (void)state;
    static const struct taken rows[] = {
        {GET, "/", NULL, CTL_INFO_GET},
        {GET, "/vm/config", NULL, CTL_VM_CONFIG_GET},
        {GET, "/machine-config", NULL, CTL_MACHINE_CONFIG_GET},
        {GET, "/mmds", NULL, CTL_MMDS_GET},
        {PUT, "/actions", "{\"action_type\": \"FlushMetrics\"}", CTL_METRICS_FLUSH},
        {PUT, "/actions", "{\"action_type\": \"InstanceStart\"}", CTL_INSTANCE_START},
        {PUT, "/actions", "{\"action_type\": \"SendCtrlAltDel\"}", CTL_CTRL_ALT_DEL},
        {PUT, "/boot-source", "{\"kernel_image_path\": \"k\"}", CTL_BOOT_SOURCE_PUT},
        {PUT, "/cpu-config", "{}", CTL_CPU_CONFIG_PUT},
        {PUT, "/drives/d", "{\"drive_id\": \"d\", \"is_root_device\": true}", CTL_DRIVE_PUT},
        {PUT, "/logger", "{}", CTL_LOGGER_PUT},
        {PUT, "/machine-config", "{\"vcpu_count\": 1, \"mem_size_mib\": 128}",
         CTL_MACHINE_CONFIG_PUT},
        {PUT, "/metrics", "{\"metrics_path\": \"m\"}", CTL_METRICS_PUT},
        {PUT, "/mmds", "[1]", CTL_MMDS_PUT},
        {PUT, "/mmds/config", "{\"network_interfaces\": [\"e\"]}", CTL_MMDS_CONFIG_PUT},
        {PUT, "/network-interfaces/e", "{\"iface_id\": \"e\", \"host_dev_name\": \"t\"}",
         CTL_NIC_PUT},
        {PUT, "/serial", "{\"serial_out_path\": \"s\"}", CTL_SERIAL_PUT},
        {PUT, "/snapshot/create", "{\"snapshot_path\": \"s\", \"mem_file_path\": \"m\"}",
         CTL_SNAPSHOT_CREATE},
        {PUT, "/snapshot/load", "{\"snapshot_path\": \"s\", \"mem_file_path\": \"m\"}",
         CTL_SNAPSHOT_LOAD},
        {PUT, "/vsock", "{\"guest_cid\": 3, \"uds_path\": \"v\"}", CTL_VSOCK_PUT},
        {PATCH, "/drives/d", "{\"drive_id\": \"d\", \"path_on_host\": \"p\"}", CTL_DRIVE_PATCH},
        {PATCH, "/machine-config", "{\"smt\": true}", CTL_MACHINE_CONFIG_PATCH},
        {PATCH, "/mmds", "{}", CTL_MMDS_PATCH},
        {PATCH, "/network-interfaces/e", "{\"iface_id\": \"e\"}", CTL_NIC_PATCH},
        {PATCH, "/vm", "{\"state\": \"Paused\"}", CTL_PAUSE},
        {PATCH, "/vm", "{\"state\": \"Resumed\"}", CTL_RESUME},
        {DELETE, "/drives/d", NULL, CTL_DEVICE_DELETE},
        {DELETE, "/network-interfaces/e", NULL, CTL_DEVICE_DELETE},
        {DELETE, "/pmem/p", NULL, CTL_DEVICE_DELETE},
    };

    take_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__version__no_action(void **state)
{
    (void)state;
    struct api_request request;

    request_taken(GET, "/version", NULL, &request);
    assert_true(request.is_version);
    api_request_done(&request);
}

static void test_api_request_parse__excluded_devices__which(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *path;
        const char *body;
        enum ctl_excluded which;
    } rows[] = {
        {PUT, "/balloon", "{\"amount_mib\": 1, \"deflate_on_oom\": true}",
         CTL_EXCLUDED_BALLOON_PUT},
        {GET, "/balloon", NULL, CTL_EXCLUDED_BALLOON_GET},
        {PATCH, "/balloon", "{\"amount_mib\": 1}", CTL_EXCLUDED_BALLOON_PATCH},
        {PATCH, "/balloon/other", "{\"amount_mib\": 1}", CTL_EXCLUDED_BALLOON_PATCH},
        {GET, "/balloon/statistics", NULL, CTL_EXCLUDED_BALLOON_STATS_GET},
        {PATCH, "/balloon/statistics", "{\"stats_polling_interval_s\": 1}",
         CTL_EXCLUDED_BALLOON_STATS_PATCH},
        {GET, "/balloon/hinting/status", NULL, CTL_EXCLUDED_BALLOON_HINTING_GET},
        {PATCH, "/balloon/hinting/start", NULL, CTL_EXCLUDED_BALLOON_HINTING_PATCH},
        {PATCH, "/balloon/hinting/start", "{\"acknowledge_on_stop\": false, \"more\": 1}",
         CTL_EXCLUDED_BALLOON_HINTING_PATCH},
        {PATCH, "/balloon/hinting/stop", NULL, CTL_EXCLUDED_BALLOON_HINTING_PATCH},
        {PATCH, "/balloon/hinting/stop", "no json", CTL_EXCLUDED_BALLOON_HINTING_PATCH},
        {PUT, "/entropy", "{}", CTL_EXCLUDED_ENTROPY_PUT},
        {PUT, "/pmem/p", "{\"id\": \"p\", \"path_on_host\": \"f\"}", CTL_EXCLUDED_PMEM_PUT},
        {PATCH, "/pmem/p", "{\"id\": \"p\"}", CTL_EXCLUDED_PMEM_PATCH},
        {PUT, "/hotplug/memory", "{\"total_size_mib\": 1024}", CTL_EXCLUDED_HOTPLUG_PUT},
        {GET, "/hotplug/memory", NULL, CTL_EXCLUDED_HOTPLUG_GET},
        {PATCH, "/hotplug/memory", "{\"requested_size_mib\": 1}", CTL_EXCLUDED_HOTPLUG_PATCH},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct api_request request;
        request_taken(rows[i].method, rows[i].path, rows[i].body, &request);
        assert_int_equal(request.action.kind, CTL_EXCLUDED);
        assert_int_equal(request.action.u.excluded, rows[i].which);
        api_request_done(&request);
    }
}

static void test_api_request_parse__slashes_and_surplus__do_not_count(void **state)
{
    (void)state;
    static const struct taken rows[] = {
        {GET, "", NULL, CTL_INFO_GET},
        {GET, "//", NULL, CTL_INFO_GET},
        {GET, "vm/config", NULL, CTL_VM_CONFIG_GET},
        {GET, "///vm/config", NULL, CTL_VM_CONFIG_GET},
        {GET, "/vm/config/x/y", NULL, CTL_VM_CONFIG_GET},
        {GET, "/machine-config/", NULL, CTL_MACHINE_CONFIG_GET},
        {GET, "/machine-config//", NULL, CTL_MACHINE_CONFIG_GET},
        {GET, "/mmds/whatever", NULL, CTL_MMDS_GET},
        {PUT, "/machine-config/anything", "{\"vcpu_count\": 1, \"mem_size_mib\": 128}",
         CTL_MACHINE_CONFIG_PUT},
        {PUT, "/mmds/", "{}", CTL_MMDS_PUT},
        {PUT, "/snapshot/create/x", "{\"snapshot_path\": \"s\", \"mem_file_path\": \"m\"}",
         CTL_SNAPSHOT_CREATE},
        {PATCH, "/vm/x", "{\"state\": \"Paused\"}", CTL_PAUSE},
        {DELETE, "/drives/d/x", NULL, CTL_DEVICE_DELETE},
    };

    take_all(rows, ARRAY_LEN(rows));
}

struct refused {
    enum http_method method;
    const char *path;
    const char *body;
    const char *sentence;
};

static void refuse_all(const struct refused *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        request_refused(rows[i].method, rows[i].path, rows[i].body, rows[i].sentence);
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

    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__unknown_path__names_the_first_piece(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {GET, "/foo/bar", NULL, "Invalid request method and/or path: GET foo."},
        {GET, "/vm", NULL, "Invalid request method and/or path: GET vm."},
        {GET, "/vm/", NULL, "Invalid request method and/or path: GET vm."},
        {GET, "/vm//config", NULL, "Invalid request method and/or path: GET vm."},
        {GET, "/vm/configx", NULL, "Invalid request method and/or path: GET vm."},
        {GET, "/vm/conf", NULL, "Invalid request method and/or path: GET vm."},
        {GET, "/version?x=1", NULL, "Invalid request method and/or path: GET version?x=1."},
        {GET, "/hotplug", NULL, "Invalid request method and/or path: GET hotplug."},
        {GET, "/drives/d", NULL, "Invalid request method and/or path: GET drives."},
        {PUT, "/", "{}", "Invalid request method and/or path: PUT ."},
        {PUT, "/version", "{}", "Invalid request method and/or path: PUT version."},
        {PUT, "/vm", "{}", "Invalid request method and/or path: PUT vm."},
        {PUT, "/hotplug/cpu", "{}", "Invalid request method and/or path: PUT hotplug."},
        {PATCH, "/boot-source", "{}", "Invalid request method and/or path: PATCH boot-source."},
        {PATCH, "/hotplug", "{}", "Invalid request method and/or path: PATCH hotplug."},
        {DELETE, "/", NULL, "Invalid request method and/or path: DELETE ."},
        {DELETE, "/vsock", NULL, "Invalid request method and/or path: DELETE vsock."},
    };

    refuse_all(rows, ARRAY_LEN(rows));
}

static void test_api_request_parse__paths_with_a_sentence__say_it(void **state)
{
    (void)state;
    static const struct refused rows[] = {
        {PUT, "/snapshot", "x", "Missing snapshot operation type."},
        {PUT, "/snapshot/", "x", "Missing snapshot operation type."},
        {PUT, "/snapshot/foo", "x", "Invalid request method and/or path: PUT /snapshot/foo."},
        {PUT, "/snapshot//", "x", "Invalid request method and/or path: PUT /snapshot/."},
        {PUT, "/mmds/foo", "x", "Unrecognized PUT request path `foo`."},
        {PUT, "/mmds//config", "x", "Unrecognized PUT request path ``."},
        {GET, "/balloon/foo", NULL, "Unrecognized GET request path `foo`."},
        {GET, "/balloon/hinting", NULL, "Unrecognized GET request path `/hinting/`."},
        {GET, "/balloon/hinting/x", NULL, "Unrecognized GET request path `/hinting/x`."},
        {PATCH, "/balloon/hinting", NULL, "Unrecognized PATCH request path `/hinting/`."},
        {PATCH, "/balloon/hinting/x", "{}", "Unrecognized PATCH request path `/hinting/x`."},
    };

    refuse_all(rows, ARRAY_LEN(rows));
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
            request_refused(PUT, path, "no json", ids[k].sentence);
            request_refused(PATCH, path, "no json", ids[k].sentence);
            request_refused(DELETE, path, NULL, ids[k].sentence);
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
        cmocka_unit_test(test_api_request_parse__version__no_action),
        cmocka_unit_test(test_api_request_parse__excluded_devices__which),
        cmocka_unit_test(test_api_request_parse__slashes_and_surplus__do_not_count),
        cmocka_unit_test(test_api_request_parse__body_too_many_or_few__said_before_the_path),
        cmocka_unit_test(test_api_request_parse__unknown_path__names_the_first_piece),
        cmocka_unit_test(test_api_request_parse__paths_with_a_sentence__say_it),
        cmocka_unit_test(test_api_request_parse__bad_id__said_before_the_body),
        cmocka_unit_test(test_api_request_parse__letters_and_digits_of_any_script__are_ids),
        cmocka_unit_test(test_api_request_parse__no_err__same_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
