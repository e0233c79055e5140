/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648, 4) of ours: mbedTLS' brings its constant-time, digest and big-number code
 * along, and what is coded here is no secret. Any thread; no state.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/crypto/crypto.h"

#define GROUP_SIZE 3u /* bytes that become */
#define GROUP_LEN 4u  /* characters */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void crypto_base64_encode(const uint8_t *bytes, size_t len, char *ret_text)
{
    for (size_t off = 0; off < len; off += GROUP_SIZE) {
        size_t here = len - off < GROUP_SIZE ? len - off : GROUP_SIZE;
        uint32_t group = 0;
        for (size_t i = 0; i < GROUP_SIZE; i++)
            group = group << 8 | (i < here ? bytes[off + i] : 0);
        for (size_t i = 0; i < GROUP_LEN; i++)
            *ret_text++ = i <= here ? alphabet[group >> (18 - 6 * i) & 0x3f] : '=';
    }
    *ret_text = '\0';
}

/* The bits of one group whose first `count` characters are no padding. False: others are among
 * them, or bits that no byte has. */
static bool decode_group(const char *text, size_t count, uint32_t *ret_group)
{
    uint32_t group = 0;

    for (size_t i = 0; i < GROUP_LEN; i++) {
        const char *at = i < count ? memchr(alphabet, text[i], sizeof(alphabet) - 1) : alphabet;
        if (!at || (i >= count && text[i] != '='))
            return false;
        group = group << 6 | (uint32_t)(at - alphabet);
    }
    *ret_group = group;
    return (group & ((1u << 8 * (GROUP_LEN - count)) - 1)) == 0;
}

int crypto_base64_decode(const char *text, size_t len, uint8_t *ret_bytes, size_t size)
{
    size_t used = 0;

    if (len % GROUP_LEN != 0 || len > INT32_MAX)
        return -EINVAL;
    for (size_t off = 0; off < len; off += GROUP_LEN) {
        size_t count = GROUP_LEN;
        uint32_t group;
        while (off + GROUP_LEN == len && count > 2 && text[off + count - 1] == '=')
            count--;
        if (!decode_group(text + off, count, &group) || size - used < count - 1)
            return -EINVAL;
        for (size_t i = 0; i < count - 1; i++)
            ret_bytes[used++] = (uint8_t)(group >> (16 - 8 * i));
    }
    return (int)used;
}
