/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over JSON text: positions for sentences, nesting depth, the context of a text that stops
 * too early. Works on bytes only; whether the text is JSON is jansson's judgement. Any thread; no
 * state.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json/json_int.h"
#include "base/utf8.h"

/* " at line N column N", so that a long sentence never pushes it out of a struct err */
#define POSITION_MAX_SIZE 64u

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes that a number or a word (true, false, null) is made of. */
static bool is_scalar(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
           c == 'E';
}

size_t json_scan_space(const char *text, size_t len, size_t off)
{
    while (off < len && is_space(text[off]))
        off++;
    return off;
}

/* Finds the end of the string that starts at off: true and the offset behind the closing quote, or
 * false (len) when the text stops first. */
static bool string_end(const char *text, size_t len, size_t off, size_t *ret_end_off)
{
    for (off++; off < len && text[off] != '"'; off++) {
        if (text[off] == '\\')
            off++;
    }
    *ret_end_off = off < len ? off + 1 : len;
    return off < len;
}

size_t json_scan_string(const char *text, size_t len, size_t off)
{
    size_t end_off;

    (void)string_end(text, len, off, &end_off); /* an open string ends where the text does */
    return end_off;
}

static size_t scan_scalar(const char *text, size_t len, size_t off)
{
    while (off < len && is_scalar(text[off]))
        off++;
    return off;
}

size_t json_scan_value(const char *text, size_t len, size_t off)
{
    size_t depth = 0;

    while (off < len) {
        if (text[off] == '"') {
            off = json_scan_string(text, len, off);
        } else if (text[off] == '{' || text[off] == '[') {
            depth++;
            off++;
        } else if (text[off] == '}' || text[off] == ']') {
            depth--;
            off++;
        } else if (is_scalar(text[off])) {
            off = scan_scalar(text, len, off);
        } else {
            off++; /* comma, colon or white space inside a container */
            continue;
        }
        if (depth == 0)
            break;
    }
    return off;
}

size_t json_scan_depth(const char *text, size_t len)
{
    size_t depth = 0;

    for (size_t off = 0; off < len; off++) {
        if (text[off] == '"') {
            off = json_scan_string(text, len, off) - 1;
        } else if (text[off] == '{' || text[off] == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return off + 1;
        } else if ((text[off] == '}' || text[off] == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

struct json_span json_scan_token_ending(const char *text, size_t len, size_t end_off)
{
    size_t off = 0;

    while (off < len && off < end_off) {
        size_t begin_off = off;
        if (text[off] == '"')
            off = json_scan_string(text, len, off);
        else if (is_scalar(text[off]))
            off = scan_scalar(text, len, off);
        else
            off++;
        if (off == end_off)
            return (struct json_span){begin_off, end_off};
    }
    return (struct json_span){end_off, end_off};
}

const char *json_scan_eof_context(const char *text, size_t len)
{
    bool in_object[JSON_DEPTH_MAX + 1] = {false};
    size_t depth = 0;
    char last = ':';

    for (size_t off = json_scan_space(text, len, 0); off < len;
         off = json_scan_space(text, len, off)) {
        last = text[off];
        if (last == '"') {
            if (!string_end(text, len, off, &off))
                return "a string";
            continue;
        }
        off++;
        if ((last == '{' || last == '[') && depth < JSON_DEPTH_MAX)
            in_object[++depth] = last == '{';
        else if ((last == '}' || last == ']') && depth > 0)
            depth--;
    }
    if (depth == 0 || last == ':')
        return "a value";
    return in_object[depth] ? "an object" : "a list";
}

static int PRINTF_LIKE(5, 0)
    err_at(const char *text, size_t off, struct err *err, int code, const char *fmt, va_list args)
{
    char msg[ERR_MSG_MAX_SIZE - POSITION_MAX_SIZE];
    size_t line = 1;
    size_t column = 0;

    for (size_t i = 0; i < off; i++) {
        column++;
        if (text[i] == '\n') {
            line++;
            column = 0;
        }
    }
    (void)vsnprintf(msg, sizeof(msg), fmt, args);
    return err_set(err, code, "%s at line %zu column %zu", msg, line, column);
}

int json_err_at_text(const char *text, size_t off, struct err *err, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int ret = err_at(text, off, err, code, fmt, args);
    va_end(args);
    return ret;
}

int json_err_at(const struct json_doc *doc, size_t off, struct err *err, int code, const char *fmt,
                ...)
{
    va_list args;

    va_start(args, fmt);
    int ret = err_at(doc->text, off, err, code, fmt, args);
    va_end(args);
    return ret;
}

const char *json_quote(const char *text, size_t len, char buf[static JSON_QUOTE_MAX_SIZE])
{
    size_t out = 0;
    size_t off = 0;

    while (off < len) {
        uint32_t c = (unsigned char)text[off];
        int size = utf8_decode(text + off, len - off, &c);
        size_t step = size > 0 ? (size_t)size : 1; /* a byte that belongs to none stays */
        if (out + 8 > JSON_QUOTE_MAX_LEN) {
            memcpy(buf + out, "...", sizeof("..."));
            return buf;
        }
        if (c == '"' || c == '\\') {
            buf[out++] = '\\';
            buf[out++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            out += (size_t)snprintf(buf + out, JSON_QUOTE_MAX_SIZE - out, "\\u{%x}", c);
        } else {
            memcpy(buf + out, text + off, step);
            out += step;
        }
        off += step;
    }
    buf[out] = '\0';
    return buf;
}

const char *json_quote_lexeme(struct json_val val, char buf[static JSON_QUOTE_MAX_SIZE])
{
    return json_quote(val.doc->text + val.begin_off, val.end_off - val.begin_off, buf);
}

int json_err_unexpected(struct json_val val, struct err *err, const char *expected)
{
    char quoted[JSON_QUOTE_MAX_SIZE];

    return json_err_at(val.doc, val.end_off, err, -EINVAL, "%s, not %s", expected,
                       json_quote_lexeme(val, quoted));
}

int json_err_unknown(const struct json_item *item, struct err *err, const char *known)
{
    char quoted[JSON_QUOTE_MAX_SIZE];

    return json_err_at(item->val.doc, item->key_end_off, err, -EINVAL,
                       "unknown member `%s`, expected one of %s",
                       json_quote(item->key, strlen(item->key), quoted), known);
}
