/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's log lines, in the reference's words (api.md 10). Text from outside is shown as Rust's
 * Debug shows a string, so that a line stays one line. Any thread; no state.
 */
#include <stdio.h>
#include <string.h>

#include "api/server_int.h"
#include "base/log.h"
#include "base/utf8.h"

/* A message being put together. What does not fit in a log line is left out; the log marks it. */
struct message {
    size_t len;
    char text[LOG_MSG_MAX_SIZE + 1]; /* one more than a line takes */
};

static bool message_is_full(const struct message *message)
{
    return message->len >= sizeof(message->text) - 1;
}

static void put_bytes(struct message *message, const char *bytes, size_t len)
{
    size_t room = sizeof(message->text) - 1 - message->len;

    if (len > room)
        len = room;
    memcpy(message->text + message->len, bytes, len);
    message->len += len;
    message->text[message->len] = '\0';
}

static void put(struct message *message, const char *text)
{
    put_bytes(message, text, strlen(text));
}

/* Controls, and what has no shape of its own or changes the direction of others. */
static bool is_shown(uint32_t code)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } hidden[] = {
        {0, 0x1f},        {0x7f, 0xa0},     {0xad, 0xad},     {0x300, 0x36f},   {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},
        {0xe000, 0xf8ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, ~0u},
    };

    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        if (code >= hidden[i].first && code <= hidden[i].last)
            return false;
    }
    return true;
}

static void put_code(struct message *message, uint32_t code)
{
    char text[16];

    switch (code) {
    case '\0':
        put(message, "\\0");
        break;
    case '\t':
        put(message, "\\t");
        break;
    case '\n':
        put(message, "\\n");
        break;
    case '\r':
        put(message, "\\r");
        break;
    default:
        (void)snprintf(text, sizeof(text), "\\u{%x}", code);
        put(message, text);
        break;
    }
}

/* Puts text with escapes; marks: also before quotation marks and backslashes. Returns false when
 * the part that fits is not UTF-8. */
static bool put_escaped(struct message *message, const char *text, size_t len, bool marks)
{
    uint32_t code = 0;
    int size;

    for (size_t off = 0; off < len && !message_is_full(message); off += (size_t)size) {
        size = utf8_decode(text + off, len - off, &code);
        if (size <= 0)
            return false;
        if (!is_shown(code)) {
            put_code(message, code);
            continue;
        }
        if (marks && (code == '"' || code == '\\'))
            put(message, "\\");
        put_bytes(message, text + off, (size_t)size);
    }
    return true;
}

static void put_quoted(struct message *message, const char *text, size_t len)
{
    size_t start = message->len;

    put(message, "\"");
    if (!put_escaped(message, text, len, true)) {
        message->len = start; /* the reference's words */
        put(message, "\"inconvertible to UTF-8");
    }
    put(message, "\"");
}

static const char *method_name(enum http_method method)
{
    static const char *const names[HTTP_METHODS_COUNT] = {
        [HTTP_METHOD_GET] = "Get",
        [HTTP_METHOD_PUT] = "Put",
        [HTTP_METHOD_PATCH] = "Patch",
        [HTTP_METHOD_DELETE] = "Delete",
    };
    return names[method];
}

/* Does the path name the metadata store, whose content nobody logs? */
static bool is_mmds(const char *path)
{
    static const char word[] = "mmds";

    path += strspn(path, "/");
    size_t len = strcspn(path, "/");
    return len == strlen(word) && memcmp(path, word, len) == 0;
}

void api_trace_request(const struct http_request *http)
{
    struct message message = {.len = 0};

    if (!log_on(LOG_LEVEL_INFO))
        return;
    put(&message, "The API server received a ");
    put(&message, method_name(http->method));
    put(&message, " request on ");
    put_quoted(&message, http->path, strlen(http->path));
    if (http->body && strcmp(http->path, "/cpu-config") == 0 && !log_on(LOG_LEVEL_DEBUG)) {
        put(&message, ". To view the CPU template received by the API, configure log-level to "
                      "DEBUG");
    } else if (http->body && !is_mmds(http->path)) {
        put(&message, " with body ");
        put_quoted(&message, http->body, http->body_len);
    }
    put(&message, ".");
    log_info("%s", message.text);
}

void api_trace_success(uint32_t status)
{
    log_info("The request was executed successfully. Status code: %u %s.", status,
             status == 204 ? "No Content" : "OK");
}

/* The sentence, but for what stands between its first and its last backquote: a piece of the
 * request. Returns as put_escaped. */
static bool put_unquoting(struct message *message, const char *text)
{
    const char *first = strchr(text, '`');
    const char *last = strrchr(text, '`');

    if (!first || first == last)
        return put_escaped(message, text, strlen(text), false);
    if (!put_escaped(message, text, (size_t)(first - text) + 1, false))
        return false;
    put(message, "...");
    return put_escaped(message, last, strlen(last), false);
}

void api_trace_error(uint32_t status, const struct err *err, const struct http_request *http)
{
    struct message message = {.len = 0};
    bool hides = http && is_mmds(http->path);

    put(&message, "Received Error. Status code: ");
    put(&message, status == 413 ? "413 Payload too large" : "400 Bad Request");
    put(&message, ". Message: ");
    if (!(hides ? put_unquoting(&message, err->msg)
                : put_escaped(&message, err->msg, strlen(err->msg), false)))
        put(&message, "..."); /* cut by err_set inside a character */
    log_error("%s", message.text);
}

void api_trace_listening(const char *kind, const char *path, size_t len)
{
    struct message message = {.len = 0};

    put(&message, "Listening on ");
    put(&message, kind);
    put(&message, " socket (");
    put_quoted(&message, path, len);
    put(&message, ").");
    log_info("%s", message.text);
}
