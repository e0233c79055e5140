/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the api thread to the vmm thread and back: one action at a time, no polling. The poster
 * sleeps until its action was carried out; the vmm thread learns of it through its loop. The state
 * for `GET /` is published beside it and may be read at any time. Threads: api posts, vmm serves.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/ctl/action.h"
#include "vmm/loop/loop.h"

struct ctl_mailbox;

/*
 * serve: carries an action out, on the loop's thread; what the action owns is its own from then on,
 * also when it fails. The reply comes to it zeroed. loop: borrowed. The state begins as
 * CTL_STATE_NOT_STARTED. Returns 0 with *ret_mailbox (ctl_mailbox_free) or -ENOMEM. Thread: vmm.
 */
MUST_CHECK int ctl_mailbox_create(struct loop *loop,
                                  void (*serve)(void *ctx, struct ctl_action *action,
                                                struct ctl_reply *ret_reply),
                                  void *ctx, struct ctl_mailbox **ret_mailbox, struct err *err);

/* Nobody may be posting. NULL is fine. Thread: vmm. */
void ctl_mailbox_free(struct ctl_mailbox *mailbox);

/*
 * Has the vmm thread carry out *action and waits for its reply. In any case the action is empty
 * then and only its kind is left: what it owned is ctl's, or freed. Returns 0 with *ret_reply, or
 * -ECANCELED when the mailbox was closed before the action was begun; one that was begun has its
 * reply. Thread: api, one at a time.
 */
MUST_CHECK int ctl_post(struct ctl_mailbox *mailbox, struct ctl_action *action,
                        struct ctl_reply *ret_reply);

/* Lets nobody post any more and wakes who waits (-ECANCELED). More than once is fine. Thread: vmm,
 * when it has left the loop, or in serve. */
void ctl_mailbox_close(struct ctl_mailbox *mailbox);

/* State as last published. Any thread. */
enum ctl_state ctl_state_read(const struct ctl_mailbox *mailbox);

/* A change that an action makes is published before its reply. Any thread. */
void ctl_state_publish(struct ctl_mailbox *mailbox, enum ctl_state state);
