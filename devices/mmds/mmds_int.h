/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside devices/mmds: the store, the tokens, the answers. No network here (mmds_net.h). Thread:
 * vmm.
 */
#pragma once

#include "base/crypto/crypto.h"
#include "base/json/json_value.h"
#include "devices/mmds/mmds.h"

/* Of a request; so none of its parts is longer. The receive window as well. */
#define MMDS_REQUEST_MAX_SIZE 2500u

#define MMDS_TTL_MIN_S 1u
#define MMDS_TTL_MAX_S 21600u

/* A token: nonce, sealed expiry and tag, in base64. */
#define MMDS_TOKEN_SIZE (CRYPTO_NONCE_SIZE + 8u + CRYPTO_TAG_SIZE)
#define MMDS_TOKEN_LEN CRYPTO_BASE64_LEN(MMDS_TOKEN_SIZE)
#define MMDS_TOKEN_INPUT_MAX_LEN 70u /* what is longer is not looked at */

/* Tokens of one key: its random nonces must not come close to meeting. */
#define MMDS_TOKENS_MAX UINT32_MAX

struct mmds {
    struct mmds_env env;
    struct json *data; /* NULL: nobody has put anything */
    bool needs_token;
    bool imds_compat;
    struct crypto_aead *key; /* NULL: no token was asked for yet */
    uint32_t tokens_count;   /* made with this key */
    uint64_t responses_size; /* bytes of what waits to be acknowledged, on all interfaces */
};

/* mmds_token.c: makes a token. ttl_s: MMDS_TTL_MIN_S to MMDS_TTL_MAX_S. ret_text: NUL-terminated.
 * Returns 0, -ENOMEM or -errno of the random source. */
MUST_CHECK int mmds_token_make(struct mmds *mmds, uint32_t ttl_s,
                               char ret_text[static MMDS_TOKEN_LEN + 1]);
/* Is it a token of ours, of this VM, and not expired? text: any bytes. */
MUST_CHECK bool mmds_token_is_valid(struct mmds *mmds, const char *text, size_t len);

/* mmds_imds.c: the part of the document that a path names (multiple slashes collapsed), or NULL. */
const struct json *mmds_find(const struct json *root, const char *path, size_t len);
/* A value as IMDS shows it. ret_text: NUL-terminated, the caller frees. Returns 0, -EOPNOTSUPP (it
 * has no such form) or -ENOMEM. */
MUST_CHECK int mmds_imds_render(const struct json *value, char **ret_text, size_t *ret_len);

/* mmds_http.c: answers one request, whole and without a body. ret_text: the whole response, the
 * caller frees. Returns 0, -ENOMEM or -errno of the random source. */
MUST_CHECK int mmds_http_answer(struct mmds *mmds, const char *request, size_t len, char **ret_text,
                                size_t *ret_len);
