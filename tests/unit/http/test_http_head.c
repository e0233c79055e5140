/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/http/http_head.c: request lines, header lines, and the sentence of every refusal (api.md
 * 1.2; deltas.md 7).
 */
#include <stdio.h>

#include "tests/unit/http/http_case.h"

#define INVALID_REQUEST "Invalid request."
#define BAD_METHOD "Invalid HTTP Method: Unsupported HTTP method."
#define BAD_VERSION "Invalid HTTP Version: Unsupported HTTP version."
#define REASON "Invalid header. Reason: "

static void line_refused(const char *line, const char *sentence)
{
    char text[2048];
    int len = snprintf(text, sizeof(text), "%s\r\n\r\n", line);
    case_refused(text, (size_t)len, sentence);
}

static void path_is(const char *uri, const char *path)
{
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    char text[2048];
    (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n\r\n", uri);
    case_say(reader, text);
    (void)case_expect_request(reader, HTTP_METHOD_GET, path);
    http_reader_free(reader);
}

static void test_http_head__methods__each_taken(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "GET /a HTTP/1.1\r\n\r\nPUT /b HTTP/1.1\r\n\r\n"
                     "PATCH /c HTTP/1.1\r\n\r\nDELETE /d HTTP/1.1\r\n\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/a");
    (void)case_expect_request(reader, HTTP_METHOD_PUT, "/b");
    (void)case_expect_request(reader, HTTP_METHOD_PATCH, "/c");
    (void)case_expect_request(reader, HTTP_METHOD_DELETE, "/d");
    http_reader_free(reader);
}

static void test_http_head__other_methods__unsupported(void **state)
{
    (void)state;
    line_refused("POST / HTTP/1.1", BAD_METHOD);
    line_refused("get / HTTP/1.1", BAD_METHOD);
    line_refused("GETT / HTTP/1.1", BAD_METHOD);
    line_refused("\xff / HTTP/1.1", BAD_METHOD);
    line_refused(" GET / HTTP/1.1", BAD_METHOD);
    line_refused("CONNECT a:1 HTTP/1.1", BAD_METHOD);
}

static void test_http_head__version_1_0__taken(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "GET / HTTP/1.0\r\n\r\n");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/");
    http_reader_free(reader);
}

static void test_http_head__other_versions__unsupported(void **state)
{
    (void)state;
    line_refused("GET / HTTP/2.0", BAD_VERSION);
    line_refused("GET / HTTP/1.2", BAD_VERSION);
    line_refused("GET / http/1.1", BAD_VERSION);
    line_refused("GET / HTTP/1.1 ", BAD_VERSION);
    line_refused("GET / HTTP/1.10", BAD_VERSION);
    line_refused("GET /a b HTTP/1.1", BAD_VERSION);
    line_refused("GET / ", BAD_VERSION);
}

static void test_http_head__missing_parts__invalid_request(void **state)
{
    (void)state;
    line_refused("", INVALID_REQUEST);
    line_refused("GET", INVALID_REQUEST);
    line_refused("GET /", INVALID_REQUEST);
    line_refused("GARBAGE", INVALID_REQUEST);
}

static void test_http_head__method_is_judged_before_uri_and_version(void **state)
{
    (void)state;
    line_refused("POST  HTTP/9", BAD_METHOD);
    line_refused("GET  HTTP/9", "Invalid URI: Empty URI not allowed.");
}

static void test_http_head__origin_form__path_as_it_stands(void **state)
{
    (void)state;
    path_is("/", "/");
    path_is("/machine-config", "/machine-config");
    path_is("//a//b/", "//a//b/");
    path_is("/a?x=1&y=/2", "/a?x=1&y=/2");
    path_is("/%41", "/%41");
    path_is("/\xc3\xa9", "/\xc3\xa9");
}

static void test_http_head__absolute_form__path_behind_the_host(void **state)
{
    (void)state;
    path_is("http://localhost/home", "/home");
    path_is("http://localhost:80/home/sub", "/home/sub");
    path_is("http://localhost/", "/");
    path_is("http:///home", "/home");
}

static void test_http_head__any_other_form__empty_path(void **state)
{
    (void)state;
    path_is("home", "");
    path_is("*", "");
    path_is("http://", "");
    path_is("http://127.0.0.1", "");
    path_is("https://localhost/home", "");
    path_is("HTTP://localhost/home", "");
    path_is("localhost:80", "");
}

static void test_http_head__uri_not_utf8__refused(void **state)
{
    (void)state;
    line_refused("GET /\xff HTTP/1.1", "Invalid URI: Cannot parse URI as UTF-8.");
}

static void test_http_head__uri_with_control_character__refused(void **state)
{
    (void)state;
    static const char nul[] = "GET /a\0b HTTP/1.1\r\n\r\n";
    case_refused(nul, sizeof(nul) - 1, "Invalid URI: Control characters not allowed.");
    line_refused("GET /a\x7f HTTP/1.1", "Invalid URI: Control characters not allowed.");
    line_refused("GET /a\tb HTTP/1.1", "Invalid URI: Control characters not allowed.");
}

static void test_http_head__unknown_headers__ignored(void **state)
{
    (void)state;
    case_header_taken("Host: localhost");
    case_header_taken("Content-Type: image/png");
    case_header_taken("Accept: text/html");
    case_header_taken("X-Odd:");
    case_header_taken("X-Odd: a:b:c");
    case_header_taken("X-Odd: \xc3\xa9\t");
}

static void test_http_head__connection_and_upgrade__ignored(void **state)
{
    (void)state;
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_say(reader, "PUT /a HTTP/1.0\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
                     "PUT /b HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
                     "HTTP2-Settings: AA\r\nContent-Length: 2\r\n\r\n{}"
                     "GET /c HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                     "GET /d HTTP/1.1\r\n\r\n");
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/a"), "{}");
    case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/b"), "{}");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/c");
    (void)case_expect_request(reader, HTTP_METHOD_GET, "/d");
    http_reader_free(reader);
}

static void test_http_head__no_colon__wrong_format(void **state)
{
    (void)state;
    case_header_refused("NoColon", REASON "Header is incorrectly formatted. Key: NoColon");
    case_header_refused("two words", REASON "Header is incorrectly formatted. Key: two words");
}

static void test_http_head__name_not_a_token__wrong_format(void **state)
{
    (void)state;
    case_header_refused(": empty", REASON "Header is incorrectly formatted. Key: ");
    case_header_refused("a@b: c", REASON "Header is incorrectly formatted. Key: a@b");
    case_header_refused("\xc3\xa9: c", REASON "Header is incorrectly formatted. Key: \xc3\xa9");
}

static void test_http_head__blank_in_name__wrong_format(void **state)
{
    (void)state;
    case_header_refused("Content-Length : 5",
                        REASON "Header is incorrectly formatted. Key: Content-Length ");
    case_header_refused("Transfer-Encoding : chunked",
                        REASON "Header is incorrectly formatted. Key: Transfer-Encoding ");
    case_header_refused("a b: c", REASON "Header is incorrectly formatted. Key: a b");
}

static void test_http_head__folded_line__wrong_format(void **state)
{
    (void)state;
    case_header_refused("A: b\r\n c: d", REASON "Header is incorrectly formatted. Key:  c");
    case_header_refused("A: b\r\n\tc: d",
                        REASON "Header is incorrectly formatted. Key: \xef\xbf\xbd"
                               "c");
    case_header_refused("A: b\r\n more", REASON "Header is incorrectly formatted. Key:  more");
}

static void test_http_head__header_not_utf8__refused_with_its_place(void **state)
{
    (void)state;
    case_header_refused("X: \xff", REASON "Header contains invalid characters. Key: invalid utf-8 "
                                          "sequence of 1 bytes from index 3");
    case_header_refused("X: \xe2\x82(", REASON "Header contains invalid characters. Key: invalid "
                                               "utf-8 sequence of 2 bytes from index 3");
    case_header_refused("X: ab\xc3", REASON "Header contains invalid characters. Key: incomplete "
                                            "utf-8 byte sequence from index 5");
}

static void test_http_head__control_character_in_value__refused(void **state)
{
    (void)state;
    static const char nul[] = "GET / HTTP/1.1\r\nX-Odd: a\0b\r\n\r\n";
    case_header_refused("X-Odd: a\x01", REASON "Header contains invalid characters. Key: X-Odd");
    case_header_refused("X-Odd: \x7f", REASON "Header contains invalid characters. Key: X-Odd");
    case_refused(nul, sizeof(nul) - 1, REASON "Header contains invalid characters. Key: X-Odd");
}

static void test_http_head__content_length__any_case_any_blanks(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Content-Length: 2",
        "content-length:2",
        "CONTENT-LENGTH: \t 2  ",
        "Content-Length: 0002",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
        case_say(reader, "PUT /a HTTP/1.1\r\n");
        case_say(reader, lines[i]);
        case_say(reader, "\r\n\r\n{}");
        case_expect_body(case_expect_request(reader, HTTP_METHOD_PUT, "/a"), "{}");
        http_reader_free(reader);
    }
}

static void test_http_head__content_length_zero__no_body(void **state)
{
    (void)state;
    case_header_taken("Content-Length: 0");
}

static void test_http_head__bad_content_length__shown_as_it_came(void **state)
{
    (void)state;
    static const char *const values[] = {
        "",
        " ",
        " -1",
        " +5",
        " abc",
        " 5x",
        " 5 5",
        " 5,5",
        " 0x10",
        " 1.0",
        "x",
        " 4294967296",
        " 18446744073709551616",
        " 99999999999999999999999",
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char line[128];
        char sentence[256];
        (void)snprintf(line, sizeof(line), "content-Length:%s", values[i]);
        (void)snprintf(sentence, sizeof(sentence),
                       REASON "Invalid value. Key:content-Length; Value:%s", values[i]);
        case_header_refused(line, sentence);
    }
}

static void test_http_head__content_length_twice__refused(void **state)
{
    (void)state;
    case_header_refused("Content-Length: 5\r\ncontent-length: 5",
                        REASON "Header is repeated. Key: content-length");
    case_header_refused("Content-Length: 0\r\nContent-Length: 0",
                        REASON "Header is repeated. Key: Content-Length");
}

static void test_http_head__chunked__refused(void **state)
{
    (void)state;
    case_header_refused("Transfer-Encoding: chunked",
                        REASON "Transfer-Encoding is not supported, a body needs a "
                               "Content-Length. Value: chunked");
    case_header_refused("Content-Length: 5\r\nTRANSFER-ENCODING: gzip, chunked",
                        REASON "Transfer-Encoding is not supported, a body needs a "
                               "Content-Length. Value: gzip, chunked");
}

static void test_http_head__transfer_encoding_identity__ignored(void **state)
{
    (void)state;
    case_header_taken("Transfer-Encoding: identity");
    case_header_taken("Transfer-Encoding: identity\r\nContent-Length: 0");
}

static void test_http_head__accept_encoding_with_identity__taken(void **state)
{
    (void)state;
    case_header_taken("Accept-Encoding: gzip, deflate");
    case_header_taken("Accept-Encoding: identity;q=0.5");
    case_header_taken("Accept-Encoding: *;q=0, identity;q=1");
    case_header_taken("Accept-Encoding: *");
}

static void test_http_head__accept_encoding_empty__invalid_request(void **state)
{
    (void)state;
    case_header_refused("Accept-Encoding:", INVALID_REQUEST);
    case_header_refused("accept-encoding:  \t", INVALID_REQUEST);
}

static void test_http_head__accept_encoding_without_identity__refused(void **state)
{
    (void)state;
    case_header_refused("Accept-Encoding: identity;q=0",
                        REASON "Invalid value. Key:Accept-Encoding; Value:identity;q=0");
    case_header_refused("accept-encoding: gzip, identity;q=0",
                        REASON "Invalid value. Key:Accept-Encoding; Value: identity;q=0");
    case_header_refused("Accept-Encoding: *;q=0",
                        REASON "Invalid value. Key:Accept-Encoding; Value:*;q=0");
}

static void test_http_head__sentence_with_outside_text__fit_to_be_shown(void **state)
{
    (void)state;
    case_header_refused("a\x1b[2J",
                        REASON "Header is incorrectly formatted. Key: a\xef\xbf\xbd[2J");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_head__methods__each_taken),
        cmocka_unit_test(test_http_head__other_methods__unsupported),
        cmocka_unit_test(test_http_head__version_1_0__taken),
        cmocka_unit_test(test_http_head__other_versions__unsupported),
        cmocka_unit_test(test_http_head__missing_parts__invalid_request),
        cmocka_unit_test(test_http_head__method_is_judged_before_uri_and_version),
        cmocka_unit_test(test_http_head__origin_form__path_as_it_stands),
        cmocka_unit_test(test_http_head__absolute_form__path_behind_the_host),
        cmocka_unit_test(test_http_head__any_other_form__empty_path),
        cmocka_unit_test(test_http_head__uri_not_utf8__refused),
        cmocka_unit_test(test_http_head__uri_with_control_character__refused),
        cmocka_unit_test(test_http_head__unknown_headers__ignored),
        cmocka_unit_test(test_http_head__connection_and_upgrade__ignored),
        cmocka_unit_test(test_http_head__no_colon__wrong_format),
        cmocka_unit_test(test_http_head__name_not_a_token__wrong_format),
        cmocka_unit_test(test_http_head__blank_in_name__wrong_format),
        cmocka_unit_test(test_http_head__folded_line__wrong_format),
        cmocka_unit_test(test_http_head__header_not_utf8__refused_with_its_place),
        cmocka_unit_test(test_http_head__control_character_in_value__refused),
        cmocka_unit_test(test_http_head__content_length__any_case_any_blanks),
        cmocka_unit_test(test_http_head__content_length_zero__no_body),
        cmocka_unit_test(test_http_head__bad_content_length__shown_as_it_came),
        cmocka_unit_test(test_http_head__content_length_twice__refused),
        cmocka_unit_test(test_http_head__chunked__refused),
        cmocka_unit_test(test_http_head__transfer_encoding_identity__ignored),
        cmocka_unit_test(test_http_head__accept_encoding_with_identity__taken),
        cmocka_unit_test(test_http_head__accept_encoding_empty__invalid_request),
        cmocka_unit_test(test_http_head__accept_encoding_without_identity__refused),
        cmocka_unit_test(test_http_head__sentence_with_outside_text__fit_to_be_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
