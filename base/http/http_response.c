/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes back: byte for byte what the reference sends. Any thread; no state. Spec: api.md 1.2,
 * 1.3.
 */
#include <assert.h>
#include <errno.h>
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
            "Content-Type: \r\nContent-Length: 18446744073709551615\r\n\r\n") +                    \
     HTTP_CONTENT_TYPE_MAX_LEN)

/* Returns the length. */
static size_t print_head(const struct http_response *response, char buf[static HEAD_MAX_SIZE])
{
    const char *connection = response->closes ? CLOSE_LINE : KEEP_ALIVE_LINE;
    const char *deprecation = response->deprecation ? DEPRECATION_LINE : "";
    const char *type = response->content_type ? response->content_type : "application/json";
    int len;

    if (response->body)
        len = snprintf(buf, HEAD_MAX_SIZE,
                       "HTTP/1.1 %u \r\n" SERVER_LINE
                       "%s%sContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                       response->status, connection, deprecation, type, response->body_len);
    else
        len = snprintf(buf, HEAD_MAX_SIZE, "HTTP/1.1 %u \r\n" SERVER_LINE "%s%s\r\n",
                       response->status, connection, deprecation);
    assert(len > 0 && (size_t)len < HEAD_MAX_SIZE);
    return (size_t)len;
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
