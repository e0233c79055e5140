/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the API's log lines (api.md 10), read back from a log file. Row 61 of clients.md.
 */
#include "api/server_int.h"
#include "base/log.h"
#include "base/metrics.h"
#include "tests/unit/api/server_fixture.h"

static char log_dir[] = "/tmp/mayfly-trace-XXXXXX";
static char log_path[64];

static int setup(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    if (!mkdtemp(log_dir))
        return -1;
    (void)snprintf(log_path, sizeof(log_path), "%s/log", log_dir);
    return log_open(log_path, &err);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(log_path) < 0 || rmdir(log_dir) < 0 ? -1 : 0;
}

static void level_set(enum log_level level)
{
    assert_int_equal(truncate(log_path, 0), 0);
    log_set(&(struct log_settings){.level = level});
}

/* The log so far is one line that ends in `message`; empty afterwards. */
static void check_line(const char *message)
{
    char *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;

    assert_int_equal(fd_read_file(log_path, 1u << 20, &text, &len, &err), 0);
    assert_true(len > 0 && text[len - 1] == '\n');
    text[len - 1] = '\0';
    assert_null(strchr(text, '\n'));
    const char *shown = strstr(text, "] ");
    assert_non_null(shown);
    assert_string_equal(shown + 2, message);
    free(text);
    assert_int_equal(truncate(log_path, 0), 0);
}

static void trace(enum http_method method, const char *path, const char *body)
{
    api_trace_request(&(struct http_request){
        .method = method, .path = path, .body = body, .body_len = body ? strlen(body) : 0});
}

static void test_api_trace_request__methods_and_bodies__the_reference_s_words(void **state)
{
    (void)state;
    level_set(LOG_LEVEL_INFO);
    trace(HTTP_METHOD_GET, "/", NULL);
    check_line("The API server received a Get request on \"/\".");
    trace(HTTP_METHOD_PUT, "/drives/r", "{\n\t\"a\": \"\\x\"}");
    check_line("The API server received a Put request on \"/drives/r\" with body "
               "\"{\\n\\t\\\"a\\\": \\\"\\\\x\\\"}\".");
    trace(HTTP_METHOD_DELETE, "/pmem/p", NULL);
    check_line("The API server received a Delete request on \"/pmem/p\".");
}

static void test_api_trace_request__secrets_and_templates__body_left_out(void **state)
{
    (void)state;
    level_set(LOG_LEVEL_INFO);
    trace(HTTP_METHOD_PUT, "/mmds", "{\"secret\":1}");
    check_line("The API server received a Put request on \"/mmds\".");
    trace(HTTP_METHOD_PATCH, "//mmds/", "{\"secret\":1}"); /* routed as /mmds is */
    check_line("The API server received a Patch request on \"//mmds/\".");
    trace(HTTP_METHOD_PUT, "/mmds/config", "{\"secret\":1}");
    check_line("The API server received a Put request on \"/mmds/config\".");
    trace(HTTP_METHOD_PUT, "/cpu-config", "{}");
    check_line("The API server received a Put request on \"/cpu-config\". To view the CPU template "
               "received by the API, configure log-level to DEBUG.");
    level_set(LOG_LEVEL_DEBUG);
    trace(HTTP_METHOD_PUT, "/cpu-config", "{}");
    check_line("The API server received a Put request on \"/cpu-config\" with body \"{}\".");
}

static void test_api_trace_request__odd_text__one_line(void **state)
{
    (void)state;
    level_set(LOG_LEVEL_INFO);
    trace(HTTP_METHOD_GET, "/\r\x1b[0m\x7f\xc2\x85\xe2\x80\xae\xc3\xa9\xf0\x9f\xa6\x80'", NULL);
    check_line("The API server received a Get request on "
               "\"/\\r\\u{1b}[0m\\u{7f}\\u{85}\\u{202e}\xc3\xa9\xf0\x9f\xa6\x80'\".");
    trace(HTTP_METHOD_PUT, "/vsock", "{\"a\":\"\xff\"}");
    check_line("The API server received a Put request on \"/vsock\" with body "
               "\"inconvertible to UTF-8\".");
}

static void test_api_trace_request__long_body__cut(void **state)
{
    (void)state;
    char *body = malloc(HTTP_BODY_DEFAULT_MAX_SIZE + 1);
    char *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;

    assert_non_null(body);
    memset(body, '\n', HTTP_BODY_DEFAULT_MAX_SIZE);
    body[HTTP_BODY_DEFAULT_MAX_SIZE] = '\0';
    level_set(LOG_LEVEL_INFO);
    trace(HTTP_METHOD_PUT, "/vsock", body);
    assert_int_equal(fd_read_file(log_path, 1u << 20, &text, &len, &err), 0);
    assert_true(len > LOG_MSG_MAX_SIZE && len < LOG_MSG_MAX_SIZE + 200);
    assert_string_equal(text + len - 4, "...\n");
    free(text);
    free(body);
}

static void test_api_trace_error__sentence__one_line_with_its_status(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    level_set(LOG_LEVEL_ERROR);
    (void)err_set(&err, -EINVAL, "no \"file\"\nhere");
    api_trace_error(400, &err, NULL);
    check_line("Received Error. Status code: 400 Bad Request. Message: no \"file\"\\nhere");
    (void)err_set(&err, -EMSGSIZE, "too large");
    api_trace_error(413, &err, NULL);
    check_line("Received Error. Status code: 413 Payload too large. Message: too large");
}

static void test_api_trace_error__metadata__not_quoted(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char path[] = "/mmds";
    const struct http_request http = {.path = path};

    level_set(LOG_LEVEL_ERROR);
    (void)err_set(&err, -EINVAL, "duplicate field `s3cret` at line 1 column 9");
    api_trace_error(400, &err, &http);
    check_line("Received Error. Status code: 400 Bad Request. Message: duplicate field `...` at "
               "line 1 column 9");
}

/* The texts, in this order, stand in the log. */
static void check_log(const char *const *texts)
{
    char *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;

    assert_int_equal(fd_read_file(log_path, 1u << 20, &text, &len, &err), 0);
    const char *at = text;
    for (size_t i = 0; texts[i]; i++) {
        at = strstr(at, texts[i]);
        assert_non_null(at);
        at += strlen(texts[i]);
    }
    free(text);
}

static void test_api_server__conversation__lines_of_the_reference(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "] Listening on API socket (\"/tmp/mayfly-api-",
        "/s\").\n",
        ":fc_api] API server started.\n",
        ":fc_api] The API server received a Put request on \"/boot-source\" with body ",
        "\"{\\\"kernel_image_path\\\":\\\"k\\\"}\".\n",
        ":fc_api] The request was executed successfully. Status code: 204 No Content.\n",
        ":fc_api] The API server received a Get request on \"/version\".\n",
        ":fc_api] The request was executed successfully. Status code: 200 OK.\n",
        ":fc_api] The API server received a Get request on \"/nothing\".\n",
        ":fc_api] Received Error. Status code: 400 Bad Request. Message: Invalid request method ",
        "and/or path: GET nothing.\n",
        ":fc_api] The API server received a Patch request on \"/vm\" with body ",
        ":fc_api] 'pause vm' API request took ",
        " us.\n",
        ":fc_api] The request was executed successfully. Status code: 204 No Content.\n",
        ":fc_api] Received Error. Status code: 400 Bad Request. Message: Refused: no\\nway\n",
        NULL,
    };
    struct world *world = world_make_without_server();
    struct api_server_options options = world_options(world);
    struct err err = ERR_INIT;
    static const char pause[] =
        "PATCH /vm HTTP/1.1\r\nContent-Length: 18\r\n\r\n{\"state\":\"Paused\"}";

    level_set(LOG_LEVEL_INFO);
    assert_int_equal(api_server_open(&options, &world->server, &err), 0);
    assert_int_equal(api_server_start(world->server, world->mailbox, &err), 0);
    int fd = client_connect(world);
    check_exchange(fd, PUT_BOOT, STATUS_204, "Server");
    check_exchange(fd, GET_VERSION, STATUS_200, "firecracker_version");
    check_exchange(fd, "GET /nothing HTTP/1.1\r\n\r\n", STATUS_400, "fault_message");
    metric_store(&metrics.latencies_us.pause_vm, UINT64_MAX);
    check_exchange(fd, pause, STATUS_204, "Server");
    assert_true(metric_get(&metrics.latencies_us.pause_vm) < 5000000);
    world->refused = -EINVAL;
    metric_store(&metrics.latencies_us.pause_vm, UINT64_MAX);
    check_exchange(fd, pause, STATUS_400, "Refused: no\\nway");
    assert_true(metric_get(&metrics.latencies_us.pause_vm) == UINT64_MAX);
    fd_close(&fd);
    check_log(lines);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_trace_request__methods_and_bodies__the_reference_s_words),
        cmocka_unit_test(test_api_trace_request__secrets_and_templates__body_left_out),
        cmocka_unit_test(test_api_trace_request__odd_text__one_line),
        cmocka_unit_test(test_api_trace_request__long_body__cut),
        cmocka_unit_test(test_api_trace_error__sentence__one_line_with_its_status),
        cmocka_unit_test(test_api_trace_error__metadata__not_quoted),
        cmocka_unit_test(test_api_server__conversation__lines_of_the_reference),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
