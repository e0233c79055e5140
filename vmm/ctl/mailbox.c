/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mailbox: one slot under a mutex. The poster sleeps on a condition variable, the vmm thread is
 * woken through its loop. The slot only points at the poster's action and reply: the poster stays
 * while the vmm thread may use them. Threads: api posts, vmm serves and closes; the state may be
 * read by any.
 */
#include "vmm/ctl/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum slot {
    SLOT_EMPTY,
    SLOT_POSTED, /* the poster may still take it back */
    SLOT_TAKEN,  /* being carried out: the poster has to wait */
    SLOT_ANSWERED,
};

struct ctl_mailbox {
    struct loop *loop;
    struct loop_post post;
    void (*serve)(void *ctx, struct ctl_action *action, struct ctl_reply *ret_reply);
    void *ctx;
    _Atomic enum ctl_state state; /* published */

    pthread_mutex_t lock; /* guards what follows; never held while an action is carried out */
    pthread_cond_t changed;
    enum slot slot;
    bool closed;
    struct ctl_action *action;
    struct ctl_reply *reply;
};

static void on_post(struct loop_post *post)
{
    struct ctl_mailbox *mailbox = post->ctx;

    (void)pthread_mutex_lock(&mailbox->lock);
    bool posted = mailbox->slot == SLOT_POSTED;
    if (posted)
        mailbox->slot = SLOT_TAKEN;
    (void)pthread_mutex_unlock(&mailbox->lock);
    if (!posted)
        return; /* taken back: the mailbox was closed */

    mailbox->serve(mailbox->ctx, mailbox->action, mailbox->reply);

    (void)pthread_mutex_lock(&mailbox->lock);
    mailbox->slot = SLOT_ANSWERED;
    (void)pthread_cond_signal(&mailbox->changed);
    (void)pthread_mutex_unlock(&mailbox->lock);
}

int ctl_mailbox_create(struct loop *loop,
                       void (*serve)(void *ctx, struct ctl_action *action,
                                     struct ctl_reply *ret_reply),
                       void *ctx, struct ctl_mailbox **ret_mailbox, struct err *err)
{
    struct ctl_mailbox *mailbox = calloc(1, sizeof(*mailbox));
    if (!mailbox)
        return err_set(err, -ENOMEM, "Cannot create the mailbox: %s", ERR_OS(ENOMEM));

    mailbox->loop = loop;
    mailbox->serve = serve;
    mailbox->ctx = ctx;
    /* With default attributes neither can fail here. */
    (void)pthread_mutex_init(&mailbox->lock, NULL);
    (void)pthread_cond_init(&mailbox->changed, NULL);
    mailbox->post.fn = on_post;
    mailbox->post.ctx = mailbox;
    loop_post_add(loop, &mailbox->post);
    *ret_mailbox = mailbox;
    return 0;
}

void ctl_mailbox_free(struct ctl_mailbox *mailbox)
{
    if (!mailbox)
        return;
    loop_post_remove(mailbox->loop, &mailbox->post);
    (void)pthread_cond_destroy(&mailbox->changed);
    (void)pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

/* Puts the action into the slot. Returns false when the mailbox is closed. */
static bool slot_fill(struct ctl_mailbox *mailbox, struct ctl_action *action,
                      struct ctl_reply *reply)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    bool open = !mailbox->closed;
    if (open) {
        mailbox->slot = SLOT_POSTED;
        mailbox->action = action;
        mailbox->reply = reply;
    }
    (void)pthread_mutex_unlock(&mailbox->lock);
    return open;
}

/* Waits for the answer and empties the slot. Returns false when nobody took the action. */
static bool slot_wait(struct ctl_mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    while (mailbox->slot == SLOT_TAKEN || (mailbox->slot == SLOT_POSTED && !mailbox->closed))
        (void)pthread_cond_wait(&mailbox->changed, &mailbox->lock);
    bool answered = mailbox->slot == SLOT_ANSWERED;
    mailbox->slot = SLOT_EMPTY;
    mailbox->action = NULL;
    mailbox->reply = NULL;
    (void)pthread_mutex_unlock(&mailbox->lock);
    return answered;
}

int ctl_post(struct ctl_mailbox *mailbox, struct ctl_action *action, struct ctl_reply *ret_reply)
{
    struct ctl_reply reply = {0};
    enum ctl_action_kind kind = action->kind;
    bool answered = false;

    if (slot_fill(mailbox, action, &reply)) {
        /* Without the lock: the loop may be awake before this returns. */
        loop_post(mailbox->loop, &mailbox->post);
        answered = slot_wait(mailbox);
    }
    if (answered) {
        memset(action, 0, sizeof(*action));
        *ret_reply = reply;
    } else {
        ctl_action_done(action);
    }
    action->kind = kind; /* the answer is rendered by it */
    return answered ? 0 : -ECANCELED;
}

void ctl_mailbox_close(struct ctl_mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    mailbox->closed = true;
    (void)pthread_cond_signal(&mailbox->changed);
    (void)pthread_mutex_unlock(&mailbox->lock);
}

enum ctl_state ctl_state_read(const struct ctl_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->state, memory_order_acquire);
}

void ctl_state_publish(struct ctl_mailbox *mailbox, enum ctl_state state)
{
    atomic_store_explicit(&mailbox->state, state, memory_order_release);
}
