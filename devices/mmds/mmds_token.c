/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session tokens: the moment of their end, sealed by a key that the process makes when the first
 * one is asked for. Nothing of a token is kept. Thread: vmm. Spec: mmds.md 7.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "devices/mmds/mmds_int.h"

#define VM_ID_MAX_LEN 64u /* cli.md A, --id */
#define EXTRA_MAX_SIZE (sizeof("microvmid=") + VM_ID_MAX_LEN)

static uint64_t now_ms(const struct mmds *mmds)
{
    return clock_now_ns(mmds->env.clock) / NS_PER_MS;
}

/* A new key; what the old one has sealed is worth nothing from now on. */
static int change_key(struct mmds *mmds)
{
    uint8_t bytes[CRYPTO_KEY_SIZE];
    struct crypto_aead *key = NULL;
    int rc = mmds->env.random(mmds->env.ctx, bytes, sizeof(bytes));

    if (rc == 0)
        rc = crypto_aead_create(bytes, &key);
    explicit_bzero(bytes, sizeof(bytes));
    if (rc < 0)
        return rc;
    crypto_aead_free(mmds->key);
    mmds->key = key;
    mmds->tokens_count = 0;
    return 0;
}

/* Whose tokens these are. Returns the length. */
static size_t extra_of(const struct mmds *mmds, char buf[static EXTRA_MAX_SIZE])
{
    int len = snprintf(buf, EXTRA_MAX_SIZE, "microvmid=%s", mmds->env.vm_id);

    return len < (int)EXTRA_MAX_SIZE ? (size_t)len : EXTRA_MAX_SIZE - 1;
}

int mmds_token_make(struct mmds *mmds, uint32_t ttl_s, char ret_text[static MMDS_TOKEN_LEN + 1])
{
    uint8_t token[MMDS_TOKEN_SIZE];
    uint8_t *sealed = token + CRYPTO_NONCE_SIZE;
    char extra[EXTRA_MAX_SIZE];
    le64_t expiry_ms = le64_put(now_ms(mmds) + ttl_s * 1000ull);
    int rc = 0;

    assert(ttl_s >= MMDS_TTL_MIN_S && ttl_s <= MMDS_TTL_MAX_S);
    if (!mmds->key || mmds->tokens_count == MMDS_TOKENS_MAX)
        rc = change_key(mmds);
    if (rc == 0)
        rc = mmds->env.random(mmds->env.ctx, token, CRYPTO_NONCE_SIZE);
    if (rc < 0)
        return rc;
    const struct crypto_message message = {
        .nonce = token,
        .extra = extra,
        .extra_len = extra_of(mmds, extra),
        .in = (const uint8_t *)&expiry_ms,
        .len = sizeof(expiry_ms),
    };
    rc = crypto_aead_seal(mmds->key, &message, sealed, sealed + sizeof(expiry_ms));
    if (rc < 0)
        return rc;
    mmds->tokens_count++;
    crypto_base64_encode(token, sizeof(token), ret_text);
    return 0;
}

bool mmds_token_is_valid(struct mmds *mmds, const char *text, size_t len)
{
    uint8_t token[MMDS_TOKEN_SIZE];
    const uint8_t *sealed = token + CRYPTO_NONCE_SIZE;
    char extra[EXTRA_MAX_SIZE];
    le64_t expiry_ms;

    if (!mmds->key || len > MMDS_TOKEN_INPUT_MAX_LEN ||
        crypto_base64_decode(text, len, token, sizeof(token)) != (int)sizeof(token))
        return false;
    const struct crypto_message message = {
        .nonce = token,
        .extra = extra,
        .extra_len = extra_of(mmds, extra),
        .in = sealed,
        .len = sizeof(expiry_ms),
    };
    if (crypto_aead_open(mmds->key, &message, sealed + sizeof(expiry_ms), (uint8_t *)&expiry_ms) <
        0)
        return false;
    return le64_get(expiry_ms) > now_ms(mmds);
}
