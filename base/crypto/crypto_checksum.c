/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums of files. xxHash and not SHA-256: a snapshot's load may take half a millisecond, of
 * which mbedTLS 2.28's SHA-256 would take a quarter for the state and four pages. Any thread.
 */
#include "base/crypto/crypto.h"

#include <assert.h>
#include <string.h>

/* Of the library's header only what is called: the whole of it would be 30 KB of program. */
#define XXH_INLINE_ALL
#include <xxhash.h>

static void put(XXH128_hash_t hash, uint8_t *ret_sum)
{
    XXH128_canonical_t canonical;
    static_assert(sizeof(canonical) == CRYPTO_CHECKSUM_SIZE, "128 bits");
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(ret_sum, &canonical, sizeof(canonical));
}

void crypto_checksum(const void *bytes, size_t len, uint8_t ret_sum[static CRYPTO_CHECKSUM_SIZE])
{
    put(XXH3_128bits(bytes, len), ret_sum);
}

void crypto_checksum_both(const void *first, size_t first_len, const void *second,
                          size_t second_len, uint8_t ret_sum[static CRYPTO_CHECKSUM_SIZE])
{
    XXH3_state_t state;
    /* None of the three can fail: the state is there, and so are the bytes. */
    (void)XXH3_128bits_reset(&state);
    (void)XXH3_128bits_update(&state, first, first_len);
    (void)XXH3_128bits_update(&state, second, second_len);
    put(XXH3_128bits_digest(&state), ret_sum);
}
