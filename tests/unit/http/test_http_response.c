/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/http/http_response.c: responses byte for byte (api.md 1.1, 1.3, 3.2).
 */
#include "tests/unit/http/http_case.h"

#define COMMON "Server: Firecracker API\r\nConnection: keep-alive\r\n"

static void expect_rendered(struct http_response response, const char *text)
{
    char *rendered = NULL;
    size_t len = 0;
    assert_int_equal(http_response_render(&response, &rendered, &len), 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(rendered, text, len);
    free(rendered);
}

static void test_http_response_render__no_body__neither_type_nor_length(void **state)
{
    (void)state;
    expect_rendered((struct http_response){.status = 204}, "HTTP/1.1 204 \r\n" COMMON "\r\n");
}

static void test_http_response_render__body__type_and_length_come_last(void **state)
{
    (void)state;
    expect_rendered((struct http_response){.status = 200, .body = "{\"a\":1}", .body_len = 7},
                    "HTTP/1.1 200 \r\n" COMMON
                    "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
}

static void test_http_response_render__deprecation__behind_connection(void **state)
{
    (void)state;
    expect_rendered((struct http_response){.status = 204, .deprecation = true},
                    "HTTP/1.1 204 \r\n" COMMON "Deprecation: true\r\n\r\n");
}

static void test_http_response_render__content_type__instead_of_json(void **state)
{
    (void)state;
    expect_rendered((struct http_response){.status = 404,
                                           .deprecation = true,
                                           .content_type = "text/plain",
                                           .body = "no",
                                           .body_len = 2},
                    "HTTP/1.1 404 \r\n" COMMON "Deprecation: true\r\n"
                    "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nno");
}

static void test_http_response_render__closes__said(void **state)
{
    (void)state;
    expect_rendered((struct http_response){.status = 400, .closes = true},
                    "HTTP/1.1 400 \r\nServer: Firecracker API\r\nConnection: close\r\n\r\n");
}

static void test_http_response_render__allow_and_echo__around_deprecation(void **state)
{
    (void)state;
    expect_rendered((struct http_response){.status = 405,
                                           .is_1_0 = true,
                                           .deprecation = true,
                                           .allow = "GET, PUT",
                                           .echo_name = "X-Ttl",
                                           .echo_value = "60",
                                           .body = "no",
                                           .body_len = 2},
                    "HTTP/1.0 405 \r\n" COMMON
                    "Allow: GET, PUT\r\nDeprecation: true\r\nX-Ttl: 60\r\n"
                    "Content-Type: application/json\r\nContent-Length: 2\r\n\r\nno");
}

static void test_http_response_render__empty_body__length_zero(void **state)
{
    (void)state;
    expect_rendered((struct http_response){.status = 200, .body = ""},
                    "HTTP/1.1 200 \r\n" COMMON
                    "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n");
}

static void test_http_response_render__body_with_nul__whole(void **state)
{
    (void)state;
    const struct http_response response = {.status = 500, .body = "a\0b", .body_len = 3};
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(http_response_render(&response, &text, &len), 0);
    assert_memory_equal(text + len - 3, "a\0b", 3);
    free(text);
}

static void test_http_response_render__large_body__in_one_piece(void **state)
{
    (void)state;
    size_t body_len = 100000;
    char *body = malloc(body_len);
    char *text = NULL;
    size_t len = 0;
    assert_non_null(body);
    memset(body, 'x', body_len);
    const struct http_response response = {.status = 200, .body = body, .body_len = body_len};
    assert_int_equal(http_response_render(&response, &text, &len), 0);
    assert_non_null(strstr(text, "Content-Length: 100000\r\n\r\nxxx"));
    assert_memory_equal(text + len - body_len, body, body_len);
    free(text);
    free(body);
}

static void test_http_continue_render__both_versions__exact(void **state)
{
    (void)state;
    char buf[HTTP_CONTINUE_MAX_SIZE];
    size_t len = http_continue_render(0, buf);
    assert_int_equal(len, strlen("HTTP/1.0 100 \r\n" COMMON "\r\n"));
    assert_string_equal(buf, "HTTP/1.0 100 \r\n" COMMON "\r\n");
    assert_int_equal(http_continue_render(1, buf), len);
    assert_string_equal(buf, "HTTP/1.1 100 \r\n" COMMON "\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_response_render__no_body__neither_type_nor_length),
        cmocka_unit_test(test_http_response_render__body__type_and_length_come_last),
        cmocka_unit_test(test_http_response_render__deprecation__behind_connection),
        cmocka_unit_test(test_http_response_render__content_type__instead_of_json),
        cmocka_unit_test(test_http_response_render__closes__said),
        cmocka_unit_test(test_http_response_render__allow_and_echo__around_deprecation),
        cmocka_unit_test(test_http_response_render__empty_body__length_zero),
        cmocka_unit_test(test_http_response_render__body_with_nul__whole),
        cmocka_unit_test(test_http_response_render__large_body__in_one_piece),
        cmocka_unit_test(test_http_continue_render__both_versions__exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
