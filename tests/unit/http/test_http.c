/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/http/http.c: requests out of a byte stream however it is cut, line ends, bodies, errors and
 * what comes after them, 100-continue.
 */
#include "tests/unit/http/http_case.h"

static const char put_text[] = "PUT /drives/a HTTP/1.1\r\nHost: localhost\r\n"
                               "Content-Length: 7\r\n\r\n{\"a\":1}";

static void test_http_reader_next__nothing_fed__needs_more(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_expect_none(reader);
    case_feed(reader, "", 0);
    case_expect_none(reader);
    http_reader_free(reader);
}

static void test_http_reader_free__null__nothing(void **state)
{
    (void)state;
    http_reader_free(NULL);
}

static void test_http_reader_next__whole_request__taken(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, put_text);
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/drives/a"), "{\"a\":1}");
    case_expect_none(reader);
    http_reader_free(reader);
}

static void test_http_reader_next__one_byte_at_a_time__same_request(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    size_t len = strlen(put_text);
    for (size_t i = 0; i + 1 < len; i++) {
        case_feed(reader, put_text + i, 1);
        case_expect_none(reader);
    }
    case_feed(reader, put_text + len - 1, 1);
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/drives/a"), "{\"a\":1}");
    http_reader_free(reader);
}

static void test_http_reader_next__cut_anywhere__same_request(void **state)
{
    (void)state;
    size_t len = strlen(put_text);
    for (size_t cut = 0; cut < len; cut++) {
        struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
        case_feed(reader, put_text, cut);
        case_expect_none(reader);
        case_feed(reader, put_text + cut, len - cut);
        case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/drives/a"), "{\"a\":1}");
        http_reader_free(reader);
    }
}

static void test_http_reader_next__body_in_pieces__put_together(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "PATCH /vm HTTP/1.1\r\nContent-Length: 10\r\n\r\n012");
    case_expect_none(reader);
    case_say(reader, "3456");
    case_expect_none(reader);
    case_say(reader, "789");
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PATCH, "/vm"), "0123456789");
    http_reader_free(reader);
}

static void test_http_reader_next__body_of_any_bytes__untouched(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "PUT / HTTP/1.1\r\nContent-Length: 6\r\n\r\n");
    case_feed(reader, "\0\xff\n\r\r\n", 6);
    struct http_request request = case_expect_request(reader, HTTP_METHOD_PUT, "/");
    assert_int_equal(request.body_len, 6);
    assert_memory_equal(request.body, "\0\xff\n\r\r\n", 6);
    http_reader_free(reader);
}

static void test_http_reader_next__no_body__null(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "DELETE /drives/a HTTP/1.1\r\n\r\n");
    struct http_request request = case_expect_request(reader, HTTP_METHOD_DELETE, "/drives/a");
    assert_null(request.body);
    assert_int_equal(request.body_len, 0);
    http_reader_free(reader);
}

static void test_http_reader_next__pipelined__one_after_the_other(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, put_text);
    case_say(reader, "GET /b HTTP/1.1\r\n\r\n");
    case_say(reader, put_text);
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/drives/a"), "{\"a\":1}");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/b");
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/drives/a"), "{\"a\":1}");
    case_expect_none(reader);
    http_reader_free(reader);
}

static void test_http_reader_next__surplus_behind_a_body__begins_the_next_request(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "PUT /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}GET /b HT");
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/a"), "{}");
    case_expect_none(reader);
    case_say(reader, "TP/1.1\r\n\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/b");
    http_reader_free(reader);
}

static void test_http_reader_feed__request_still_held__it_is_done_with(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, put_text);
    (void)case_expect_request(reader, HTTP_METHOD_PUT, "/drives/a");
    case_say(reader, "GET /b HTTP/1.1\r\n\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/b");
    http_reader_free(reader);
}

static void test_http_reader_next__many_requests_on_one_reader__parser_starts_anew(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    for (int i = 0; i < 20000; i++) { /* more than one head's limit in all */
        case_say(reader, "GET /version HTTP/1.1\r\nHost: a\r\n\r\n");
        (void)case_expect_request(reader, HTTP_METHOD_GET, "/version");
    }
    http_reader_free(reader);
}

static void test_http_reader_next__bare_lf__refused(void **state)
{
    (void)state;
    static const char request_line[] = "GET / HTTP/1.1\n";
    static const char header_line[] = "GET / HTTP/1.1\r\nHost: a\n";
    static const char last_line[] = "GET / HTTP/1.1\r\nHost: a\r\n\n";
    case_refused(request_line, strlen(request_line), "Invalid request.");
    case_refused(header_line, strlen(header_line),
                 "Invalid header. Reason: Header contains invalid characters. Key: Host");
    case_refused(last_line, strlen(last_line),
                 "Invalid header. Reason: Header contains invalid characters. Key: ");
}

static void test_http_reader_next__bare_cr__refused(void **state)
{
    (void)state;
    static const char request_line[] = "GET /\rx HTTP/1.1";
    static const char header_line[] = "GET / HTTP/1.1\r\nHost: a\rb";
    static const char two_cr[] = "GET / HTTP/1.1\r\nHost: a\r\r\n";
    case_refused(request_line, strlen(request_line), "Invalid request.");
    case_refused(header_line, strlen(header_line),
                 "Invalid header. Reason: Header contains invalid characters. Key: Host");
    case_refused(two_cr, strlen(two_cr),
                 "Invalid header. Reason: Header contains invalid characters. Key: Host");
}

static void test_http_reader_next__cr_at_the_end__waits_for_its_lf(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "GET / HTTP/1.1\r");
    case_expect_none(reader);
    case_say(reader, "\n\r");
    case_expect_none(reader);
    case_say(reader, "\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/");
    http_reader_free(reader);
}

static void test_http_reader_next__error__all_is_forgotten_and_the_reader_works(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "POST / HTTP/1.1\r\n\r\nGET /lost HTTP/1.1\r\n\r\n");
    case_expect_error(reader, "Invalid HTTP Method: Unsupported HTTP method.");
    case_expect_none(reader);
    case_say(reader, put_text);
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/drives/a"), "{\"a\":1}");
    http_reader_free(reader);
}

static void test_http_reader_next__error_in_a_header__nothing_of_the_request_stays(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\nBad\r\n");
    case_expect_error(reader, "Invalid header. Reason: Header is incorrectly formatted. Key: Bad");
    case_say(reader, "GET /b HTTP/1.1\r\n\r\n");
    struct http_request request = case_expect_request(reader, HTTP_METHOD_GET, "/b");
    assert_null(request.body);
    http_reader_free(reader);
}

static void test_http_reader_next__good_request_before_an_error__comes_first(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "GET /a HTTP/1.1\r\n\r\nnonsense\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/a");
    case_expect_error(reader, "Invalid request.");
    http_reader_free(reader);
}

static void test_http_reader_take_continue__head_complete__once_with_its_version(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    uint32_t minor = 9;
    case_say(reader, "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n");
    case_expect_none(reader);
    assert_false(http_reader_take_continue(reader, &minor));
    case_say(reader, "\r\n");
    case_expect_none(reader);
    assert_true(http_reader_take_continue(reader, &minor));
    assert_int_equal(minor, 0);
    assert_false(http_reader_take_continue(reader, &minor));
    case_say(reader, "{");
    case_expect_none(reader);
    assert_false(http_reader_take_continue(reader, &minor));
    case_say(reader, "}");
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/"), "{}");
    http_reader_free(reader);
}

static void test_http_reader_take_continue__second_request__asked_again(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    uint32_t minor = 9;
    for (int i = 0; i < 2; i++) {
        case_say(reader, "PUT / HTTP/1.1\r\nEXPECT:100-continue\r\nContent-Length: 2\r\n\r\n");
        case_expect_none(reader);
        assert_true(http_reader_take_continue(reader, &minor));
        assert_int_equal(minor, 1);
        case_say(reader, "{}");
        (void)case_expect_request(reader, HTTP_METHOD_PUT, "/");
        assert_false(http_reader_take_continue(reader, &minor));
    }
    http_reader_free(reader);
}

static void continue_not_due(const char *text)
{
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    struct http_request request;
    struct err err = ERR_INIT;
    uint32_t minor;
    case_say(reader, text);
    (void)!http_reader_next(reader, &request, &err);
    assert_false(http_reader_take_continue(reader, &minor));
    http_reader_free(reader);
}

static void test_http_reader_take_continue__not_asked_or_no_body__false(void **state)
{
    (void)state;
    continue_not_due("");
    continue_not_due("PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
    continue_not_due("PUT / HTTP/1.1\r\nExpect: 103-checkpoint\r\nContent-Length: 2\r\n\r\n");
    continue_not_due("PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    continue_not_due("PUT / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");
    continue_not_due("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}");
    continue_not_due("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 51\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_reader_next__nothing_fed__needs_more),
        cmocka_unit_test(test_http_reader_free__null__nothing),
        cmocka_unit_test(test_http_reader_next__whole_request__taken),
        cmocka_unit_test(test_http_reader_next__one_byte_at_a_time__same_request),
        cmocka_unit_test(test_http_reader_next__cut_anywhere__same_request),
        cmocka_unit_test(test_http_reader_next__body_in_pieces__put_together),
        cmocka_unit_test(test_http_reader_next__body_of_any_bytes__untouched),
        cmocka_unit_test(test_http_reader_next__no_body__null),
        cmocka_unit_test(test_http_reader_next__pipelined__one_after_the_other),
        cmocka_unit_test(test_http_reader_next__surplus_behind_a_body__begins_the_next_request),
        cmocka_unit_test(test_http_reader_feed__request_still_held__it_is_done_with),
        cmocka_unit_test(test_http_reader_next__many_requests_on_one_reader__parser_starts_anew),
        cmocka_unit_test(test_http_reader_next__bare_lf__refused),
        cmocka_unit_test(test_http_reader_next__bare_cr__refused),
        cmocka_unit_test(test_http_reader_next__cr_at_the_end__waits_for_its_lf),
        cmocka_unit_test(test_http_reader_next__error__all_is_forgotten_and_the_reader_works),
        cmocka_unit_test(test_http_reader_next__error_in_a_header__nothing_of_the_request_stays),
        cmocka_unit_test(test_http_reader_next__good_request_before_an_error__comes_first),
        cmocka_unit_test(test_http_reader_take_continue__head_complete__once_with_its_version),
        cmocka_unit_test(test_http_reader_take_continue__second_request__asked_again),
        cmocka_unit_test(test_http_reader_take_continue__not_asked_or_no_body__false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
