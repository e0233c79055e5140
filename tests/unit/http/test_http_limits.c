/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/http: every limit at its edge and one beyond, and the memory that a reader keeps (api.md
 * 1.2; deltas.md 7).
 */
#include <stdio.h>

#include "tests/unit/http/http_case.h"

#define REASON "Invalid header. Reason: "
#define HEAD_TOO_LARGE REASON "Headers are larger than the limit of 81920 bytes allowed by server."
#define IDLE_MAX_SIZE 2048u

/* "GET /xxx HTTP/1.1\r\n" of that many bytes; returns its path. */
static char *request_line(char *buf, size_t size)
{
    static const char end[] = " HTTP/1.1\r\n";
    memset(buf, 'x', size);
    memcpy(buf, "GET /", 5);
    memcpy(buf + size - strlen(end), end, strlen(end));
    return buf + 4;
}

/* "X: xxx\r\n" of that many bytes. */
static void header_line(char *buf, size_t size)
{
    memset(buf, 'x', size);
    memcpy(buf, "X: ", 3);
    memcpy(buf + size - 2, "\r\n", 2);
}

/* A reader that was fed a head of `size` bytes without the empty line. */
static struct http_reader *reader_with_head(size_t size)
{
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    char line[HTTP_LINE_MAX_SIZE];
    case_say(reader, "GET / HTTP/1.1\r\n");
    for (size_t left = size - strlen("GET / HTTP/1.1\r\n"); left > 0;) {
        size_t len = left > 2000 ? 1000 : left > HTTP_LINE_MAX_SIZE ? left / 2 : left;
        header_line(line, len);
        case_feed(reader, line, len);
        case_expect_none(reader);
        left -= len;
    }
    return reader;
}

static void test_http_limits__request_line_of_1024_bytes__taken(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    char line[HTTP_LINE_MAX_SIZE];
    char *path = request_line(line, sizeof(line));
    case_feed(reader, line, sizeof(line));
    case_say(reader, "\r\n");
    path[sizeof(line) - 4 - strlen(" HTTP/1.1\r\n")] = '\0';
    (void)case_expect_request(reader, HTTP_METHOD_GET, path);
    http_reader_free(reader);
}

static void test_http_limits__request_line_of_1025_bytes__invalid_request(void **state)
{
    (void)state;
    char line[HTTP_LINE_MAX_SIZE + 1];
    (void)request_line(line, sizeof(line));
    case_refused(line, sizeof(line), "Invalid request.");
}

static void test_http_limits__1024_bytes_without_line_end__refused_at_once(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    char bytes[HTTP_LINE_MAX_SIZE];
    memset(bytes, 'x', sizeof(bytes));
    case_feed(reader, bytes, sizeof(bytes) - 1);
    case_expect_none(reader);
    case_feed(reader, bytes, 1);
    case_expect_error(reader, "Invalid request.");
    http_reader_free(reader);
}

static void test_http_limits__header_line_of_1024_bytes__taken(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    char line[HTTP_LINE_MAX_SIZE];
    header_line(line, sizeof(line));
    case_say(reader, "GET / HTTP/1.1\r\n");
    case_feed(reader, line, sizeof(line));
    case_say(reader, "\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/");
    http_reader_free(reader);
}

static void test_http_limits__header_line_of_1025_bytes__shown_and_cut(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    struct http_request request;
    struct err err = ERR_INIT;
    char line[HTTP_LINE_MAX_SIZE + 1];
    header_line(line, sizeof(line));
    case_say(reader, "GET / HTTP/1.1\r\n");
    case_feed(reader, line, sizeof(line));
    assert_int_equal(http_reader_next(reader, &request, &err), -EPROTO);
    static const char begin[] = REASON "Invalid content length. Header: X: xxx";
    assert_memory_equal(err.msg, begin, strlen(begin));
    assert_string_equal(err.msg + strlen(err.msg) - 4, "x...");
    http_reader_free(reader);
}

static void test_http_limits__head_of_80_kib__taken(void **state)
{
    (void)state;
    struct http_reader *reader = reader_with_head(HTTP_HEAD_MAX_SIZE - 2);
    case_say(reader, "\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/");
    http_reader_free(reader);
}

static void test_http_limits__head_beyond_80_kib__refused(void **state)
{
    (void)state;
    struct http_reader *reader = reader_with_head(HTTP_HEAD_MAX_SIZE - 1);
    case_say(reader, "\r\n");
    case_expect_error(reader, HEAD_TOO_LARGE);
    http_reader_free(reader);
}

static void test_http_limits__head_of_80_kib_without_end__refused(void **state)
{
    (void)state;
    struct http_reader *reader = reader_with_head(HTTP_HEAD_MAX_SIZE);
    case_say(reader, "\r");
    case_expect_error(reader, HEAD_TOO_LARGE);
    http_reader_free(reader);
}

static void test_http_limits__ten_thousand_headers__taken_within_80_kib(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "GET /many HTTP/1.1\r\n");
    for (int i = 0; i < 10000; i++) {
        case_say(reader, "a: b\r\n");
        case_expect_none(reader);
        assert_in_range(http_reader_memory(reader), 1, IDLE_MAX_SIZE);
    }
    case_say(reader, "\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/many");
    http_reader_free(reader);
}

static void test_http_limits__ten_thousand_longer_headers__refused(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    struct http_request request;
    struct err err = ERR_INIT;
    int ret = 0;
    case_say(reader, "GET /many HTTP/1.1\r\n");
    for (int i = 0; i < 10000 && ret == 0; i++) {
        case_say(reader, "X-Header: value\r\n");
        ret = http_reader_next(reader, &request, &err);
    }
    assert_int_equal(ret, -EPROTO);
    assert_string_equal(err.msg, HEAD_TOO_LARGE);
    http_reader_free(reader);
}

static void body_refused(size_t limit, const char *length, const char *sentence)
{
    struct http_reader *reader = case_reader(limit);
    char text[128];
    (void)snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\nContent-Length: %s\r\n\r\n", length);
    case_say(reader, text);
    case_expect_error(reader, sentence);
    http_reader_free(reader);
}

static void test_http_limits__body_beyond_the_limit__refused_when_headers_end(void **state)
{
    (void)state;
    body_refused(50, "50000",
                 "Request payload with size 50000 is larger than the limit of 50 allowed by "
                 "server.");
    body_refused(250, "260",
                 "Request payload with size 260 is larger than the limit of 250 allowed by "
                 "server.");
    body_refused(51200, "51201",
                 "Request payload with size 51201 is larger than the limit of 51200 allowed by "
                 "server.");
    body_refused(0, "4294967295",
                 "Request payload with size 4294967295 is larger than the limit of 0 allowed by "
                 "server.");
}

/* A refused request, another in its body of 60 bytes, and one behind it, fed in two pieces. */
static void expect_skipped(size_t first_len)
{
    static const char stream[] = "PUT / HTTP/1.1\r\nContent-Length: 60\r\n\r\n"
                                 "GET /inside HTTP/1.1\r\n\r\n...................................."
                                 "GET /behind HTTP/1.1\r\n\r\n";
    struct http_reader *reader = case_reader(50);

    case_feed(reader, stream, first_len);
    case_expect_error(reader, "Request payload with size 60 is larger than the limit of 50 allowed "
                              "by server.");
    assert_int_equal(http_reader_rest(reader), HTTP_REST_SKIP);
    for (size_t off = first_len; off < sizeof(stream) - 1;) {
        case_expect_none(reader);
        ssize_t taken = http_reader_feed(reader, stream + off, sizeof(stream) - 1 - off);
        assert_true(taken > 0);
        off += (size_t)taken;
    }
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/behind");
    case_expect_none(reader);
    http_reader_free(reader);
}

static void test_http_limits__body_beyond_the_limit__skipped_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t first_len = 38; first_len <= 38 + 60 + 10; first_len++)
        expect_skipped(first_len);
}

static void test_http_limits__body_beyond_the_limit_asked_for_before__to_be_closed(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(50);
    case_say(reader, "PUT / HTTP/1.1\r\nContent-Length: 60\r\nExpect: 100-Continue\r\n\r\n");
    case_expect_error(reader, "Request payload with size 60 is larger than the limit of 50 allowed "
                              "by server.");
    assert_int_equal(http_reader_rest(reader), HTTP_REST_CLOSE);
    http_reader_free(reader);
}

static void test_http_limits__chunked__to_be_closed(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(50);
    case_say(reader, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    case_expect_error(reader, "Invalid header. Reason: Transfer-Encoding is not supported, a body "
                              "needs a Content-Length. Value: chunked");
    assert_int_equal(http_reader_rest(reader), HTTP_REST_CLOSE);
    http_reader_free(reader);
}

static void test_http_limits__body_at_the_limit__taken(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(HTTP_BODY_DEFAULT_MAX_SIZE);
    static char body[HTTP_BODY_DEFAULT_MAX_SIZE];
    memset(body, 'b', sizeof(body));
    case_say(reader, "PUT / HTTP/1.1\r\nContent-Length: 51200\r\n\r\n");
    case_feed(reader, body, sizeof(body));
    struct http_request request = case_expect_request(reader, HTTP_METHOD_PUT, "/");
    assert_int_equal(request.body_len, sizeof(body));
    assert_memory_equal(request.body, body, sizeof(body));
    http_reader_free(reader);
}

static void test_http_limits__huge_limit__content_length_of_32_bits_waited_for(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(SIZE_MAX);
    case_say(reader, "PUT / HTTP/1.1\r\nContent-Length: 4294967295\r\n\r\n{");
    case_expect_none(reader);
    assert_in_range(http_reader_memory(reader), 1, IDLE_MAX_SIZE);
    http_reader_free(reader);
}

static void test_http_limits__announced_body__no_memory_before_it_comes(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(HTTP_BODY_DEFAULT_MAX_SIZE);
    case_say(reader, "PUT / HTTP/1.1\r\nContent-Length: 51200\r\n\r\n");
    case_expect_none(reader);
    assert_in_range(http_reader_memory(reader), 1, IDLE_MAX_SIZE);
    http_reader_free(reader);
}

static void test_http_limits__more_than_fits__taken_in_part(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    size_t len = HTTP_HEAD_MAX_SIZE + CASE_BODY_MAX_SIZE + 1000;
    char *bytes = malloc(len);
    assert_non_null(bytes);
    memset(bytes, 'x', len);
    assert_int_equal(http_reader_feed(reader, bytes, len), HTTP_HEAD_MAX_SIZE + CASE_BODY_MAX_SIZE);
    assert_int_equal(http_reader_feed(reader, bytes, len), 0);
    assert_in_range(http_reader_memory(reader), 1,
                    HTTP_HEAD_MAX_SIZE + CASE_BODY_MAX_SIZE + IDLE_MAX_SIZE);
    case_expect_error(reader, "Invalid request.");
    assert_in_range(http_reader_memory(reader), 1, IDLE_MAX_SIZE);
    free(bytes);
    http_reader_free(reader);
}

static void test_http_limits__idle__under_two_kib(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(HTTP_BODY_DEFAULT_MAX_SIZE);
    assert_in_range(http_reader_memory(reader), 1, 512);
    case_say(reader, "PUT / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n");
    for (int i = 0; i < 50000; i++)
        case_feed(reader, "x", 1);
    (void)case_expect_request(reader, HTTP_METHOD_PUT, "/");
    case_expect_none(reader);
    assert_in_range(http_reader_memory(reader), 1, IDLE_MAX_SIZE);
    case_say(reader, "GET / HTTP/1.1\r\n\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/");
    case_expect_none(reader);
    assert_in_range(http_reader_memory(reader), 1, IDLE_MAX_SIZE);
    http_reader_free(reader);
}

static void test_http_limits__large_body_with_surplus__only_the_surplus_stays(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(HTTP_BODY_DEFAULT_MAX_SIZE);
    static char body[50000];
    memset(body, 'x', sizeof(body));
    case_say(reader, "PUT / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n");
    case_feed(reader, body, sizeof(body));
    case_say(reader, "GET /next HTTP/1.1\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_PUT, "/");
    case_expect_none(reader);
    assert_in_range(http_reader_memory(reader), 1, IDLE_MAX_SIZE);
    case_say(reader, "\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/next");
    http_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_limits__request_line_of_1024_bytes__taken),
        cmocka_unit_test(test_http_limits__request_line_of_1025_bytes__invalid_request),
        cmocka_unit_test(test_http_limits__1024_bytes_without_line_end__refused_at_once),
        cmocka_unit_test(test_http_limits__header_line_of_1024_bytes__taken),
        cmocka_unit_test(test_http_limits__header_line_of_1025_bytes__shown_and_cut),
        cmocka_unit_test(test_http_limits__head_of_80_kib__taken),
        cmocka_unit_test(test_http_limits__head_beyond_80_kib__refused),
        cmocka_unit_test(test_http_limits__head_of_80_kib_without_end__refused),
        cmocka_unit_test(test_http_limits__ten_thousand_headers__taken_within_80_kib),
        cmocka_unit_test(test_http_limits__ten_thousand_longer_headers__refused),
        cmocka_unit_test(test_http_limits__body_beyond_the_limit__refused_when_headers_end),
        cmocka_unit_test(test_http_limits__body_beyond_the_limit__skipped_however_it_is_cut),
        cmocka_unit_test(test_http_limits__body_beyond_the_limit_asked_for_before__to_be_closed),
        cmocka_unit_test(test_http_limits__chunked__to_be_closed),
        cmocka_unit_test(test_http_limits__body_at_the_limit__taken),
        cmocka_unit_test(test_http_limits__huge_limit__content_length_of_32_bits_waited_for),
        cmocka_unit_test(test_http_limits__announced_body__no_memory_before_it_comes),
        cmocka_unit_test(test_http_limits__more_than_fits__taken_in_part),
        cmocka_unit_test(test_http_limits__idle__under_two_kib),
        cmocka_unit_test(test_http_limits__large_body_with_surplus__only_the_surplus_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
