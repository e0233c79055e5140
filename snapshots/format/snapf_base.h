/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Section BASE of a state file: what each drive's file was that the guest only reads, and that
 * clones share. Plain data. Single thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto/crypto.h"
#include "snapshots/format/snapf_code.h"
#include "vmm/machine/machine_state.h"

#define SNAPF_BASES_MAX MACHINE_STATE_DEVICES_MAX

/* One file, as it was when the snapshot was taken. */
struct snapf_base {
    uint32_t drive_idx; /* in the configuration */
    uint64_t size;      /* bytes */
    /* Which file on its host, and since when it is as it is: where all are the same, nobody has
     * written it. Only of a file: a block device says nothing of that. */
    bool is_file;
    uint64_t dev;
    uint64_t ino;
    uint64_t mtime_ns;
    uint64_t ctime_ns;
    uint8_t digest[CRYPTO_CHECKSUM_SIZE]; /* of its size and parts of it (snapshots/snap_base.c) */
};

/* All of them. Files of older formats have none. */
struct snapf_bases {
    uint32_t count;
    struct snapf_base bases[SNAPF_BASES_MAX];
};

void snapf_code_bases(struct snapf_code *code, struct snapf_bases *bases);
