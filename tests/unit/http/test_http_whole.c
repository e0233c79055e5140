/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/http/http_whole.c. Single thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/http/http.h"
#include "tests/unit/unit.h"

static char fields[1024]; /* as told: "name=value;" */

static void on_field(void *ctx, const struct http_field *field)
{
    size_t used = strlen(fields);
    assert_ptr_equal(ctx, fields);
    (void)snprintf(fields + used, sizeof(fields) - used, "%.*s=%.*s;", (int)field->name_len,
                   field->name, (int)field->value_len, field->value);
}

static struct http_whole whole;
static enum http_fault fault;
static struct err err;

static int parse(const char *text)
{
    fields[0] = '\0';
    return http_whole_parse(text, strlen(text), on_field, fields, &whole, &fault, &err);
}

static void test_http_whole_parse__request__its_parts(void **state)
{
    (void)state;
    assert_int_equal(
        parse(
            "PUT http://localhost/a//b?c HTTP/1.0\r\nHost:\t h \r\nX-Token: a b\r\nEmpty:\r\n\r\n"),
        0);
    assert_int_equal(whole.method, HTTP_METHOD_PUT);
    assert_int_equal(whole.minor, 0);
    assert_int_equal(whole.path_len, 7);
    assert_memory_equal(whole.path, "/a//b?c", 7);
    assert_string_equal(fields, "Host=h;X-Token=a b;Empty=;");
    assert_int_equal(parse("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), 0);
    assert_int_equal(whole.minor, 1);
}

static void test_http_whole_parse__bad_request_line__the_reason_alone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http_fault fault;
        const char *reason;
    } cases[] = {
        {"POST /a HTTP/1.1\r\n\r\n", HTTP_FAULT_METHOD, "Unsupported HTTP method."},
        {"GET /abcdef HTTP/2.0\r\n\r\n", HTTP_FAULT_VERSION, "Unsupported HTTP version."},
        {"GET  HTTP/1.11\r\n\r\n", HTTP_FAULT_URI, "Empty URI not allowed."},
        {"GET /\xff HTTP/1.1\r\n\r\n", HTTP_FAULT_URI, "Cannot parse URI as UTF-8."},
        {"GET / HTTP/1\r\n\r\n", HTTP_FAULT_OTHER, "Invalid request."},
        {"GET /nothing-more\r\n\r\n", HTTP_FAULT_OTHER, "Invalid request."},
        {"\r\n\r\n", HTTP_FAULT_OTHER, "Invalid request."},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(parse(cases[i].text), -EPROTO);
        assert_int_equal(fault, cases[i].fault);
        assert_string_equal(err.msg, cases[i].reason);
    }
}

static void test_http_whole_parse__bad_headers__sentence_of_the_reader(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"GET / HTTP/1.1\r\nnothing\r\n\r\n",
         "Invalid header. Reason: Header is incorrectly formatted. Key: nothing"},
        {"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
         "Invalid header. Reason: Invalid value. Key:Content-Length; Value: x"},
        {"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", "Invalid request."},
        {"GET / HTTP/1.1\r\nAccept-Encoding:\r\n\r\n", "Invalid request."},
        {"GET / HTTP/1.1\r\n\n", "Invalid request."},
        {"GET / HTTP/1.1\nA: b\n\n", "Invalid request."},
        {"GET / HTTP/1.1\r\nA: b\r\n", "Invalid request."},
        {"GET / HTTP/1.1\r\n\r\nx", "Invalid request."},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(parse(cases[i][0]), -EPROTO);
        assert_int_equal(fault, HTTP_FAULT_OTHER);
        assert_string_equal(err.msg, cases[i][1]);
    }
}

/* http-parser takes a lone CR for a line's end, and what follows for a body and another request. */
static void test_http_whole_parse__length_hidden_by_a_lone_cr__refused(void **state)
{
    (void)state;
    assert_int_equal(parse("GET /a HTTP/1.1\r\nContent-Length: 3\r\n\r:abcGET / HTTP/1.1\r\n\r\n"),
                     -EPROTO);
    assert_int_equal(parse("GET /a HTTP/1.1\r\n\r:GET / HTTP/1.1\r\n\r\n"), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_whole_parse__length_hidden_by_a_lone_cr__refused),
        cmocka_unit_test(test_http_whole_parse__request__its_parts),
        cmocka_unit_test(test_http_whole_parse__bad_request_line__the_reason_alone),
        cmocka_unit_test(test_http_whole_parse__bad_headers__sentence_of_the_reader),
    };
    return cmocka_run_group_tests_name("http_whole", tests, NULL, NULL);
}
