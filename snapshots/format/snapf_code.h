/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One description of a struct for both ways: to bytes and from them. Numbers are little-endian and
 * have fixed widths; nothing is aligned. What is read behind the end, or is no possible value, sets
 * `bad`, reads as zero, and is looked at once at the end. Single thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* Bytes of one state file, whatever is in it. */
#define SNAPF_FILE_MAX_SIZE 10000000u
#define SNAPF_TEXT_MAX_LEN 65536u

struct snapf_code {
    bool writes;
    bool bad;         /* the bytes are none of ours, or a value is none that can be read */
    bool full;        /* writing: no memory, or more than SNAPF_FILE_MAX_SIZE */
    uint32_t version; /* of the section that is read or written */
    uint8_t *out;     /* heap, the code's while it writes */
    size_t out_size;
    const uint8_t *in; /* borrowed while it reads */
    size_t in_len;
    size_t off; /* of the next byte */
};

/* Begins writing to nothing (snapf_code_done), or reading `len` bytes. */
void snapf_code_write(struct snapf_code *ret_code);
void snapf_code_read(struct snapf_code *ret_code, const void *bytes, size_t len, uint32_t version);
void snapf_code_done(struct snapf_code *code);

/* Is what was written whole? Returns 0, -ENOMEM, or -EINVAL: some value was none that can be
 * read. */
MUST_CHECK int snapf_code_written(const struct snapf_code *code, struct err *err);

/* The value goes out, or comes in. */
void snapf_u8(struct snapf_code *code, uint8_t *value);
void snapf_u16(struct snapf_code *code, uint16_t *value);
void snapf_u32(struct snapf_code *code, uint32_t *value);
void snapf_u64(struct snapf_code *code, uint64_t *value);
void snapf_bool(struct snapf_code *code, bool *value);
/* A number of at most `max`: else bad. */
void snapf_u32_max(struct snapf_code *code, uint32_t *value, uint32_t max);
/* `len` bytes as they are. */
void snapf_bytes(struct snapf_code *code, void *bytes, size_t len);
/* The same without the zeros at their end. */
void snapf_bytes_trimmed(struct snapf_code *code, void *bytes, size_t len);
/* A text on the heap, or NULL; when read, the caller frees it. */
void snapf_text(struct snapf_code *code, char **text);

/* A run of bytes that is read later: how many, and where. Borrowed from what is read. */
const uint8_t *snapf_take(struct snapf_code *code, size_t len);
