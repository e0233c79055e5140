/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's socket and thread: accepts up to API_CONNECTIONS_MAX connections, reads requests, has
 * each carried out through the mailbox, one at a time over all connections, and writes the replies.
 * Thread: api ("fc_api"), which the server starts; open, start and stop: vmm. Spec: api.md 1.1.
 */
#pragma once

#include "api/reply.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/thread.h"
#include "vmm/ctl/mailbox.h"

#define API_CONNECTIONS_MAX 10u

struct api_server;

struct api_server_options {
    const char *socket_path; /* bound, unless a listening socket was inherited (LISTEN_FDS) */
    size_t body_max_size;    /* --http-api-max-payload-size */
    struct api_identity identity;
    struct thread_entry entry; /* of the server's thread */
    bool scrapes; /* not the API: GET /metrics alone; on a thread "fc_metrics" */
};

/*
 * Binds and listens, or takes the inherited socket, and logs where. An existing path is refused
 * (cli.md C). Connections are taken by the kernel from now on; nothing is answered yet. options:
 * copied, its strings borrowed for the server's life. Returns 0 with *ret_server (api_server_free)
 * or -errno with the sentence.
 */
MUST_CHECK int api_server_open(const struct api_server_options *options,
                               struct api_server **ret_server, struct err *err);

/* Starts the thread. mailbox: borrowed; outlives the server; NULL for one that
 * scrapes. Returns 0 or -errno. */
MUST_CHECK int api_server_start(struct api_server *server, struct ctl_mailbox *mailbox,
                                struct err *err);

/*
 * Ends the thread and joins it: a reply that is due is written first (a peer that does not read it
 * is waited for up to a second), connections are closed. The mailbox has to be closed before, or a
 * request that waits in it is waited for. The socket file stays, as the reference's.
 * NULL is fine.
 */
void api_server_free(struct api_server *server);
