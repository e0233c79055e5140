/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer -> the bytes of an HTTP response (api.md 1.3, 3.1, 7, 8). Thread: api; no state.
 */
#pragma once

#include <stdint.h>

#include "api/request.h"
#include "base/attr.h"
#include "vmm/ctl/action.h"

/* What `GET /` and `GET /version` tell beside the state. Borrowed for the server's life. */
struct api_identity {
    const char *id;      /* --id */
    const char *version; /* the Firecracker version whose API this is, as "1.16.1" */
};

/* The status of its response: 204, 200 with a document, 400, or 413 for -EMSGSIZE, the MMDS
 * limit. */
uint32_t api_reply_status(const struct api_request *request, const struct ctl_reply *reply);

/*
 * The whole response, of the status that api_reply_status tells: a JSON document, a fault_message
 * or neither. state: as published, for `GET /`; reply: zeroed where nothing was asked of ctl.
 * ret_text: the caller frees. Returns 0 or -ENOMEM.
 */
MUST_CHECK int api_reply_render(const struct api_identity *identity, enum ctl_state state,
                                const struct api_request *request, const struct ctl_reply *reply,
                                char **ret_text, size_t *ret_len);

/* 400 with a fault_message, for a request that api_request_parse refused. */
MUST_CHECK int api_fault_render(const struct err *err, char **ret_text, size_t *ret_len);

/* 400 with the protocol's own body (api.md 3.2), which is not JSON. */
MUST_CHECK int api_protocol_error_render(const struct err *err, bool closes, char **ret_text,
                                         size_t *ret_len);
