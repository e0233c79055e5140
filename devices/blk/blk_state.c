/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device's state out of it and into it. Under the device's lock, on the vmm thread, while
 * the VM is paused: the engine has nothing in flight.
 */
#include "devices/blk/blk_state.h"

#include <errno.h>

#include "devices/blk/blk_int.h"

int blk_save(struct blk *blk, struct blk_state *ret_state, struct err *err)
{
    (void)pthread_mutex_lock(&blk->dev.lock);
    /* Whatever the cache type: the snapshot may outlive this host's memory. */
    int rc = blk_sync_file(blk);
    /* That flush is taken back: the next snapshot of this pause starts the same request. */
    blk_reap(blk);
    rl_save(&blk->rl, &ret_state->rl);
    ret_state->file_size = blk->disk.size;
    ret_state->read_only = blk->disk.read_only;
    (void)pthread_mutex_unlock(&blk->dev.lock);
    return rc < 0 ? err_set(err, rc, "flushing its file failed: %s", ERR_OS(rc)) : 0;
}

int blk_restore(struct blk *blk, const struct blk_state *state, struct err *err)
{
    uint64_t size = blk->disk.size;
    if (size < state->file_size || (state->read_only && size != state->file_size))
        return err_set(err, -EINVAL,
                       "its file has %llu bytes and had %llu when the snapshot was taken: is it "
                       "another disk?",
                       (unsigned long long)size, (unsigned long long)state->file_size);
    (void)pthread_mutex_lock(&blk->dev.lock);
    int rc = rl_restore(&blk->rl, &state->rl);
    (void)pthread_mutex_unlock(&blk->dev.lock);
    return rc < 0 ? err_set(err, rc, "the state of its rate limiter is not valid") : 0;
}
