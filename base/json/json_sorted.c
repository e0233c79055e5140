/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rendering as the reference's library does: keys in the order of their bytes, the fewest digits
 * that read back as the same number, few escapes. Recursion is bounded by what json_parse lets in.
 * Any thread; no state.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_int.h"
#include "base/json/json_value.h"

#define OUT_FIRST_SIZE 256u
#define NUMBER_MAX_SIZE 48u  /* any number's text */
#define EXACT_DIGITS 17      /* tell any two numbers of 64 bits apart */
#define PLAIN_DIGITS_MAX 16  /* from 1e16 on, and */
#define PLAIN_ZEROS_MAX (-5) /* below 1e-5, numbers have an exponent */

struct out {
    char *text;
    size_t len;
    size_t size;
};

static int put(struct out *out, const char *text, size_t len)
{
    if (len >= out->size - out->len) { /* one byte stays for the NUL */
        size_t size = out->size ? out->size * 2 : OUT_FIRST_SIZE;
        if (size < out->len + len + 1)
            size = out->len + len + 1;
        char *grown = realloc(out->text, size);
        if (!grown)
            return -ENOMEM;
        out->text = grown;
        out->size = size;
    }
    memcpy(out->text + out->len, text, len);
    out->len += len;
    return 0;
}

static int put_word(struct out *out, const char *word)
{
    return put(out, word, strlen(word));
}

/* The escape of a character that has to have one, else "". */
static const char *escape_of(unsigned char c, char buf[static 8])
{
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char names[] = "\"\\bfnrt";
    const char *at = c ? strchr(plain, c) : NULL;

    buf[0] = '\0';
    if (at)
        (void)snprintf(buf, 8, "\\%c", names[at - plain]);
    else if (c < ' ')
        (void)snprintf(buf, 8, "\\u%04x", c);
    return buf;
}

static int put_text(struct out *out, const char *text, size_t len)
{
    size_t begin = 0; /* of what needs no escape */
    int ret = put(out, "\"", 1);

    for (size_t i = 0; ret == 0 && i < len; i++) {
        char buf[8];
        const char *escape = escape_of((unsigned char)text[i], buf);
        if (!*escape)
            continue;
        ret = put(out, text + begin, i - begin);
        if (ret == 0)
            ret = put_word(out, escape);
        begin = i + 1;
    }
    if (ret == 0)
        ret = put(out, text + begin, len - begin);
    return ret == 0 ? put(out, "\"", 1) : ret;
}

/* A number with the fewest digits that read back as the same, in jansson's form. */
static int shortest(const json_t *real, char buf[static NUMBER_MAX_SIZE])
{
    for (int digits = EXACT_DIGITS - 2; digits <= EXACT_DIGITS; digits++) {
        size_t len = json_dumpb(real, buf, NUMBER_MAX_SIZE - 1,
                                JSON_ENCODE_ANY | JSON_REAL_PRECISION((size_t)digits));
        if (len == 0 || len >= NUMBER_MAX_SIZE)
            return -ENOMEM; /* it fits, and nothing else can fail */
        buf[len] = '\0';
        json_t *again = json_loadb(buf, len, JSON_DECODE_ANY, NULL);
        bool same = again && json_equal(real, again);
        json_decref(again);
        if (same)
            break;
    }
    return 0;
}

/* A number as its significant digits and where its point is: 0.DIGITS times 10^point. */
struct decimal {
    bool negative;
    char digits[NUMBER_MAX_SIZE];
    int len;
    int point;
};

static void take_apart(const char *text, struct decimal *ret)
{
    bool behind_point = false;

    *ret = (struct decimal){.negative = *text == '-'};
    for (text += ret->negative; *text && *text != 'e'; text++) {
        if (*text == '.') {
            behind_point = true;
        } else if (*text == '0' && ret->len == 0) {
            ret->point -= behind_point;
        } else {
            ret->digits[ret->len++] = *text;
            ret->point += !behind_point;
        }
    }
    if (*text == 'e')
        ret->point += (int)strtol(text + 1, NULL, 10);
    while (ret->len > 0 && ret->digits[ret->len - 1] == '0')
        ret->len--;
}

static int put_real(struct out *out, const json_t *real)
{
    static const char zeros[] = "0000000000000000";
    char buf[NUMBER_MAX_SIZE];
    char text[2 * NUMBER_MAX_SIZE];
    struct decimal d;
    int ret = shortest(real, buf);

    if (ret < 0)
        return ret;
    take_apart(buf, &d);
    const char *sign = d.negative ? "-" : "";
    const char *rest = d.digits + (d.point > 0 && d.point < d.len ? d.point : 1);
    if (d.len == 0)
        (void)snprintf(text, sizeof(text), "%s0.0", sign);
    else if (d.point >= d.len && d.point <= PLAIN_DIGITS_MAX)
        (void)snprintf(text, sizeof(text), "%s%.*s%.*s.0", sign, d.len, d.digits, d.point - d.len,
                       zeros);
    else if (d.point > 0 && d.point < d.len)
        (void)snprintf(text, sizeof(text), "%s%.*s.%.*s", sign, d.point, d.digits, d.len - d.point,
                       rest);
    else if (d.point <= 0 && d.point > PLAIN_ZEROS_MAX)
        (void)snprintf(text, sizeof(text), "%s0.%.*s%.*s", sign, -d.point, zeros, d.len, d.digits);
    else
        (void)snprintf(text, sizeof(text), "%s%c%s%.*se%d", sign, d.digits[0], d.len > 1 ? "." : "",
                       d.len - 1, rest, d.point - 1);
    return put_word(out, text);
}

static int put_value(struct out *out, const struct json *value);

static int put_object(struct out *out, const struct json *object)
{
    const char **keys;
    size_t count;
    int ret = json_value_keys(object, &keys, &count);

    if (ret < 0)
        return ret;
    ret = put(out, "{", 1);
    for (size_t i = 0; ret == 0 && i < count; i++) {
        if (i > 0)
            ret = put(out, ",", 1);
        if (ret == 0)
            ret = put_text(out, keys[i], strlen(keys[i]));
        if (ret == 0)
            ret = put(out, ":", 1);
        if (ret == 0)
            ret = put_value(out,
                            json_from_jansson(json_object_get(json_to_jansson(object), keys[i])));
    }
    free(keys);
    return ret == 0 ? put(out, "}", 1) : ret;
}

static int put_array(struct out *out, const struct json *array)
{
    int ret = put(out, "[", 1);

    for (size_t i = 0; ret == 0 && i < json_value_count(array); i++) {
        if (i > 0)
            ret = put(out, ",", 1);
        if (ret == 0)
            ret = put_value(out, json_value_element(array, i));
    }
    return ret == 0 ? put(out, "]", 1) : ret;
}

static int put_value(struct out *out, const struct json *value)
{
    const json_t *node = json_to_jansson(value);
    char number[NUMBER_MAX_SIZE];
    size_t len;
    const char *text;

    switch (json_value_kind(value)) {
    case JSON_KIND_NULL:
        return put_word(out, "null");
    case JSON_KIND_BOOL:
        return put_word(out, json_is_true(node) ? "true" : "false");
    case JSON_KIND_INT:
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(node));
        return put_word(out, number);
    case JSON_KIND_REAL:
        return put_real(out, node);
    case JSON_KIND_STRING:
        text = json_value_text(value, &len);
        return put_text(out, text, len);
    case JSON_KIND_ARRAY:
        return put_array(out, value);
    case JSON_KIND_OBJECT:
        break;
    }
    return put_object(out, value);
}

int json_render_sorted(const struct json *value, char **ret_text, size_t *ret_len)
{
    struct out out = {0};
    int ret = put_value(&out, value);

    if (ret < 0) {
        free(out.text);
        return ret;
    }
    out.text[out.len] = '\0';
    *ret_text = out.text;
    *ret_len = out.len;
    return 0;
}
