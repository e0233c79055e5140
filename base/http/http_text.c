/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of outside text may stand in a sentence. Any thread; no state.
 */
#include <string.h>

#include "base/http/http_int.h"
#include "base/utf8.h"

const char *http_text_show(struct http_text text, char buf[static ERR_MSG_MAX_SIZE])
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t used = 0;

    for (size_t off = 0; off < text.len;) {
        uint32_t c = 0;
        int len = utf8_decode(text.at + off, text.len - off, &c);
        bool shown = len > 0 && c >= ' ' && c != 0x7f;
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
