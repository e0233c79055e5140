/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Section BASE. Single thread.
 */
#include "snapshots/format/snapf_base.h"

static void code_base(struct snapf_code *code, struct snapf_base *base)
{
    snapf_u32_max(code, &base->drive_idx, SNAPF_BASES_MAX - 1);
    snapf_u64(code, &base->size);
    snapf_bool(code, &base->is_file);
    snapf_u64(code, &base->dev);
    snapf_u64(code, &base->ino);
    snapf_u64(code, &base->mtime_ns);
    snapf_u64(code, &base->ctime_ns);
    snapf_bytes(code, base->digest, sizeof(base->digest));
}

void snapf_code_bases(struct snapf_code *code, struct snapf_bases *bases)
{
    snapf_u32_max(code, &bases->count, SNAPF_BASES_MAX);
    for (uint32_t i = 0; i < bases->count; i++)
        code_base(code, &bases->bases[i]);
}
