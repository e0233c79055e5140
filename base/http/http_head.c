/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of a head. The request line is taken apart here; header lines are judged by
 * http-parser, which is given a request line of ours and each header line as it came. Sentences are
 * those of the reference where it has one. Any thread; no state. Spec: api.md 1.2; deltas.md 7.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/http/http_int.h"
#include "base/utf8.h"

#define CRLF_LEN 2u

/* Nothing is called back: flags and length are read from the parser. */
static const http_parser_settings no_callbacks = {0};

static const char *const method_names[] = {
    [HTTP_METHOD_GET] = "GET",
    [HTTP_METHOD_PUT] = "PUT",
    [HTTP_METHOD_PATCH] = "PATCH",
    [HTTP_METHOD_DELETE] = "DELETE",
};
static_assert(ARRAY_LEN(method_names) == HTTP_METHODS_COUNT, "one name a method");

const char *http_method_name(enum http_method method)
{
    return method_names[method];
}

static const char *const version_names[] = {"HTTP/1.0", "HTTP/1.1"}; /* by minor number */

static bool text_is(struct http_text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

static bool text_contains(struct http_text text, const char *word)
{
    return memmem(text.at, text.len, word, strlen(word)) != NULL;
}

bool http_text_cut(struct http_text *text, char separator, struct http_text *ret_piece)
{
    const char *at = memchr(text->at, separator, text->len);

    if (!at)
        return false;
    *ret_piece = (struct http_text){text->at, (size_t)(at - text->at)};
    text->len -= ret_piece->len + 1;
    text->at = at + 1;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct http_text http_text_trimmed(struct http_text text)
{
    while (text.len > 0 && is_blank(text.at[0])) {
        text.at++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

static bool text_has_control(struct http_text text, bool tab_counts)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (((unsigned char)c < ' ' && (c != '\t' || tab_counts)) || c == 0x7f)
            return true;
    }
    return false;
}

/* The number of a word in a list, or `count`. */
static size_t word_find(const char *const *words, size_t count, struct http_text word)
{
    size_t i = 0;

    while (i < count && !text_is(word, words[i]))
        i++;
    return i;
}

/* Absolute form without scheme and host, origin form as it stands, "" for any other. */
static struct http_text uri_path(struct http_text uri)
{
    static const char scheme[] = "http://";
    struct http_text host;

    if (uri.len >= strlen(scheme) && memcmp(uri.at, scheme, strlen(scheme)) == 0) {
        uri.at += strlen(scheme);
        uri.len -= strlen(scheme);
        if (!http_text_cut(&uri, '/', &host))
            uri.len = 0;
        else
            uri = (struct http_text){uri.at - 1, uri.len + 1}; /* the slash belongs to the path */
    }
    if (uri.len > 0 && uri.at[0] != '/')
        uri.len = 0;
    return uri;
}

static int check_uri(struct http_text uri, struct err *err)
{
    size_t off;
    size_t bad;

    if (uri.len == 0)
        return err_set(err, -EPROTO, "Invalid URI: Empty URI not allowed.");
    if (!utf8_check(uri.at, uri.len, &off, &bad))
        return err_set(err, -EPROTO, "Invalid URI: Cannot parse URI as UTF-8.");
    if (text_has_control(uri, true))
        return err_set(err, -EPROTO, "Invalid URI: Control characters not allowed.");
    return 0;
}

/* Gives http-parser the same request, but with a path it has nothing against. */
static int parser_start(struct http_head *head, struct err *err)
{
    char line[32];
    int len = snprintf(line, sizeof(line), "%s / %s\r\n", method_names[head->method],
                       version_names[head->minor]);

    http_parser_init(&head->parser, HTTP_REQUEST);
    (void)http_parser_execute(&head->parser, &no_callbacks, line, (size_t)len);
    if (HTTP_PARSER_ERRNO(&head->parser) != HPE_OK)
        return err_set(err, -EPROTO, "Invalid request.");
    return 0;
}

int http_head_start(struct http_head *head, struct http_text line, struct http_text *ret_path,
                    struct err *err)
{
    struct http_text rest = {line.at, line.len - CRLF_LEN};
    struct http_text method_text;
    struct http_text uri;

    if (!http_text_cut(&rest, ' ', &method_text) || !http_text_cut(&rest, ' ', &uri))
        return err_set(err, -EPROTO, "Invalid request.");
    head->fault = HTTP_FAULT_METHOD;
    size_t method = word_find(method_names, ARRAY_LEN(method_names), method_text);
    if (method == ARRAY_LEN(method_names))
        return err_set(err, -EPROTO, "Invalid HTTP Method: Unsupported HTTP method.");
    head->fault = HTTP_FAULT_URI;
    int ret = check_uri(uri, err);
    if (ret < 0)
        return ret;
    head->fault = HTTP_FAULT_VERSION;
    size_t minor = word_find(version_names, ARRAY_LEN(version_names), rest);
    if (minor == ARRAY_LEN(version_names))
        return err_set(err, -EPROTO, "Invalid HTTP Version: Unsupported HTTP version.");

    head->fault = HTTP_FAULT_OTHER;
    head->method = (enum http_method)method;
    head->minor = (uint32_t)minor;
    head->len = line.len;
    *ret_path = uri_path(uri);
    return parser_start(head, err);
}

/* A header line taken apart; the value with the blanks around it, without CRLF. */
struct field {
    struct http_text name;
    struct http_text value;
};

static int fail_format(struct http_text name, struct err *err)
{
    return err_set(err, -EPROTO, "Invalid header. Reason: Header is incorrectly formatted. Key: %s",
                   HTTP_SHOWN(name));
}

static int fail_value(struct http_text name, struct http_text value, struct err *err)
{
    return err_set(err, -EPROTO, "Invalid header. Reason: Invalid value. Key:%s; Value:%s",
                   HTTP_SHOWN(name), HTTP_SHOWN(value));
}

static int fail_characters(struct http_text name, struct err *err)
{
    return err_set(err, -EPROTO,
                   "Invalid header. Reason: Header contains invalid characters. Key: %s",
                   HTTP_SHOWN(name));
}

/* "Key" is what the reference prints there. */
static int fail_utf8(size_t off, size_t bad, struct err *err)
{
    static const char reason[] = "Invalid header. Reason: Header contains invalid characters.";

    if (bad == 0)
        return err_set(err, -EPROTO, "%s Key: incomplete utf-8 byte sequence from index %zu",
                       reason, off);
    return err_set(err, -EPROTO, "%s Key: invalid utf-8 sequence of %zu bytes from index %zu",
                   reason, bad, off);
}

/* What http-parser found, as a sentence. parsed: bytes of the line it had nothing against. */
static int fail_parsed(const struct http_head *head, const struct field *field, size_t parsed,
                       struct err *err)
{
    enum http_errno found = HTTP_PARSER_ERRNO(&head->parser);

    if (found == HPE_INVALID_CONTENT_LENGTH)
        return fail_value(field->name, field->value, err);
    if (found == HPE_UNEXPECTED_CONTENT_LENGTH)
        return err_set(err, -EPROTO, "Invalid header. Reason: Header is repeated. Key: %s",
                       HTTP_SHOWN(field->name));
    if (found == HPE_INVALID_HEADER_TOKEN && parsed <= field->name.len)
        return fail_format(field->name, err);
    if (found == HPE_INVALID_HEADER_TOKEN)
        return fail_characters(field->name, err);
    return err_set(err, -EPROTO, "Invalid request.");
}

static int take_length(struct http_head *head, const struct field *field, struct err *err)
{
    (void)head; /* http-parser reads the number, but has nothing against an empty one */
    if (http_text_trimmed(field->value).len == 0)
        return fail_value(field->name, field->value, err);
    return 0;
}

static int take_expect(struct http_head *head, const struct field *field, struct err *err)
{
    (void)err; /* other expectations are ignored */
    head->expects = true;
    if (text_is(http_text_trimmed(field->value), "100-continue"))
        head->expects_continue = true;
    return 0;
}

/* Refuses what forbids an answer that is not encoded. The value that is shown is the one entry. */
static int take_accept_encoding(struct http_head *head, const struct field *field, struct err *err)
{
    static const char name[] = "Accept-Encoding";
    struct http_text rest = http_text_trimmed(field->value);
    bool names_identity = text_contains(rest, "identity");

    (void)head;
    if (rest.len == 0)
        return err_set(err, -EPROTO, "Invalid request.");
    for (bool more = true; more;) {
        struct http_text entry = rest;
        more = http_text_cut(&rest, ',', &entry);
        struct http_text word = http_text_trimmed(entry);
        if (text_is(word, "identity;q=0") || (text_is(word, "*;q=0") && !names_identity))
            return fail_value((struct http_text){name, strlen(name)}, entry, err);
    }
    return 0;
}

/* 1: the line says nothing new, http-parser is not to see it. */
static int take_transfer_encoding(struct http_head *head, const struct field *field,
                                  struct err *err)
{
    if (text_is(http_text_trimmed(field->value), "identity"))
        return 1;
    head->is_coded = true;
    return err_set(err, -EPROTO,
                   "Invalid header. Reason: Transfer-Encoding is not supported, a body needs a "
                   "Content-Length. Value:%s",
                   HTTP_SHOWN(field->value));
}

/* Headers that mean something to us. take: 0, 1 (nothing for http-parser) or -EPROTO. */
static const struct {
    const char *name;
    int (*take)(struct http_head *head, const struct field *field, struct err *err);
} known_headers[] = {
    {"Content-Length", take_length},
    {"Expect", take_expect},
    {"Accept-Encoding", take_accept_encoding},
    {"Transfer-Encoding", take_transfer_encoding},
};

static int take_known(struct http_head *head, const struct field *field, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(known_headers); i++) {
        const char *name = known_headers[i].name;
        if (field->name.len == strlen(name) &&
            strncasecmp(field->name.at, name, field->name.len) == 0)
            return known_headers[i].take(head, field, err);
    }
    return 0;
}

/* 0 without a Content-Length. */
static uint64_t content_length(const struct http_head *head)
{
    return head->parser.flags & F_CONTENTLENGTH ? head->parser.content_length : 0;
}

int http_head_add(struct http_head *head, struct http_text line, struct err *err)
{
    struct field field = {.value = {line.at, line.len - CRLF_LEN}};
    size_t off;
    size_t bad;

    head->len += line.len;
    if (!utf8_check(field.value.at, field.value.len, &off, &bad))
        return fail_utf8(off, bad, err);
    if (!http_text_cut(&field.value, ':', &field.name))
        return fail_format(field.value, err);
    /* http-parser, as Debian builds it, takes blanks in names, and at the beginning of a line
     * goes on with the one before, and takes a lone carriage return for a line's end: a length or a
     * coding that we do not see would be hidden so. */
    if (memchr(field.name.at, ' ', field.name.len) || text_has_control(field.name, true))
        return fail_format(field.name, err);
    if (text_has_control(field.value,
                         false)) /* in most headers it looks for the line's end alone */
        return fail_characters(field.name, err);
    int ret = take_known(head, &field, err);
    if (ret != 0)
        return ret < 0 ? ret : 0;

    size_t parsed = http_parser_execute(&head->parser, &no_callbacks, line.at, line.len);
    if (HTTP_PARSER_ERRNO(&head->parser) != HPE_OK)
        return fail_parsed(head, &field, parsed, err);
    if (content_length(head) > UINT32_MAX)
        return fail_value(field.name, field.value, err);
    return 0;
}

int http_head_end(struct http_head *head, uint32_t *ret_body_len, struct err *err)
{
    head->len += CRLF_LEN;
    (void)http_parser_execute(&head->parser, &no_callbacks, "\r\n", CRLF_LEN);
    if (HTTP_PARSER_ERRNO(&head->parser) != HPE_OK)
        return err_set(err, -EPROTO, "Invalid request.");
    *ret_body_len = (uint32_t)content_length(head); /* http_head_add has seen to the 32 bits */
    return 0;
}
