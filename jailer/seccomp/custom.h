/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file format of filters, between mayfly-seccomp and the monitor (docs/seccomp.md).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/le.h"
#include "jailer/seccomp/sec.h"

#define SEC_FILE_MAGIC "MAYFLYSC"
#define SEC_FILE_VERSION 1u

struct sec_file_head {
    char magic[8];
    le32_t version;
    le32_t filters_count;
    le64_t size;     /* of the whole file, bytes */
    le64_t checksum; /* of all behind this head */
};
_Static_assert(sizeof(struct sec_file_head) == 32, "the format's");

/* Followed by its instructions. */
struct sec_file_filter {
    char name[8]; /* NUL-padded, and NUL at the end */
    le32_t count; /* instructions */
    le32_t zero;
};
_Static_assert(sizeof(struct sec_file_filter) == 16, "the format's");

/* All filters at their longest. */
#define SEC_FILE_SIZE_MAX                                                                          \
    (sizeof(struct sec_file_head) +                                                                \
     SEC_FILTERS_COUNT * (sizeof(struct sec_file_filter) + SEC_INSNS_MAX * 8u))

/* FNV-1a of 64 bits: finds damage, no attack: whoever writes the file decides anyway. */
uint64_t sec_file_checksum(const void *data, size_t size);
