/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptography: authenticated encryption, random bytes, checksums, base64. The only user of mbedTLS
 * and xxHash. Nothing is made, allocated or asked of the kernel before the first call. Any thread;
 * a key belongs to one thread at a time. Spec: mmds.md 7.
 *
 * ChaCha20-Poly1305 where the reference has AES-256-GCM: what is sealed is opaque to clients, and
 * mbedTLS' GCM goes through its table of all ciphers, which costs each process 100 KB of program
 * and three pages that relocation makes its own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define CRYPTO_KEY_SIZE 32u
#define CRYPTO_NONCE_SIZE 12u /* never twice under one key */
#define CRYPTO_TAG_SIZE 16u

/* Fills with the kernel's random bytes; waits only while the host itself has none yet. ctx: not
 * looked at (the shape of a test's source). len: at most 256. Returns 0 or -errno. */
MUST_CHECK int crypto_random(void *ctx, void *buf, size_t len);

struct crypto_aead;

/* A key for ChaCha20-Poly1305 (RFC 8439). Returns 0 with *ret_aead
 * (crypto_aead_free), -ENOMEM or -EIO. */
MUST_CHECK int crypto_aead_create(const uint8_t key[static CRYPTO_KEY_SIZE],
                                  struct crypto_aead **ret_aead);

/* Overwrites and frees. NULL is fine. */
void crypto_aead_free(struct crypto_aead *aead);

/* A message on its way in or out. Borrowed; the two texts may be one place. */
struct crypto_message {
    const uint8_t *nonce; /* CRYPTO_NONCE_SIZE */
    const void *extra;    /* authenticated, not encrypted */
    size_t extra_len;     /* bytes */
    const uint8_t *in;    /* plain text to seal, or cipher text to open */
    size_t len;           /* bytes of it, and of what comes out */
};

/* Encrypts. ret_out: message->len bytes. Returns 0 or -EIO. */
MUST_CHECK int crypto_aead_seal(struct crypto_aead *aead, const struct crypto_message *message,
                                uint8_t *ret_out, uint8_t ret_tag[static CRYPTO_TAG_SIZE]);

/* Decrypts what carries this tag. ret_out: message->len bytes, zero on failure. Returns 0,
 * -EBADMSG (not sealed by this key with this nonce and extra) or -EIO. */
MUST_CHECK int crypto_aead_open(struct crypto_aead *aead, const struct crypto_message *message,
                                const uint8_t tag[static CRYPTO_TAG_SIZE], uint8_t *ret_out);

/* Bytes of a checksum: XXH3, 128 bits. It finds what went wrong, not who did it: no secret is in
 * it. */
#define CRYPTO_CHECKSUM_SIZE 16u
void crypto_checksum(const void *bytes, size_t len, uint8_t ret_sum[static CRYPTO_CHECKSUM_SIZE]);

/* The same of two runs of bytes as if one followed the other. */
void crypto_checksum_both(const void *first, size_t first_len, const void *second,
                          size_t second_len, uint8_t ret_sum[static CRYPTO_CHECKSUM_SIZE]);

/* Characters of `len` bytes in base64 with padding, without a NUL. */
#define CRYPTO_BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Standard alphabet, padding, no line ends. ret_text: CRYPTO_BASE64_LEN(len) + 1 bytes, with a
 * NUL. */
void crypto_base64_encode(const uint8_t *bytes, size_t len, char *ret_text);

/* Returns the bytes decoded, or -EINVAL: no such text, or more than `size` bytes. */
MUST_CHECK int crypto_base64_decode(const char *text, size_t len, uint8_t *ret_bytes, size_t size);
