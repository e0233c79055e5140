/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes back: byte for byte what the reference sends. Any thread; no state. Spec: api.md 1.1,
 * 1.2, 1.3.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/http/http.h"

#define SERVER_LINE "Server: Firecracker API\r\n"
#define KEEP_ALIVE_LINE "Connection: keep-alive\r\n"

/* No space behind 503, unlike in every other status line. */
const char http_too_many_connections[] = "HTTP/1.1 503\r\n" SERVER_LINE "Connection: close\r\n"
                                         "Content-Length: 40\r\n\r\n"
                                         "{ \"error\": \"Too many open connections\" }";

/* As snprintf: how long the head is, cut at `size`. */
static int print_head(const struct http_response *response, char *buf, size_t size)
{
    char body_lines[80] = "";

    if (response->body)
        (void)snprintf(body_lines, sizeof(body_lines),
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                       response->body_len);
    return snprintf(buf, size, "HTTP/1.1 %u \r\n" SERVER_LINE KEEP_ALIVE_LINE "%s%s%s%s%s\r\n",
                    response->status, response->allow ? "Allow: " : "",
                    response->allow ? response->allow : "", response->allow ? "\r\n" : "",
                    response->deprecation ? "Deprecation: true\r\n" : "", body_lines);
}

int http_response_render(const struct http_response *response, char **ret_text, size_t *ret_len)
{
    size_t body_len = response->body ? response->body_len : 0;
    size_t head_len = (size_t)print_head(response, NULL, 0);
    char *text = malloc(head_len + body_len + 1); /* snprintf's NUL */

    if (!text)
        return -ENOMEM;
    (void)print_head(response, text, head_len + 1);
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
