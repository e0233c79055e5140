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

/* serve: carries an action out, on the loop's thread; takes over what the action owns. loop:
 * borrowed. Returns 0 with *ret_mailbox (ctl_mailbox_free) or -errno. Thread: vmm. */
MUST_CHECK int ctl_mailbox_create(struct loop *loop,
                                  void (*serve)(void *ctx, struct ctl_action *action,
                                                struct ctl_reply *ret_reply),
                                  void *ctx, struct ctl_mailbox **ret_mailbox, struct err *err);

/* Nobody may be posting. NULL is fine. Thread: vmm. */
void ctl_mailbox_free(struct ctl_mailbox *mailbox);

/*
 * Has the vmm thread carry out *action and waits for its reply. The action is zeroed: what it owned
 * is ctl's. Returns 0 with *ret_reply, or -ECANCELED after ctl_mailbox_close. Thread: api.
 */
MUST_CHECK int ctl_post(struct ctl_mailbox *mailbox, struct ctl_action *action,
                        struct ctl_reply *ret_reply);

/* Lets nobody post any more and wakes who waits (-ECANCELED). Thread: vmm, when it leaves the
 * loop. */
void ctl_mailbox_close(struct ctl_mailbox *mailbox);

/* State as last published. Any thread. */
enum ctl_state ctl_state_read(const struct ctl_mailbox *mailbox);
void ctl_state_publish(struct ctl_mailbox *mailbox, enum ctl_state state);
