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

void crypto_checksum(const void *bytes, size_t len, uint8_t ret_sum[static CRYPTO_CHECKSUM_SIZE])
{
    XXH128_canonical_t canonical;
    static_assert(sizeof(canonical) == CRYPTO_CHECKSUM_SIZE, "128 bits");
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, len));
    memcpy(ret_sum, &canonical, sizeof(canonical));
}
