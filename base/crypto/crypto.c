/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20-Poly1305 on mbedTLS, random bytes from the kernel. Any thread; no state but
 * the key's. Spec: mmds.md 7.
 */
#include "base/crypto/crypto.h"

#include <assert.h>
#include <errno.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <sys/random.h>

struct crypto_aead {
    mbedtls_chachapoly_context context;
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
    mbedtls_chachapoly_init(&aead->context);
    if (mbedtls_chachapoly_setkey(&aead->context, key) != 0) {
        crypto_aead_free(aead);
        return -EIO;
    }
    *ret_aead = aead;
    return 0;
}

void crypto_aead_free(struct crypto_aead *aead)
{
    if (!aead)
        return;
    mbedtls_chachapoly_free(&aead->context); /* overwrites its key */
    mbedtls_platform_zeroize(aead, sizeof(*aead));
    free(aead);
}

int crypto_aead_seal(struct crypto_aead *aead, const struct crypto_message *message,
                     uint8_t *ret_out, uint8_t ret_tag[static CRYPTO_TAG_SIZE])
{
    int rc = mbedtls_chachapoly_encrypt_and_tag(&aead->context, message->len, message->nonce,
                                                message->extra, message->extra_len, message->in,
                                                ret_out, ret_tag);
    return rc == 0 ? 0 : -EIO;
}

int crypto_aead_open(struct crypto_aead *aead, const struct crypto_message *message,
                     const uint8_t tag[static CRYPTO_TAG_SIZE], uint8_t *ret_out)
{
    int rc = mbedtls_chachapoly_auth_decrypt(&aead->context, message->len, message->nonce,
                                             message->extra, message->extra_len, tag, message->in,
                                             ret_out);
    if (rc == MBEDTLS_ERR_CHACHAPOLY_AUTH_FAILED)
        return -EBADMSG;
    return rc == 0 ? 0 : -EIO;
}
