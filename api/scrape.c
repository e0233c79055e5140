/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server that scrapes answers: the metrics as Prometheus' text, and nothing else. Thread:
 * that server's; no state.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/server_int.h"
#include "base/log.h"
#include "base/metrics.h"

#define SCRAPE_TEXT "text/plain; version=0.0.4; charset=utf-8"

/* The path of an origin form without its query. */
static bool is_path(const char *target, const char *path)
{
    size_t len = strcspn(target, "?");
    return len == strlen(path) && memcmp(target, path, len) == 0;
}

int api_serve_scrape(const struct http_request *http, char **ret_text, size_t *ret_len)
{
    static const char elsewhere[] = "Only GET /metrics is answered on this socket.\n";
    struct http_response response = {
        .status = 404,
        .content_type = "text/plain; charset=utf-8",
        .body = elsewhere,
        .body_len = sizeof(elsewhere) - 1,
    };
    char *metrics_text = NULL;

    if (http->method == HTTP_METHOD_GET && is_path(http->path, "/metrics")) {
        size_t len = 0;
        int rc = metrics_prometheus_text(&metrics_text, &len);
        if (rc < 0)
            return rc;
        response = (struct http_response){
            .status = 200, .content_type = SCRAPE_TEXT, .body = metrics_text, .body_len = len};
    }
    int rc = http_response_render(&response, ret_text, ret_len);
    free(metrics_text);
    return rc;
}

int api_serve_scrape_breach(const struct err *err, bool closes, char **ret_text, size_t *ret_len)
{
    char body[ERR_MSG_MAX_SIZE + 2];
    int len = snprintf(body, sizeof(body), "%s\n", err->msg);

    log_debug("A scrape was refused: %s", err->msg);
    return http_response_render(&(struct http_response){.status = 400,
                                                        .closes = closes,
                                                        .content_type = "text/plain; charset=utf-8",
                                                        .body = body,
                                                        .body_len = (size_t)len},
                                ret_text, ret_len);
}
