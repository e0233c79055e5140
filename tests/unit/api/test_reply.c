/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/reply.c: answers byte for byte (api.md 1.3, 3, 7). Documents are compared in
 * test_conversations and test_render.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "tests/unit/unit.h"
#include "vmm/config/cfg_fields.h"

#define HEAD(code) "HTTP/1.1 " code " \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
#define JSON_HEAD(len) "Content-Type: application/json\r\nContent-Length: " len "\r\n\r\n"

static const struct api_identity identity = {.id = "an \"id\"", .version = "1.16.1"};

static void assert_reply_in(enum ctl_state vm_state, const struct api_request *request,
                            const struct ctl_reply *reply, const char *wanted)
{
    char *text = NULL;
    size_t len = 0;

    assert_int_equal(api_reply_render(&identity, vm_state, request, reply, &text, &len), 0);
    assert_string_equal(text, wanted);
    assert_int_equal(len, strlen(wanted));
    free(text);
}

static void assert_reply(const struct api_request *request, const struct ctl_reply *reply,
                         const char *wanted)
{
    assert_reply_in(CTL_STATE_RUNNING, request, reply, wanted);
}

static void test_api_reply_render__no_document__204(void **state)
{
    (void)state;
    struct api_request request = {.action.kind = CTL_DRIVE_PUT};
    const struct ctl_reply reply = {0};

    assert_reply(&request, &reply, HEAD("204") "\r\n");
    request.deprecated = true;
    assert_reply(&request, &reply, HEAD("204") "Deprecation: true\r\n\r\n");
}

static void test_api_reply_render__failed__400_or_413(void **state)
{
    (void)state;
    struct api_request request = {.action.kind = CTL_SNAPSHOT_LOAD, .deprecated = true};
    struct ctl_reply reply = {0};

    reply.code = err_set(&reply.err, -EINVAL, "Load snapshot error: \"x\"");
    assert_reply(&request, &reply,
                 HEAD("400") "Deprecation: true\r\n" JSON_HEAD(
                     "46") "{\"fault_message\":\"Load snapshot error: \\\"x\\\"\"}");
    request = (struct api_request){.action.kind = CTL_MMDS_PUT};
    reply.code = err_set(&reply.err, -EMSGSIZE, "M");
    assert_reply(&request, &reply, HEAD("413") JSON_HEAD("21") "{\"fault_message\":\"M\"}");
}

static void test_api_reply_render__metadata__as_it_is(void **state)
{
    (void)state;
    const struct api_request request = {.action.kind = CTL_MMDS_GET};
    const struct ctl_reply reply = {.metadata = "[1,{}]"};

    assert_reply(&request, &reply, HEAD("200") JSON_HEAD("6") "[1,{}]");
}

static void test_api_reply_render__info__each_state(void **state)
{
    (void)state;
    const struct api_request request = {.answer = API_ANSWER_INFO};
    const struct ctl_reply reply = {0};

    assert_reply_in(CTL_STATE_NOT_STARTED, &request, &reply,
                    HEAD("200") JSON_HEAD("88") "{\"id\":\"an \\\"id\\\"\",\"state\":\"Not "
                                                "started\",\"vmm_version\":\"1.16.1\",\"app_name\":"
                                                "\"Firecracker\"}");
    assert_reply_in(CTL_STATE_RUNNING, &request, &reply,
                    HEAD("200") JSON_HEAD("84") "{\"id\":\"an \\\"id\\\"\",\"state\":\"Running\","
                                                "\"vmm_version\":\"1.16.1\",\"app_name\":"
                                                "\"Firecracker\"}");
    assert_reply_in(CTL_STATE_PAUSED, &request, &reply,
                    HEAD("200") JSON_HEAD("83") "{\"id\":\"an \\\"id\\\"\",\"state\":\"Paused\","
                                                "\"vmm_version\":\"1.16.1\",\"app_name\":"
                                                "\"Firecracker\"}");
}

static void test_api_reply_render__machine_config__template_only_when_active(void **state)
{
    (void)state;
    const struct api_request request = {.action.kind = CTL_MACHINE_CONFIG_GET};
    struct cfg_vm *vm = malloc(sizeof(*vm));
    assert_non_null(vm);
    cfg_vm_init(vm);
    const struct ctl_reply reply = {.vm = vm};
    const struct cfg_machine put = {.vcpu_count = 1,
                                    .mem_size_mib = 128,
                                    .has_cpu_template = true,
                                    .cpu_template = CFG_TEMPLATE_T2};

    assert_int_equal(cfg_machine_put(&put, &vm->machine, NULL), 0);
    assert_reply(&request, &reply,
                 HEAD("200") JSON_HEAD("113") "{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":"
                                              "false,\"cpu_template\":\"T2\",\"track_dirty_"
                                              "pages\":false,\"huge_pages\":\"None\"}");
    cfg_vm_done(vm);
    assert_reply(&request, &reply,
                 HEAD("200") JSON_HEAD("93") "{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":"
                                             "false,\"track_dirty_pages\":false,\"huge_pages\":"
                                             "\"None\"}");
    free(vm);
}

static void test_api_fault_render__sentence_is_no_utf8__still_json(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char *text = NULL;
    size_t len = 0;

    (void)err_set(&err, -EINVAL, "a\xff\xc3\xa9\xe2\x82");
    assert_int_equal(api_fault_render(&err, &text, &len), 0);
    assert_string_equal(text, HEAD("400") JSON_HEAD("26") "{\"fault_message\":\"a?\xc3\xa9??\"}");
    free(text);
}

static void test_api_protocol_error_render__line_feed_is_a_byte(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char *text = NULL;
    size_t len = 0;

    (void)err_set(&err, -EPROTO,
                  "Request payload with size 50000 is larger than the limit of 50 allowed by "
                  "server.");
    assert_int_equal(api_protocol_error_render(&err, false, &text, &len), 0);
    assert_string_equal(text, HEAD("400") JSON_HEAD("146") "{ \"error\": \"Request payload with "
                                                           "size 50000 is larger than the limit "
                                                           "of 50 allowed by server.\nAll "
                                                           "previous unanswered requests will be "
                                                           "dropped.\" }");
    free(text);
    memset(err.msg, 'x', sizeof(err.msg) - 1); /* as long as any */
    assert_int_equal(api_protocol_error_render(&err, false, &text, &len), 0);
    assert_string_equal(strstr(text, "x\n"),
                        "x\nAll previous unanswered requests will be dropped.\" }");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_reply_render__no_document__204),
        cmocka_unit_test(test_api_reply_render__failed__400_or_413),
        cmocka_unit_test(test_api_reply_render__metadata__as_it_is),
        cmocka_unit_test(test_api_reply_render__info__each_state),
        cmocka_unit_test(test_api_reply_render__machine_config__template_only_when_active),
        cmocka_unit_test(test_api_fault_render__sentence_is_no_utf8__still_json),
        cmocka_unit_test(test_api_protocol_error_render__line_feed_is_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
