/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outside text: UTF-8, and what of it may stand in a sentence. Any thread; no state.
 */
#include <string.h>

#include "base/http/http_int.h"

/* Well-formed sequences by their first byte (Unicode 15, table 3-7). */
static const struct {
    uint8_t first_low;
    uint8_t first_high;
    uint8_t second_low;
    uint8_t second_high;
    uint8_t len;
} sequences[] = {
    {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

int http_text_sequence(struct http_text text)
{
    const unsigned char *bytes = (const unsigned char *)text.at;
    size_t row = 0;

    while (row < ARRAY_LEN(sequences) &&
           (bytes[0] < sequences[row].first_low || bytes[0] > sequences[row].first_high))
        row++;
    if (row == ARRAY_LEN(sequences))
        return -1;
    for (uint8_t i = 1; i < sequences[row].len; i++) {
        if (i == text.len)
            return 0;
        uint8_t low = i == 1 ? sequences[row].second_low : 0x80;
        uint8_t high = i == 1 ? sequences[row].second_high : 0xbf;
        if (bytes[i] < low || bytes[i] > high)
            return -(int)i;
    }
    return sequences[row].len;
}

bool http_text_is_utf8(struct http_text text, size_t *ret_off, int *ret_bad)
{
    for (size_t off = 0; off < text.len;) {
        int len = http_text_sequence((struct http_text){text.at + off, text.len - off});
        if (len <= 0) {
            *ret_off = off;
            *ret_bad = -len;
            return false;
        }
        off += (size_t)len;
    }
    return true;
}

const char *http_text_show(struct http_text text, char buf[static ERR_MSG_MAX_SIZE])
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t used = 0;

    for (size_t off = 0; off < text.len;) {
        int len = http_text_sequence((struct http_text){text.at + off, text.len - off});
        unsigned char first = (unsigned char)text.at[off];
        bool shown = len > 1 || (len == 1 && first >= ' ' && first != 0x7f);
        size_t taken = len > 0 ? (size_t)len : len < 0 ? (size_t)-len : text.len - off;
        const char *piece = shown ? text.at + off : replacement;
        size_t piece_len = shown ? taken : strlen(replacement);
        if (used + piece_len >= ERR_MSG_MAX_SIZE)
            break;
        memcpy(buf + used, piece, piece_len);
        used += piece_len;
        off += taken;
    }
    buf[used] = '\0';
    return buf;
}
