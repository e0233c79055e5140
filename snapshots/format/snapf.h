/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file of a snapshot (docs/snapshots.md): a header with a checksum over everything, then
 * sections, each with a tag, a version and a length. Only this room knows its bytes. A newer build
 * reads what an older one wrote. Single thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/crypto/crypto.h"
#include "base/err.h"
#include "snapshots/format/snapf_base.h"
#include "snapshots/format/snapf_code.h"
#include "vmm/machine/machine_state.h"

/* Version of the format; one that is read has this major and at most this minor. */
#define SNAPF_MAJOR 1u
#define SNAPF_MINOR 2u
#define SNAPF_PATCH 0u

/* Pages of the memory file that the state file vouches for. */
#define SNAPF_SAMPLES_MAX 64u

/* First bytes of a state file. */
#define SNAPF_MAGIC_SIZE 8u

/* A snapshot's own number, random; zero: an older format had none. */
#define SNAPF_ID_SIZE 16u

/* Where the snapshot was taken, in words: for people, and for what a load may warn of. Each is
 * heap, NUL-terminated. */
struct snapf_info {
    char *build;  /* "mayfly 0.1.0" */
    char *kernel; /* of the host: its release */
    char *cpu;    /* of the host: vendor, family, model, stepping, brand */
};

/* One page of guest memory as it was. */
struct snapf_sample {
    uint64_t off; /* in the memory file */
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
};

/* The time of last change that the memory file was given when it was complete: the second before,
 * and a random fraction (snapshots/snap_stamp.h); zero: it has no stamp. */
struct snapf_stamp {
    uint64_t s;
    uint32_t ns;
};

/* Everything in the file. */
struct snapf_content {
    struct snapf_info info;
    uint8_t *config; /* the configuration's bytes (snapshots/snap_config.c); heap */
    size_t config_len;
    struct machine_state machine;
    uint32_t samples_count;
    uint32_t samples_fixed_count; /* the first so many are no random pages (snap_memory.h) */
    struct snapf_sample samples[SNAPF_SAMPLES_MAX];
    uint8_t id[SNAPF_ID_SIZE];
    struct snapf_stamp memory_stamp;
    uint8_t predecessor[SNAPF_ID_SIZE]; /* that the VM took before or was loaded from; zero: none */
    struct snapf_bases bases;
};

/* Frees what it holds. A zeroed one is fine. */
void snapf_content_done(struct snapf_content *content);

/* Makes the file's bytes. content: not changed. Returns 0 with *ret_bytes (the caller frees),
 * -ENOMEM (also above SNAPF_FILE_MAX_SIZE). */
MUST_CHECK int snapf_encode(const struct snapf_content *content, uint8_t **ret_bytes,
                            size_t *ret_len, struct err *err);

/*
 * Reads a file's bytes: magic, version, length and checksum before anything is believed, then every
 * section. Its values may still be none of a machine's (machine_state_check). Returns 0
 * (snapf_content_done), -EINVAL (not ours, a version we do not read, damaged) or -ENOMEM.
 */
MUST_CHECK int snapf_decode(const uint8_t *bytes, size_t len, struct snapf_content *ret_content,
                            struct err *err);

/* Does a file that begins so take itself for a state file, ours or the reference's? Says nothing of
 * its being whole. */
bool snapf_is_state(const uint8_t *bytes, size_t len);

/* The version that a file says it has, when it is one of ours. ret_version: major, minor, patch.
 * Returns 0 or -EINVAL. */
MUST_CHECK int snapf_version(const uint8_t *bytes, size_t len, uint32_t ret_version[static 3],
                             struct err *err);
