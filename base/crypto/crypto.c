/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM and base64 on mbedTLS, random bytes from the kernel. Any thread; no state but the
 * key's. Spec: mmds.md 7.
 */
#include "base/crypto/crypto.h"

#include <assert.h>
#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <sys/random.h>

struct crypto_aead {
    mbedtls_gcm_context gcm;
};

int crypto_random(void *ctx, void *buf, size_t len)
{
    ssize_t got;

    (void)ctx;
    assert(len <= 256); /* up to here getrandom gives all or nothing */
    do
        got = getrandom(buf, len, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    return (size_t)got == len ? 0 : -EIO;
}

int crypto_aead_create(const uint8_t key[static CRYPTO_KEY_SIZE], struct crypto_aead **ret_aead)
{
    struct crypto_aead *aead = calloc(1, sizeof(*aead));

    if (!aead)
        return -ENOMEM;
    mbedtls_gcm_init(&aead->gcm);
    if (mbedtls_gcm_setkey(&aead->gcm, MBEDTLS_CIPHER_ID_AES, key, CRYPTO_KEY_SIZE * 8) != 0) {
        crypto_aead_free(aead);
        return -ENOMEM; /* nothing else can be wrong with such a key */
    }
    *ret_aead = aead;
    return 0;
}

void crypto_aead_free(struct crypto_aead *aead)
{
    if (!aead)
        return;
    mbedtls_gcm_free(&aead->gcm); /* overwrites its key */
    mbedtls_platform_zeroize(aead, sizeof(*aead));
    free(aead);
}

int crypto_aead_seal(struct crypto_aead *aead, const struct crypto_message *message,
                     uint8_t *ret_out, uint8_t ret_tag[static CRYPTO_TAG_SIZE])
{
    int rc = mbedtls_gcm_crypt_and_tag(
        &aead->gcm, MBEDTLS_GCM_ENCRYPT, message->len, message->nonce, CRYPTO_NONCE_SIZE,
        message->extra, message->extra_len, message->in, ret_out, CRYPTO_TAG_SIZE, ret_tag);
    return rc == 0 ? 0 : -EIO;
}

int crypto_aead_open(struct crypto_aead *aead, const struct crypto_message *message,
                     const uint8_t tag[static CRYPTO_TAG_SIZE], uint8_t *ret_out)
{
    int rc = mbedtls_gcm_auth_decrypt(&aead->gcm, message->len, message->nonce, CRYPTO_NONCE_SIZE,
                                      message->extra, message->extra_len, tag, CRYPTO_TAG_SIZE,
                                      message->in, ret_out);
    if (rc == MBEDTLS_ERR_GCM_AUTH_FAILED)
        return -EBADMSG;
    return rc == 0 ? 0 : -EIO;
}

void crypto_base64_encode(const uint8_t *bytes, size_t len, char *ret_text)
{
    size_t text_len;
    int rc = mbedtls_base64_encode((unsigned char *)ret_text, CRYPTO_BASE64_LEN(len) + 1, &text_len,
                                   bytes, len);

    assert(rc == 0 && text_len == CRYPTO_BASE64_LEN(len));
    (void)rc; /* the room is right */
}

int crypto_base64_decode(const char *text, size_t len, uint8_t *ret_bytes, size_t size)
{
    size_t got = 0;

    if (mbedtls_base64_decode(ret_bytes, size, &got, (const unsigned char *)text, len) != 0 ||
        got > INT32_MAX)
        return -EINVAL;
    /* mbedTLS passes over line ends, and over a piece of less than four characters. */
    if (CRYPTO_BASE64_LEN(got) != len)
        return -EINVAL;
    return (int)got;
}
