/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a state file as somebody may have crafted it. The first byte says what the rest is.
 * Even: what is behind a state file's header; the header is made here, with the right length,
 * checksum and number of sections, so that what is changed reaches the sections. Odd: a
 * configuration's bytes alone. Whatever it is, it is refused with a sentence, or it can be written
 * again and reads the same. Single thread.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "snapshots/format/snapf.h"
#include "snapshots/snap_config.h"
#include "tests/fuzz/fuzz_check.h"

/* docs/snapshots.md */
#define HEADER_SIZE 48u
#define SECTION_HEAD_SIZE 16u
#define SECTION_LEN_OFF 8u
#define SECTIONS_COUNT_OFF 20u
#define FILE_LEN_OFF 24u
#define SUM_OFF 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(int rc, const struct err *err)
{
    FUZZ_CHECK(rc < 0 && rc != -ENOMEM && err->code == rc && err->msg[0] != '\0');
}

/* How many sections there are, as far as their lengths lead. */
static uint32_t count_sections(const uint8_t *body, size_t len)
{
    uint32_t count = 0;
    size_t off = 0;
    while (len - off >= SECTION_HEAD_SIZE) {
        le64_t wire;
        memcpy(&wire, body + off + SECTION_LEN_OFF, sizeof(wire));
        off += SECTION_HEAD_SIZE;
        count++;
        if (le64_get(wire) > len - off)
            break;
        off += (size_t)le64_get(wire);
    }
    return count;
}

/* A file of this body: heap. */
static uint8_t *seal(const uint8_t *body, size_t body_len, size_t *ret_len)
{
    size_t len = HEADER_SIZE + body_len;
    uint8_t *file = calloc(1, len);
    FUZZ_CHECK(file != NULL);
    const le32_t major = le32_put(SNAPF_MAJOR);
    const le32_t minor = le32_put(SNAPF_MINOR);
    const le32_t count = le32_put(count_sections(body, body_len));
    const le64_t file_len = le64_put(len);
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
    memcpy(file, "MAYFLYS1", 8);
    memcpy(file + 8, &major, sizeof(major));
    memcpy(file + 12, &minor, sizeof(minor));
    memcpy(file + SECTIONS_COUNT_OFF, &count, sizeof(count));
    memcpy(file + FILE_LEN_OFF, &file_len, sizeof(file_len));
    memcpy(file + HEADER_SIZE, body, body_len);
    crypto_checksum(file, len, sum);
    memcpy(file + SUM_OFF, sum, sizeof(sum));
    *ret_len = len;
    return file;
}

/* Written and read and written again: the same bytes. */
static void check_content(const struct snapf_content *content)
{
    uint8_t *first = NULL;
    uint8_t *second = NULL;
    size_t first_len = 0;
    size_t second_len = 0;
    struct err err = ERR_INIT;
    struct snapf_content *again = malloc(sizeof(*again));
    FUZZ_CHECK(again != NULL);
    FUZZ_CHECK(snapf_encode(content, &first, &first_len, &err) == 0);
    FUZZ_CHECK(snapf_decode(first, first_len, again, &err) == 0);
    FUZZ_CHECK(snapf_encode(again, &second, &second_len, &err) == 0);
    FUZZ_CHECK(first_len == second_len && memcmp(first, second, first_len) == 0);
    snapf_content_done(again);
    free(again);
    free(first);
    free(second);
}

static void check_config(const struct cfg_vm *config)
{
    uint8_t *first = NULL;
    uint8_t *second = NULL;
    size_t first_len = 0;
    size_t second_len = 0;
    struct err err = ERR_INIT;
    struct cfg_vm *again = malloc(sizeof(*again));
    FUZZ_CHECK(again != NULL);
    FUZZ_CHECK(snap_config_encode(config, &first, &first_len, &err) == 0);
    FUZZ_CHECK(snap_config_decode(first, first_len, again, &err) == 0);
    FUZZ_CHECK(snap_config_encode(again, &second, &second_len, &err) == 0);
    FUZZ_CHECK(first_len == second_len && memcmp(first, second, first_len) == 0);
    cfg_vm_done(again);
    free(again);
    free(first);
    free(second);
}

/* state: NULL: there is none. */
static void fuzz_config(const uint8_t *bytes, size_t len, const struct machine_state *state)
{
    struct err err = ERR_INIT;
    struct cfg_vm *config = malloc(sizeof(*config));
    FUZZ_CHECK(config != NULL);
    int rc = snap_config_decode(bytes, len, config, &err);
    if (rc == 0) {
        check_config(config);
        rc = state ? machine_state_check(state, config, &err) : 0;
        if (rc != 0)
            check_refusal(rc, &err);
        cfg_vm_done(config);
    } else {
        check_refusal(rc, &err);
    }
    free(config);
}

static void fuzz_file(const uint8_t *body, size_t body_len)
{
    struct err err = ERR_INIT;
    size_t len;
    uint8_t *file = seal(body, body_len, &len);
    struct snapf_content *content = malloc(sizeof(*content));
    FUZZ_CHECK(content != NULL);
    int rc = snapf_decode(file, len, content, &err);
    if (rc == 0) {
        check_content(content);
        fuzz_config(content->config, content->config_len, &content->machine);
        snapf_content_done(content);
    } else {
        check_refusal(rc, &err);
    }
    free(content);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_file(data + 1, size - 1);
    else
        fuzz_config(data + 1, size - 1, NULL);
    return 0;
}
