/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes back: byte for byte what the reference sends. Any thread; no state. Spec: api.md 1.2,
 * 1.3.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/http/http.h"

#define SERVER_LINE "Server: Firecracker API\r\n"
#define KEEP_ALIVE_LINE "Connection: keep-alive\r\n"
#define CLOSE_LINE "Connection: close\r\n"

#define DEPRECATION_LINE "Deprecation: true\r\n"

/* Bytes of the longest head with its NUL. */
#define HEAD_MAX_SIZE                                                                              \
    (sizeof("HTTP/1.1 4294967295 \r\n" SERVER_LINE KEEP_ALIVE_LINE DEPRECATION_LINE                \
            "Allow: \r\n: \r\n"                                                                    \
            "Content-Type: \r\nContent-Length: 18446744073709551615\r\n\r\n") +                    \
     HTTP_CONTENT_TYPE_MAX_LEN + 3 * HTTP_ECHO_MAX_LEN)

/* Writes behind *len bytes; the room is right. */
static PRINTF_LIKE(3, 4) void print(char buf[static HEAD_MAX_SIZE], size_t *len, const char *fmt,
                                    ...)
{
    va_list args;

    va_start(args, fmt);
    int got = vsnprintf(buf + *len, HEAD_MAX_SIZE - *len, fmt, args);
    va_end(args);
    assert(got >= 0 && (size_t)got < HEAD_MAX_SIZE - *len);
    *len += (size_t)got;
}

/* Returns the length. */
static size_t print_head(const struct http_response *response, char buf[static HEAD_MAX_SIZE])
{
    const char *type = response->content_type ? response->content_type : "application/json";
    size_t len = 0;

    print(buf, &len, "HTTP/1.%d %u \r\n" SERVER_LINE "%s", response->is_1_0 ? 0 : 1,
          response->status, response->closes ? CLOSE_LINE : KEEP_ALIVE_LINE);
    if (response->allow)
        print(buf, &len, "Allow: %s\r\n", response->allow);
    if (response->deprecation)
        print(buf, &len, DEPRECATION_LINE);
    if (response->echo_name)
        print(buf, &len, "%s: %s\r\n", response->echo_name, response->echo_value);
    if (response->body)
        print(buf, &len, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, response->body_len);
    print(buf, &len, "\r\n");
    return len;
}

int http_response_render(const struct http_response *response, char **ret_text, size_t *ret_len)
{
    char head[HEAD_MAX_SIZE];
    size_t head_len = print_head(response, head);
    size_t body_len = response->body ? response->body_len : 0;
    char *text = malloc(head_len + body_len + 1); /* a NUL, for who prints it */

    if (!text)
        return -ENOMEM;
    memcpy(text, head, head_len);
    if (body_len > 0)
        memcpy(text + head_len, response->body, body_len);
    text[head_len + body_len] = '\0';
    *ret_text = text;
    *ret_len = head_len + body_len;
    return 0;
}

size_t http_continue_render(uint32_t minor, char *buf)
{
    return (size_t)snprintf(buf, HTTP_CONTINUE_MAX_SIZE,
                            "HTTP/1.%u 100 \r\n" SERVER_LINE KEEP_ALIVE_LINE "\r\n", minor);
}
