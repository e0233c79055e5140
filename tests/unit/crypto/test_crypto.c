/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/crypto. Single thread. */
#include "base/crypto/crypto.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

/* The example of RFC 8439, 2.8.2: key, nonce, extra, text, and what comes out. */
static const uint8_t known_nonce[CRYPTO_NONCE_SIZE] = {7,    0,    0,    0,    0x40, 0x41,
                                                       0x42, 0x43, 0x44, 0x45, 0x46, 0x47};
static const uint8_t known_extra[12] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
                                        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
static const char known_text[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    "sunscreen would be it.";
static const uint8_t known_cipher[16] = {0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb,
                                         0x7b, 0x86, 0xaf, 0xbc, 0x53, 0xef, 0x7e, 0xc2};
static const uint8_t known_tag[16] = {0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a,
                                      0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91};
#define KNOWN_LEN (sizeof(known_text) - 1)

static struct crypto_aead *aead;

static int setup(void **state)
{
    uint8_t key[CRYPTO_KEY_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(0x80 + i);
    return crypto_aead_create(key, &aead);
}

static int teardown(void **state)
{
    (void)state;
    crypto_aead_free(aead);
    return 0;
}

static void test_crypto_aead_seal__known_vector__known_bytes(void **state)
{
    (void)state;
    const struct crypto_message message = {.nonce = known_nonce,
                                           .extra = known_extra,
                                           .extra_len = sizeof(known_extra),
                                           .in = (const uint8_t *)known_text,
                                           .len = KNOWN_LEN};
    uint8_t out[KNOWN_LEN];
    uint8_t tag[CRYPTO_TAG_SIZE];
    assert_int_equal(crypto_aead_seal(aead, &message, out, tag), 0);
    assert_memory_equal(out, known_cipher, sizeof(known_cipher));
    assert_memory_equal(tag, known_tag, sizeof(tag));
}

static void test_crypto_aead_open__what_was_sealed__comes_back(void **state)
{
    (void)state;
    uint8_t text[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const uint8_t plain[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t tag[CRYPTO_TAG_SIZE];
    const struct crypto_message message = {
        .nonce = known_nonce, .extra = "id", .extra_len = 2, .in = text, .len = sizeof(text)};
    assert_int_equal(crypto_aead_seal(aead, &message, text, tag), 0);
    assert_memory_not_equal(text, plain, sizeof(plain));
    assert_int_equal(crypto_aead_open(aead, &message, tag, text), 0);
    assert_memory_equal(text, plain, sizeof(plain));
}

static void test_crypto_aead_open__anything_changed__bad_message(void **state)
{
    (void)state;
    const uint8_t plain[8] = {0};
    uint8_t parts[CRYPTO_NONCE_SIZE + 8 + CRYPTO_TAG_SIZE] = {0};
    uint8_t *cipher = parts + CRYPTO_NONCE_SIZE;
    uint8_t *tag = cipher + sizeof(plain);
    uint8_t out[8];
    struct crypto_message message = {
        .nonce = parts, .extra = "id", .extra_len = 2, .in = plain, .len = sizeof(plain)};
    assert_int_equal(crypto_aead_seal(aead, &message, cipher, tag), 0);
    message.in = cipher;
    for (size_t i = 0; i < sizeof(parts); i++) {
        parts[i] ^= 0x10;
        assert_int_equal(crypto_aead_open(aead, &message, tag, out), -EBADMSG);
        parts[i] ^= 0x10;
    }
    message.extra = "iD";
    assert_int_equal(crypto_aead_open(aead, &message, tag, out), -EBADMSG);
    message.extra = "id";
    assert_int_equal(crypto_aead_open(aead, &message, tag, out), 0);
}

static void test_crypto_base64_encode__any_length__as_rfc_4648(void **state)
{
    (void)state;
    static const char *const texts[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t len = 0; len < ARRAY_LEN(texts); len++) {
        char text[16];
        uint8_t bytes[16];
        crypto_base64_encode((const uint8_t *)"foobar", len, text);
        assert_string_equal(text, texts[len]);
        assert_int_equal(crypto_base64_decode(text, strlen(text), bytes, sizeof(bytes)), len);
        assert_memory_equal(bytes, "foobar", len);
    }
}

static void test_crypto_base64_decode__no_base64_or_too_long__invalid(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Z",    "Zg",   "Zg=",      "Z===", "Zm9*",   "Zm9v=",
        "Zh==", "Zm9=", "Zg==Zg==", "====", "Zm9v\n", "Zm9vYmFyZm8="};
    uint8_t bytes[6];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(crypto_base64_decode(texts[i], strlen(texts[i]), bytes, sizeof(bytes)),
                         -EINVAL);
}

static void test_crypto_random__twice__differs(void **state)
{
    (void)state;
    uint8_t bytes[2][32] = {0};
    assert_int_equal(crypto_random(NULL, bytes[0], 32), 0);
    assert_int_equal(crypto_random(NULL, bytes[1], 32), 0);
    assert_memory_not_equal(bytes[0], bytes[1], 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crypto_aead_seal__known_vector__known_bytes),
        cmocka_unit_test(test_crypto_aead_open__what_was_sealed__comes_back),
        cmocka_unit_test(test_crypto_aead_open__anything_changed__bad_message),
        cmocka_unit_test(test_crypto_base64_encode__any_length__as_rfc_4648),
        cmocka_unit_test(test_crypto_base64_decode__no_base64_or_too_long__invalid),
        cmocka_unit_test(test_crypto_random__twice__differs),
    };
    return cmocka_run_group_tests_name("crypto", tests, setup, teardown);
}
