/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the disk engines: moving bytes of one request, lists of requests, and making an engine on
 * an open fd. Thread: vmm.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/disk.h"

/* Requests in order, linked through their own `next`. */
struct disk_req_list {
    struct disk_req *first;
    struct disk_req *last;
};

static inline void disk_req_list_push(struct disk_req_list *list, struct disk_req *req)
{
    req->next = NULL;
    if (list->last)
        list->last->next = req;
    else
        list->first = req;
    list->last = req;
}

/* First request, taken out of the list; NULL when empty. */
static inline struct disk_req *disk_req_list_pop(struct disk_req_list *list)
{
    struct disk_req *req = list->first;
    if (!req)
        return NULL;
    list->first = req->next;
    if (!list->first)
        list->last = NULL;
    req->next = NULL;
    return req;
}

/* May an engine take this request at all? Returns 0, or -EINVAL for too many entries or a range
 * beyond what file offsets can say. */
MUST_CHECK int disk_req_check(const struct disk_req *req);

/*
 * Moves a read or write of which `done` bytes have been moved already, going on after short
 * transfers and signals. Returns the bytes moved in all (less than req->len only at end of file) or
 * -errno.
 */
MUST_CHECK int64_t disk_transfer(int fd, const struct disk_req *req, uint64_t done);

/* Makes what was written to fd durable (fdatasync). Returns 0 or -errno. */
MUST_CHECK int disk_sync_data(int fd);

/* Engines: fill ret_disk->ops and ->ctx; fd is theirs on success, the caller's on failure. */
MUST_CHECK int disk_sync_open(int fd, struct disk *ret_disk, struct err *err);
MUST_CHECK int disk_async_open(struct disk_ring *ring, int fd, disk_notify_fn notify,
                               void *notify_ctx, struct disk *ret_disk, struct err *err);
