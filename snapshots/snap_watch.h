/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who notices that a page-fault handler has ended: a thread of its own ("fc_uffd"), which touches
 * no guest memory and so never waits for a page. It is made during the load, before the guest runs.
 */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/thread.h"
#include "vmm/mem/gmem.h"

struct snap_watch;

/* Where news of the handler goes. Thread: the watch's own. */
struct snap_watch_news {
    struct thread_entry entry; /* of the thread */
    void *ctx;
    /* Once, after the load: it has ended. ends: the process is to end, too. why: the sentence. */
    void (*ended)(void *ctx, bool ends, const struct err *why);
};

/*
 * Begins to watch the process that listened at the other end of a connected socket. During the load
 * its end makes the load fail (snap_watch_end_load) as soon as a page is missed; one that lives and
 * serves nothing is waited for, with a warning. ends: what news->ended is to be told. gmem: of
 * which uffd serves all regions, registered; looked at in this call only. peer_fd, uffd: borrowed
 * for the call. news: copied. Returns 0 with *ret_watch (snap_watch_free) or -errno. Thread: vmm.
 */
MUST_CHECK int snap_watch_create(const struct gmem *gmem, int uffd, int peer_fd, bool ends,
                                 const struct snap_watch_news *news, struct snap_watch **ret_watch,
                                 struct err *err);

/*
 * The load is done, with rc, and nobody has run the guest. From now on the handler's end is news.
 * path: of its socket, for the sentence. Returns rc, or -EPIPE when the handler had ended and pages
 * were missed: then the memory has zeros in their place, and nobody may go on with it. Thread: vmm.
 */
MUST_CHECK int snap_watch_end_load(struct snap_watch *watch, const char *path, int rc,
                                   struct err *err);

/* Ends the thread; news->ended is not called any more. NULL is fine. Thread: vmm. */
void snap_watch_free(struct snap_watch *watch);
