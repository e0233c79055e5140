/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of devices/mmds/mmds_http.c: every answer byte for byte. Single thread. */
#include "base/metrics.h"
#include "tests/unit/mmds/mmds_fixture.h"

#define HEAD(version, code)                                                                        \
    "HTTP/" version " " code " \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
#define JSON(length) "Content-Type: application/json\r\nContent-Length: " length "\r\n\r\n"
#define PLAIN(length) "Content-Type: text/plain\r\nContent-Length: " length "\r\n\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n\r\n"
#define GET_JSON(path) "GET " path " HTTP/1.1\r\nAccept: application/json\r\n\r\n"
#define PUT(path, headers) "PUT " path " HTTP/1.1\r\n" headers "\r\n"
#define TOKEN "/latest/api/token"

/* The answer, until the next. */
static const char *answer(const char *request)
{
    static char text[4096];
    char *response = NULL;
    size_t len = 0;
    assert_int_equal(mmds_http_answer(world.mmds, request, strlen(request), &response, &len), 0);
    assert_in_range(len, 1, sizeof(text) - 1);
    memcpy(text, response, len + 1);
    free(response);
    return text;
}

static void expect(const char *request, const char *response)
{
    assert_string_equal(answer(request), response);
}

/* An answer that is a text, whose length is told. */
static void expect_text(const char *request, const char *code, const char *type, const char *body)
{
    char response[1024];
    (void)snprintf(response, sizeof(response),
                   "HTTP/1.1 %s \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
                   "%sContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                   code, strcmp(code, "405") == 0 ? "Allow: GET, PUT\r\n" : "", type, strlen(body),
                   body);
    expect(request, response);
}

#define UNSUPPORTED "Cannot retrieve value. The value has an unsupported type."
#define NO_TTL                                                                                     \
    "Token time to live value not found. Use `X-metadata-token-ttl-seconds` or "                   \
    "`X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's lifetime."
#define TTL(value) "X-metadata-token-ttl-seconds: " value "\r\n"
#define BAD_TTL "Invalid header. Reason: Invalid value. Key:X-metadata-token-ttl-seconds; Value:"
#define OUT_OF_RANGE(value)                                                                        \
    "Invalid time to live value provided for token: " value                                        \
    ". Please provide a value between 1 and 21600."

static void test_mmds_http_answer__accept__json_or_imds(void **state)
{
    (void)state;
    put("{\"b\":{\"c\":\"v\"},\"a\":1}");
    expect(GET("/"), HEAD("1.1", "200") PLAIN("4") "a\nb/");
    expect("GET / HTTP/1.0\r\n\r\n", HEAD("1.0", "200") PLAIN("4") "a\nb/");
    expect(GET_JSON("/"), HEAD("1.1", "200") JSON("21") "{\"a\":1,\"b\":{\"c\":\"v\"}}");
    expect(GET_JSON("/b/c"), HEAD("1.1", "200") JSON("3") "\"v\"");
    expect(GET("//b///c/"), HEAD("1.1", "200") PLAIN("1") "v");
    expect(GET("http://169.254.169.254/b/c"), HEAD("1.1", "200") PLAIN("1") "v");
    expect("GET /b/c HTTP/1.1\r\naccept: */*\r\n\r\n", HEAD("1.1", "200") PLAIN("1") "v");
    expect("GET /b/c HTTP/1.1\r\nAccept: text/plain\r\n\r\n", HEAD("1.1", "200") PLAIN("1") "v");
    mmds_configure(world.mmds, false, true);
    expect(GET_JSON("/b"), HEAD("1.1", "200") JSON("1") "c");
}

static void test_mmds_http_answer__empty_text__length_zero(void **state)
{
    (void)state;
    put("{\"a\":\"\"}");
    expect(GET("/a"), HEAD("1.1", "200") PLAIN("0"));
}

static void test_mmds_http_answer__path_of_more_than_a_request__400(void **state)
{
    (void)state;
    char request[MMDS_REQUEST_MAX_SIZE + 64];
    (void)snprintf(request, sizeof(request), "GET /%0*d HTTP/1.1\r\n\r\n",
                   (int)MMDS_REQUEST_MAX_SIZE, 0);
    put("{\"a\":1}");
    expect_text(request, "400", "text/plain", "Invalid URI.");
}

static void test_mmds_http_answer__no_such_value_or_form__404_501(void **state)
{
    (void)state;
    put("{\"a\":[1]}");
    expect_text(GET("//x/"), "404", "text/plain", "Resource not found: //x/.");
    expect_text(GET("/a"), "501", "text/plain", UNSUPPORTED);
}

static void test_mmds_http_answer__nothing_put__null(void **state)
{
    (void)state;
    expect(GET_JSON("/"), HEAD("1.1", "200") JSON("4") "null");
    expect_text(GET("/"), "501", "text/plain", UNSUPPORTED);
    expect_text(GET("/a"), "404", "text/plain", "Resource not found: /a.");
}

static void test_mmds_http_answer__version_1__tokens_only_counted(void **state)
{
    (void)state;
    put("\"v\"");
    uint64_t none = metric_get(&metrics.mmds.rx_no_token);
    uint64_t bad = metric_get(&metrics.mmds.rx_invalid_token);
    expect(GET("/"), HEAD("1.1", "200") PLAIN("1") "v");
    expect("GET / HTTP/1.1\r\nX-metadata-token: x\r\n\r\n", HEAD("1.1", "200") PLAIN("1") "v");
    assert_int_equal(metric_get(&metrics.mmds.rx_no_token), none + 1);
    assert_int_equal(metric_get(&metrics.mmds.rx_invalid_token), bad + 1);
}

static void test_mmds_http_answer__version_2__token_needed(void **state)
{
    (void)state;
    put("\"v\"");
    mmds_configure(world.mmds, true, false);
    expect_text(GET("/"), "401", "text/plain",
                "No MMDS token provided. Use `X-metadata-token` or "
                "`X-aws-ec2-metadata-token` header to specify the session token.");
    expect("GET / HTTP/1.1\r\nX-aws-EC2-metadata-token: x\r\n\r\n",
           HEAD("1.1", "401") PLAIN("21") "MMDS token not valid.");
    char request[256];
    const char *made = answer(PUT(TOKEN, "x-METADATA-token-ttl-seconds:  060 \r\n"));
    const char *token = strstr(made, "\r\n\r\n") + 4;
    static const char head[] =
        HEAD("1.1", "200") "x-METADATA-token-ttl-seconds: 60\r\n" PLAIN("48");
    assert_memory_equal(made, head, strlen(head));
    assert_int_equal(strlen(token), 48);
    (void)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nx-metadata-token: %s\r\n\r\n",
                   token);
    expect(request, HEAD("1.1", "200") PLAIN("1") "v");
    world.now_ns += 60 * NS_PER_S;
    expect(request, HEAD("1.1", "401") PLAIN("21") "MMDS token not valid.");
}

static void test_mmds_http_answer__token_refused__each_with_its_text(void **state)
{
    (void)state;
    expect_text(PUT("/x", "x-forwarded-FOR: 1\r\n"), "400", "text/plain",
                "Invalid header. Reason: Unsupported header name. Key: x-forwarded-FOR");
    expect_text(PUT("/x", TTL("x")), "404", "text/plain", "Resource not found: /x.");
    expect_text(PUT(TOKEN "/", TTL("60")), "404", "text/plain", "Resource not found: " TOKEN "/.");
    expect_text(PUT(TOKEN, ""), "400", "text/plain", NO_TTL);
    expect_text(PUT(TOKEN, TTL("x")), "400", "text/plain", BAD_TTL "x");
    expect_text(PUT(TOKEN, TTL("")), "400", "text/plain", BAD_TTL);
    expect_text(PUT(TOKEN, TTL("-1")), "400", "text/plain", BAD_TTL "-1");
    expect_text(PUT(TOKEN, TTL("4294967296")), "400", "text/plain", BAD_TTL "4294967296");
    expect_text(PUT(TOKEN, TTL("4294967295")), "400", "text/plain", OUT_OF_RANGE("4294967295"));
    expect_text(PUT(TOKEN, TTL("0")), "400", "text/plain", OUT_OF_RANGE("0"));
    expect_text(PUT(TOKEN, TTL("21601")), "400", "text/plain", OUT_OF_RANGE("21601"));
    assert_null(world.mmds->key);
    assert_non_null(strstr(answer(PUT("//latest///api/token", TTL("+21600"))), "seconds: 21600"));
    assert_non_null(strstr(answer(PUT(TOKEN, "X-aws-ec2-metadata-token-ttl-seconds: 1\r\n")),
                           "\r\nX-aws-ec2-metadata-token-ttl-seconds: 1\r\n"));
}

static void test_mmds_http_answer__other_methods__405(void **state)
{
    (void)state;
    expect_text("PATCH / HTTP/1.1\r\n\r\n", "405", "text/plain", "Not allowed HTTP method.");
    expect_text("DELETE /a HTTP/1.1\r\n\r\n", "405", "text/plain", "Not allowed HTTP method.");
}

static void test_mmds_http_answer__no_request__said_as_json(void **state)
{
    (void)state;
    static const char json[] = "application/json";
    expect_text("POST /a HTTP/1.1\r\n\r\n", "501", json, "Unsupported HTTP method.");
    expect_text("GET /a HTTP/1.2\r\n\r\n", "501", json, "Unsupported HTTP version.");
    expect_text("GET /\x80 HTTP/1.1\r\n\r\n", "400", json, "Cannot parse URI as UTF-8.");
    expect_text("GET / HTTP/1.1\n\n", "400", json, "Invalid request.");
    expect_text("PUT /latest/api/token HTTP/1.1\r\nContent-Length: 1\r\n\r\n", "400", json,
                "Invalid request.");
    expect_text("GET / HTTP/1.1\r\nbad\r\n\r\n", "400", json,
                "Invalid header. Reason: Header is incorrectly formatted. Key: bad");
    expect_text("GET nothing HTTP/1.1\r\n\r\n", "400", "text/plain", "Invalid URI.");
}

static void test_mmds_http_answer__no_random__no_answer(void **state)
{
    (void)state;
    char *response = NULL;
    size_t len = 0;
    static const char request[] = PUT(TOKEN, TTL("60"));
    world.random_result = -EIO;
    assert_int_equal(mmds_http_answer(world.mmds, request, strlen(request), &response, &len), -EIO);
    assert_null(response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mmds_http_answer__accept__json_or_imds),
        TEST(test_mmds_http_answer__empty_text__length_zero),
        TEST(test_mmds_http_answer__no_such_value_or_form__404_501),
        TEST(test_mmds_http_answer__path_of_more_than_a_request__400),
        TEST(test_mmds_http_answer__nothing_put__null),
        TEST(test_mmds_http_answer__version_1__tokens_only_counted),
        TEST(test_mmds_http_answer__version_2__token_needed),
        TEST(test_mmds_http_answer__token_refused__each_with_its_text),
        TEST(test_mmds_http_answer__other_methods__405),
        TEST(test_mmds_http_answer__no_request__said_as_json),
        TEST(test_mmds_http_answer__no_random__no_answer),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
