/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict parsing on jansson and typed access. jansson judges and stores; the byte position of a
 * value comes from walking the text beside the tree, which works because a tree without duplicate
 * keys keeps document order. Any thread; jansson's only global is its hash seed, set once from the
 * kernel's random bytes.
 */
#include "base/json/json.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/json/json_int.h"
#include "base/json/json_value.h"

/* Without this jansson opens /dev/urandom at its first object: three syscalls and a device node in
 * the jail. */
void json_seed_hash(void)
{
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM); /* 16 bytes */
    uint64_t halves[2] = {0};

    if (random)
        memcpy(halves, random, sizeof(halves));
    /* Mixed, because libc makes its own secrets from the same bytes; odd, because 0 would ask for
     * /dev/urandom after all. Calls after the first change nothing. */
    json_object_seed((size_t)(((halves[0] ^ (halves[1] >> 7)) * 0x9e3779b97f4a7c15u) >> 32) | 1);
}

/* jansson's complaint about a wrong token, and ours. */
static const struct {
    const char *theirs; /* beginning of jansson's text */
    const char *ours;
} syntax_texts[] = {
    {"':' expected", "expected `:`"},
    {"']' expected", "expected `,` or `]`"},
    {"'}' expected", "expected `,` or `}`"},
    {"string or '}' expected", "key must be a string"},
    {"control character", "control character (\\u0000-\\u001F) found while parsing a string"},
    {"unexpected newline", "control character (\\u0000-\\u001F) found while parsing a string"},
    {"invalid escape", "invalid escape"},
    {"invalid Unicode", "invalid unicode escape"},
};

static const char *syntax_text(const char *theirs)
{
    for (size_t i = 0; i < ARRAY_LEN(syntax_texts); i++) {
        if (strncmp(theirs, syntax_texts[i].theirs, strlen(syntax_texts[i].theirs)) == 0)
            return syntax_texts[i].ours;
    }
    return "expected value";
}

/* A number that a 64-bit signed integer or a double cannot hold. */
static int fail_number(const char *text, size_t len, size_t off, struct err *err)
{
    struct json_span span = json_scan_token_ending(text, len, off);
    const char *digits = text + span.begin_off;
    size_t digits_len = span.end_off - span.begin_off;
    char quoted[JSON_QUOTE_MAX_SIZE];
    (void)json_quote(digits, digits_len, quoted);

    if (digits_len == 0 || strspn(quoted, "-0123456789") != strlen(quoted))
        return json_err_at_text(text, off, err, -EINVAL, "number out of range");
    /* The reference reads what u64 cannot hold as a floating point number. */
    static const char limit[] = "18446744073709551615";
    if (digits_len > strlen(limit) ||
        (digits_len == strlen(limit) && memcmp(digits, limit, digits_len) > 0) || digits[0] == '-')
        return json_err_at_text(text, off, err, -EINVAL,
                                "invalid type: floating point `%s`, expected an integer below 2^63",
                                quoted);
    return json_err_at_text(text, off, err, -EINVAL,
                            "invalid value: integer `%s`, expected an integer below 2^63", quoted);
}

static int fail_duplicate(const char *text, size_t len, size_t off, struct err *err)
{
    struct json_span span = json_scan_token_ending(text, len, off);
    size_t key_len = span.end_off - span.begin_off;
    char quoted[JSON_QUOTE_MAX_SIZE] = "";

    if (key_len >= 2) /* without its quotes */
        (void)json_quote(text + span.begin_off + 1, key_len - 2, quoted);
    return json_err_at_text(text, off, err, -EINVAL, "duplicate field `%s`", quoted);
}

/* Turns jansson's error into the sentence clients know. */
static int fail_parse(const char *text, size_t len, const json_error_t *theirs, struct err *err)
{
    size_t off = theirs->position > 0 ? (size_t)theirs->position : 0;
    if (off > len)
        off = len;
    int code = (int)json_error_code(theirs);

    if (code == json_error_out_of_memory)
        return err_set(err, -ENOMEM, "out of memory while parsing JSON");
    const char *context = json_scan_eof_context(text, len);
    if (code == json_error_premature_end_of_input ||
        (off == len && strcmp(context, "a string") == 0))
        return json_err_at_text(text, len, err, -EINVAL, "EOF while parsing %s", context);
    if (code == json_error_end_of_input_expected)
        return json_err_at_text(text, off, err, -EINVAL, "trailing characters");
    if (code == json_error_invalid_utf8)
        return json_err_at_text(text, off, err, -EINVAL, "invalid unicode code point");
    if (code == json_error_null_byte_in_key)
        return json_err_at_text(text, off, err, -EINVAL, "NUL character in a key");
    if (code == json_error_duplicate_key)
        return fail_duplicate(text, len, off, err);
    if (code == json_error_numeric_overflow)
        return fail_number(text, len, off, err);
    return json_err_at_text(text, off, err, -EINVAL, "%s", syntax_text(theirs->text));
}

int json_parse(const char *text, size_t len, size_t max_size, struct json_doc **ret_doc,
               struct err *err)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";

    if (len > max_size)
        return err_set(err, -EFBIG, "JSON text of %zu bytes is larger than the limit of %zu bytes",
                       len, max_size);
    if (json_scan_space(text, len, 0) == len)
        return json_err_at_text(text, len, err, -EINVAL, "EOF while parsing a value");
    if (len >= strlen(byte_order_mark) &&
        memcmp(text, byte_order_mark, strlen(byte_order_mark)) == 0)
        return json_err_at_text(text, 1, err, -EINVAL,
                                "expected value (the text must not begin with a byte order mark)");
    size_t deep_off = json_scan_depth(text, len);
    if (deep_off > 0)
        return json_err_at_text(text, deep_off, err, -EINVAL, "recursion limit exceeded");

    struct json_doc *doc = calloc(1, sizeof(*doc));
    if (!doc)
        return err_set(err, -ENOMEM, "out of memory while parsing JSON");
    json_error_t theirs = {0};
    json_seed_hash();
    json_t *root =
        json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &theirs);
    if (!root) {
        free(doc);
        return fail_parse(text, len, &theirs, err);
    }
    *doc = (struct json_doc){.text = text, .len = len, .root = json_from_jansson(root)};
    *ret_doc = doc;
    return 0;
}

void json_free(struct json_doc *doc)
{
    if (!doc)
        return;
    json_decref(json_to_jansson(doc->root));
    free(doc);
}

struct json_val json_root(const struct json_doc *doc)
{
    size_t begin_off = json_scan_space(doc->text, doc->len, 0);

    return (struct json_val){
        .doc = doc,
        .node = doc->root,
        .begin_off = begin_off,
        .end_off = json_scan_value(doc->text, doc->len, begin_off),
    };
}

enum json_kind json_kind(struct json_val val)
{
    bool is_minus_zero =
        val.end_off - val.begin_off == 2 && memcmp(val.doc->text + val.begin_off, "-0", 2) == 0;

    return is_minus_zero ? JSON_KIND_REAL : json_value_kind(val.node);
}

bool json_as_bool(struct json_val val)
{
    assert(json_kind(val) == JSON_KIND_BOOL);
    return json_is_true(json_to_jansson(val.node));
}

int64_t json_as_int(struct json_val val)
{
    assert(json_kind(val) == JSON_KIND_INT);
    return json_integer_value(json_to_jansson(val.node));
}

const char *json_as_text(struct json_val val, size_t *ret_len)
{
    assert(json_kind(val) == JSON_KIND_STRING);
    *ret_len = json_string_length(json_to_jansson(val.node));
    return json_string_value(json_to_jansson(val.node));
}

size_t json_close_off(struct json_val val)
{
    const struct json_doc *doc = val.doc;
    size_t off = json_scan_space(doc->text, doc->len, val.end_off);

    return off < doc->len && (doc->text[off] == '}' || doc->text[off] == ']') ? off + 1 : off;
}

size_t json_count(struct json_val val)
{
    const json_t *node = json_to_jansson(val.node);

    return json_is_object(node) ? json_object_size(node) : json_array_size(node);
}

void json_iter_init(struct json_iter *iter, struct json_val of)
{
    json_t *node = json_to_jansson(of.node);

    assert(json_is_object(node) || json_is_array(node));
    *iter = (struct json_iter){.of = of, .off = of.begin_off + 1, .member = json_object_iter(node)};
}

/* Steps over white space, and over `separator` and the white space behind it when it comes next. */
static void skip_separator(struct json_iter *iter, char separator)
{
    const struct json_doc *doc = iter->of.doc;

    iter->off = json_scan_space(doc->text, doc->len, iter->off);
    if (iter->off < doc->len && doc->text[iter->off] == separator)
        iter->off = json_scan_space(doc->text, doc->len, iter->off + 1);
}

bool json_iter_next(struct json_iter *iter, struct json_item *ret_item)
{
    const struct json_doc *doc = iter->of.doc;
    json_t *container = json_to_jansson(iter->of.node);
    struct json_item item = {.key = NULL};
    const json_t *node;

    skip_separator(iter, ',');
    if (json_is_object(container)) {
        if (!iter->member)
            return false;
        item.key = json_object_iter_key(iter->member);
        node = json_object_iter_value(iter->member);
        iter->member = json_object_iter_next(container, iter->member);
        item.key_end_off = json_scan_string(doc->text, doc->len, iter->off);
        iter->off = item.key_end_off;
        skip_separator(iter, ':');
    } else {
        node = json_array_get(container, iter->idx++);
        if (!node)
            return false;
    }
    item.val = (struct json_val){
        .doc = doc,
        .node = json_from_jansson(node),
        .begin_off = iter->off,
        .end_off = json_scan_value(doc->text, doc->len, iter->off),
    };
    iter->off = item.val.end_off;
    *ret_item = item;
    return true;
}
