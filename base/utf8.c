/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one UTF-8 decoder. Any thread; no state. Spec: Unicode 15, 3.9.
 */
#include "base/utf8.h"

/* Well-formed sequences by their first byte (table 3-7). */
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

int utf8_decode(const char *text, size_t len, uint32_t *ret_c)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t row = 0;

    while (row < ARRAY_LEN(sequences) &&
           (bytes[0] < sequences[row].first_low || bytes[0] > sequences[row].first_high))
        row++;
    if (row == ARRAY_LEN(sequences))
        return -1;
    uint8_t size = sequences[row].len;
    uint32_t c = size == 1 ? bytes[0] : bytes[0] & (0x7fu >> size);
    for (uint8_t i = 1; i < size; i++) {
        if (i == len)
            return 0;
        uint8_t low = i == 1 ? sequences[row].second_low : 0x80;
        uint8_t high = i == 1 ? sequences[row].second_high : 0xbf;
        if (bytes[i] < low || bytes[i] > high)
            return -(int)i;
        c = c << 6 | (bytes[i] & 0x3f);
    }
    *ret_c = c;
    return size;
}

bool utf8_check(const char *text, size_t len, size_t *ret_off, size_t *ret_bad)
{
    for (size_t off = 0; off < len;) {
        uint32_t c;
        int size = utf8_decode(text + off, len - off, &c);
        if (size <= 0) {
            *ret_off = off;
            *ret_bad = (size_t)-size;
            return false;
        }
        off += (size_t)size;
    }
    return true;
}
