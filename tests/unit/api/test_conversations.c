/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays the recorded exchanges with Firecracker (tests/data/conversations.jsonl) through the half
 * of the API that needs no VM. What that half answers alone (paths, ids, JSON) must be the recorded
 * bytes; for what it hands on, the recorded outcome is put in, and the bytes made of it compared.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/reply.h"
#include "base/fd.h"
#include "base/json/json.h"
#include "tests/unit/api/request_fixture.h"

#define DATA_MAX_SIZE (4u * 1024u * 1024u)
#define VERSION "1.16.1" /* recorded as VER */
#define EXCHANGES_COUNT 370u

struct exchange {
    char scenario[64];
    unsigned step;
    enum http_method method;
    char path[128];
    char *body; /* as sent; NULL: none */
    size_t body_len;
    uint32_t status;
    bool deprecated;
    char *expected; /* the whole response */
    char *reply;    /* its body */
};

struct counts {
    unsigned exact;     /* refused, the same bytes */
    unsigned positions; /* refused, the same but for line and column */
    unsigned listed;    /* refused otherwise, on purpose */
    unsigned rendered;  /* handed on; the same bytes made of the recorded outcome */
    unsigned documents; /* GETs whose document is of the VM's state */
};

/* ------------------------------------------------------------------ the recording */

static struct json_val member(struct json_val object, const char *key)
{
    struct json_iter iter;
    struct json_item item;

    json_iter_init(&iter, object);
    while (json_iter_next(&iter, &item)) {
        if (strcmp(item.key, key) == 0)
            return item.val;
    }
    fail_msg("the recording has no %s", key);
    return object;
}

static const char *text_of(struct json_val object, const char *key)
{
    size_t len;

    return json_as_text(member(object, key), &len);
}

/* The recorded text with VERSION in place of VER. Heap. */
static char *with_version(const char *text)
{
    const char *ver = strstr(text, "\"VER\"");
    char *out = NULL;

    int head_len = ver ? (int)(ver - text) : (int)strlen(text);
    assert_true(asprintf(&out, "%.*s%s%s", head_len, text, ver ? "\"" VERSION "\"" : "",
                         ver ? ver + strlen("\"VER\"") : "") >= 0);
    return out;
}

static void read_response(struct json_val record, struct exchange *exchange)
{
    struct json_iter iter;
    struct json_item item;
    const char *status_line = text_of(record, "status_line");
    char *text = strdup(status_line);
    size_t len;

    exchange->status = (uint32_t)strtoul(status_line + strlen("HTTP/1.1 "), NULL, 10);
    exchange->reply = with_version(text_of(record, "reply"));
    json_iter_init(&iter, member(record, "headers"));
    while (json_iter_next(&iter, &item)) {
        char *longer = NULL;
        const char *header = json_as_text(item.val, &len);
        assert_true(asprintf(&longer, "%s\r\n%s", text, header) >= 0);
        exchange->deprecated |= strcmp(header, "Deprecation: true") == 0;
        free(text);
        text = longer;
    }
    assert_true(asprintf(&exchange->expected, "%s\r\n\r\n%s", text, exchange->reply) >= 0);
    free(text);
}

static enum http_method method_of(const char *name)
{
    for (int i = 0; i < HTTP_METHODS_COUNT; i++) {
        if (strcmp(http_method_name((enum http_method)i), name) == 0)
            return (enum http_method)i;
    }
    fail_msg("the recording has a method %s", name);
    return HTTP_METHOD_GET;
}

/* A body stands in its line as it was sent, numbers included that our parser refuses: it is cut
 * out, and the rest parsed. */
static void read_exchange(const char *line, size_t len, struct exchange *ret_exchange)
{
    struct exchange exchange = {0};
    struct json_doc *doc;
    struct err err = ERR_INIT;
    const char *body = memmem(line, len, "\"body\": ", 8);
    const char *behind = memmem(line, len, ", \"headers_sent\": ", 18);
    char *rest = NULL;

    assert_true(body && behind);
    body += 8;
    int head_len = (int)(body - line);
    int tail_len = (int)(line + len - behind);
    assert_true(asprintf(&rest, "%.*snull%.*s", head_len, line, tail_len, behind) >= 0);
    if (json_parse(rest, strlen(rest), DATA_MAX_SIZE, &doc, &err) < 0)
        fail_msg("%s", err.msg);
    struct json_val record = json_root(doc);
    exchange.body_len = (size_t)(behind - body);
    if (exchange.body_len != 4 || memcmp(body, "null", 4) != 0)
        exchange.body = strndup(body, exchange.body_len);
    (void)snprintf(exchange.scenario, sizeof(exchange.scenario), "%s", text_of(record, "scenario"));
    (void)snprintf(exchange.path, sizeof(exchange.path), "%s", text_of(record, "path"));
    exchange.step = (unsigned)json_as_int(member(record, "step"));
    exchange.method = method_of(text_of(record, "method"));
    read_response(record, &exchange);
    json_free(doc);
    free(rest);
    *ret_exchange = exchange;
}

/* ------------------------------------------------------------------ comparison */

/* Takes out every " at line N column N". */
static void drop_positions(char *text)
{
    char *at;

    while ((at = strstr(text, " at line "))) {
        char *end = at + strlen(" at line ");
        end += strspn(end, "0123456789");
        assert_memory_equal(end, " column ", 8);
        end += 8;
        end += strspn(end, "0123456789");
        memmove(at, end, strlen(end) + 1);
    }
}

/* Bodies only: a position's digits are in Content-Length too. */
static bool same_but_for_positions(const char *ours, const char *theirs)
{
    char *a = strdup(strstr(ours, "\r\n\r\n"));
    char *b = strdup(strstr(theirs, "\r\n\r\n"));

    drop_positions(a);
    drop_positions(b);
    bool same = strcmp(a, b) == 0;
    free(a);
    free(b);
    return same;
}

/* Part of our sentence where it differs on purpose, or NULL. differences: the list in
 * tests/data. */
static const char *listed_answer(struct json_val differences, const struct exchange *exchange)
{
    struct json_iter iter;
    struct json_item item;

    json_iter_init(&iter, differences);
    while (json_iter_next(&iter, &item)) {
        if (strcmp(text_of(item.val, "scenario"), exchange->scenario) == 0 &&
            json_as_int(member(item.val, "step")) == exchange->step)
            return text_of(item.val, "answer");
    }
    return NULL;
}

/* Those without an answer are documents with another value, which are ctl's; others are the
 * machine's. */
static unsigned listed_answers_count(struct json_val differences)
{
    struct json_iter iter;
    struct json_item item;
    unsigned count = 0;

    json_iter_init(&iter, differences);
    while (json_iter_next(&iter, &item))
        count += json_kind(member(item.val, "answer")) == JSON_KIND_STRING &&
                 strcmp(text_of(item.val, "from"), "request") == 0;
    return count;
}

static void check_refused(const struct exchange *exchange, struct json_val differences,
                          const struct err *err, struct counts *counts)
{
    const char *answer = listed_answer(differences, exchange);
    char *text = NULL;
    size_t len;

    assert_int_equal(api_fault_render(err, &text, &len), 0);
    if (strcmp(text, exchange->expected) == 0)
        counts->exact++;
    else if (strstr(exchange->expected, " column ") &&
             same_but_for_positions(text, exchange->expected))
        counts->positions++;
    else if (answer && strstr(err->msg, answer))
        counts->listed++;
    else
        fail_msg("%s %u:\n%s\nrecorded:\n%s", exchange->scenario, exchange->step, text,
                 exchange->expected);
    free(text);
}

static enum ctl_state recorded_state(const struct exchange *exchange)
{
    if (strstr(exchange->reply, "\"Running\""))
        return CTL_STATE_RUNNING;
    return strstr(exchange->reply, "\"Paused\"") ? CTL_STATE_PAUSED : CTL_STATE_NOT_STARTED;
}

/* What ctl would have said, taken from the recording. */
static void recorded_outcome(const struct exchange *exchange, struct ctl_reply *ret_reply)
{
    struct json_doc *doc;
    struct err err = ERR_INIT;

    *ret_reply = (struct ctl_reply){0};
    if (exchange->status != 400)
        return;
    assert_int_equal(
        json_parse(exchange->reply, strlen(exchange->reply), DATA_MAX_SIZE, &doc, &err), 0);
    ret_reply->code =
        err_set(&ret_reply->err, -EINVAL, "%s", text_of(json_root(doc), "fault_message"));
    json_free(doc);
}

/* GETs of what requests before have made are ctl's to test. */
static bool needs_state(const struct exchange *exchange, const struct api_request *request)
{
    enum ctl_action_kind kind = request->action.kind;

    return strcmp(exchange->scenario, "get-preboot") != 0 && exchange->status == 200 &&
           request->answer == API_ANSWER_CTL &&
           (kind == CTL_MACHINE_CONFIG_GET || kind == CTL_VM_CONFIG_GET || kind == CTL_MMDS_GET);
}

static void check_taken(const struct exchange *exchange, const struct api_request *request,
                        struct counts *counts)
{
    static const char *const ours_to_say[] = {
        "An error occurred when", "Invalid request", "Empty ",        "The id from",
        "API Resource IDs",       "The ID cannot",   "Unrecognized ", "GET request"};
    const struct api_identity identity = {.id = "diffapi", .version = VERSION};
    struct cfg_vm *vm = malloc(sizeof(*vm));
    struct ctl_reply reply;
    char *text = NULL;
    size_t len;

    assert_non_null(vm);
    cfg_vm_init(vm);
    recorded_outcome(exchange, &reply);
    reply.vm = vm;
    reply.metadata = "{}";
    for (size_t i = 0; i < ARRAY_LEN(ours_to_say); i++) {
        if (strncmp(reply.err.msg, ours_to_say[i], strlen(ours_to_say[i])) == 0)
            fail_msg("%s %u was taken; recorded: %s", exchange->scenario, exchange->step,
                     reply.err.msg);
    }
    assert_int_equal(request->deprecated, exchange->deprecated);
    if (needs_state(exchange, request)) {
        counts->documents++;
    } else {
        assert_int_equal(
            api_reply_render(&identity, recorded_state(exchange), request, &reply, &text, &len), 0);
        assert_string_equal(text, exchange->expected);
        counts->rendered++;
    }
    free(text);
    free(vm);
}

static void replay(const struct exchange *exchange, struct json_val differences,
                   struct counts *counts)
{
    const struct http_request http = {.method = exchange->method,
                                      .path = exchange->path,
                                      .body = exchange->body,
                                      .body_len = exchange->body_len};
    struct api_request request;
    struct err err = ERR_INIT;

    if (api_request_parse(&http, HTTP_BODY_DEFAULT_MAX_SIZE, &request, &err) < 0) {
        check_refused(exchange, differences, &err, counts);
        return;
    }
    check_taken(exchange, &request, counts);
    api_request_done(&request);
}

/* The file of that name, which the build has put beside this program's objects. */
static char *read_data(const char *name, size_t *ret_len)
{
    char path[PATH_MAX];
    char *text = NULL;
    struct err err = ERR_INIT;

    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    assert_true(len > 0);
    path[len] = '\0';
    char *end = strrchr(path, '/');
    assert_non_null(end);
    (void)snprintf(end, PATH_MAX - (size_t)(end - path), "/api/%s", name);
    if (fd_read_file(path, DATA_MAX_SIZE, &text, ret_len, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    return text;
}

static void test_conversations__every_exchange__same_answer(void **state)
{
    (void)state;
    struct counts counts = {0};
    unsigned count = 0;
    size_t len = 0;
    struct json_doc *differences;
    struct err err = ERR_INIT;
    char *list = read_data("conversations_differences.json", &len);
    assert_int_equal(json_parse(list, len, DATA_MAX_SIZE, &differences, &err), 0);
    char *text = read_data("conversations.jsonl", &len);
    const char *line = text;

    while (line < text + len) {
        const char *end = memchr(line, '\n', (size_t)(text + len - line));
        assert_non_null(end);
        struct exchange exchange;
        read_exchange(line, (size_t)(end - line), &exchange);
        replay(&exchange, json_root(differences), &counts);
        free(exchange.body);
        free(exchange.expected);
        free(exchange.reply);
        count++;
        line = end + 1;
    }
    free(text);
    print_message("%u exchanges: refused with the same bytes %u, but for positions %u, listed %u; "
                  "handed on with the same bytes %u, documents of the VM's state %u\n",
                  count, counts.exact, counts.positions, counts.listed, counts.rendered,
                  counts.documents);
    assert_int_equal(count, EXCHANGES_COUNT);
    assert_int_equal(counts.listed, listed_answers_count(json_root(differences)));
    json_free(differences);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversations__every_exchange__same_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
