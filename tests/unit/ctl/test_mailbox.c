/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/ctl/mailbox.c. The main thread is the vmm thread and runs the loop; a second
 * one posts, as the api thread does. For ThreadSanitizer as well.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "vmm/ctl/mailbox.h"

#define POSTS 2000u

struct box {
    struct loop *loop;
    struct ctl_mailbox *mailbox;
    struct cfg_vm vm;
    unsigned served;     /* main thread */
    unsigned stop_after; /* stops the loop after so many */
    bool close_in_serve;
    unsigned posts;       /* the poster's */
    atomic_uint answered; /* by 0 */
    atomic_uint canceled;
};

static void serve(void *ctx, struct ctl_action *action, struct ctl_reply *ret_reply)
{
    static const struct ctl_reply zero;
    struct box *box = ctx;

    assert_memory_equal(ret_reply, &zero, sizeof(zero));
    assert_int_equal(action->kind, CTL_BOOT_SOURCE_PUT);
    assert_string_equal(action->u.boot_source.kernel_image_path, "vmlinux");
    free(action->u.boot_source.kernel_image_path);
    if (box->close_in_serve) {
        ctl_mailbox_close(box->mailbox);
        (void)usleep(2000); /* the poster is awake by then, and has to wait on */
    }
    ctl_state_publish(box->mailbox, CTL_STATE_PAUSED);
    ret_reply->code = err_set(&ret_reply->err, -EBADF, "number %u", box->served);
    ret_reply->vm = &box->vm;
    if (++box->served == box->stop_after)
        loop_stop(box->loop);
}

static struct box *box_make(void)
{
    struct box *box = calloc(1, sizeof(*box));
    struct err err = ERR_INIT;

    assert_non_null(box);
    assert_int_equal(loop_create(clock_real(), &box->loop, &err), 0);
    assert_int_equal(ctl_mailbox_create(box->loop, serve, box, &box->mailbox, &err), 0);
    return box;
}

static void box_free(struct box *box)
{
    ctl_mailbox_free(box->mailbox);
    loop_free(box->loop);
    free(box);
}

/* Posts one action; looks at the action afterwards and at the reply. Counts by result. */
static int post_one(struct box *box)
{
    static const struct ctl_action empty = {.kind = CTL_BOOT_SOURCE_PUT};
    struct ctl_action action = {.kind = CTL_BOOT_SOURCE_PUT};
    struct ctl_reply reply = {.code = 77};

    action.u.boot_source.kernel_image_path = strdup("vmlinux");
    int rc = ctl_post(box->mailbox, &action, &reply);
    assert_memory_equal(&action, &empty, sizeof(empty));
    if (rc == 0) {
        char text[ERR_MSG_MAX_SIZE];
        unsigned idx = atomic_fetch_add(&box->answered, 1);
        (void)snprintf(text, sizeof(text), "number %u", idx);
        assert_int_equal(reply.code, -EBADF);
        assert_int_equal(reply.err.code, -EBADF);
        assert_string_equal(reply.err.msg, text);
        assert_ptr_equal(reply.vm, &box->vm);
        assert_int_equal(ctl_state_read(box->mailbox), CTL_STATE_PAUSED);
    } else {
        assert_int_equal(rc, -ECANCELED);
        assert_int_equal(reply.code, 77);
        atomic_fetch_add(&box->canceled, 1);
    }
    return rc;
}

static void *poster(void *arg)
{
    struct box *box = arg;

    for (unsigned i = 0; i < box->posts; i++)
        IGNORE_RESULT(post_one(box)); /* counted */
    return NULL;
}

static pthread_t start_poster(struct box *box, unsigned posts)
{
    pthread_t thread;

    box->posts = posts;
    assert_int_equal(pthread_create(&thread, NULL, poster, box), 0);
    return thread;
}

static void test_ctl_post__many_in_a_row__each_answered_with_its_own_reply(void **state)
{
    (void)state;
    struct box *box = box_make();
    struct err err = ERR_INIT;

    assert_int_equal(ctl_state_read(box->mailbox), CTL_STATE_NOT_STARTED);
    box->stop_after = POSTS;
    pthread_t thread = start_poster(box, POSTS);
    assert_int_equal(loop_run(box->loop, &err), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(box->answered, POSTS);
    assert_int_equal(box->canceled, 0);
    ctl_mailbox_close(box->mailbox);
    box_free(box);
}

static void test_ctl_post__after_close__canceled_and_action_freed(void **state)
{
    (void)state;
    struct box *box = box_make();

    ctl_mailbox_close(box->mailbox);
    ctl_mailbox_close(box->mailbox);
    assert_int_equal(post_one(box), -ECANCELED);
    assert_int_equal(post_one(box), -ECANCELED);
    assert_int_equal(loop_turn(box->loop, 0), 0);
    assert_int_equal(box->served, 0);
    box_free(box);
}

static void test_ctl_mailbox_close__while_one_waits__canceled_not_served(void **state)
{
    (void)state;
    struct box *box = box_make();
    pthread_t thread = start_poster(box, 1);

    (void)usleep(2000);
    ctl_mailbox_close(box->mailbox);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(box->canceled, 1);
    /* The wake-up may still be there; it finds an empty slot. */
    assert_true(loop_turn(box->loop, 0) >= 0);
    assert_int_equal(box->served, 0);
    box_free(box);
}

static void test_ctl_mailbox_close__in_serve__that_one_has_its_reply(void **state)
{
    (void)state;
    struct box *box = box_make();
    struct err err = ERR_INIT;

    box->close_in_serve = true;
    box->stop_after = 1;
    pthread_t thread = start_poster(box, 3);
    assert_int_equal(loop_run(box->loop, &err), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(box->answered, 1);
    assert_int_equal(box->canceled, 2);
    box_free(box);
}

static void test_ctl_mailbox_close__at_any_moment__all_posts_end(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < 200; i++) {
        struct box *box = box_make();
        box->stop_after = 1 + i % 7;
        pthread_t thread = start_poster(box, 12);
        assert_int_equal(loop_run(box->loop, &err), 0);
        ctl_mailbox_close(box->mailbox);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(box->answered, box->served);
        assert_int_equal(box->answered + box->canceled, 12);
        box_free(box);
    }
}

static void *read_states(void *arg)
{
    struct box *box = arg;

    while (ctl_state_read(box->mailbox) != CTL_STATE_PAUSED)
        ;
    return NULL;
}

static void test_ctl_state_publish__other_thread__sees_it(void **state)
{
    (void)state;
    struct box *box = box_make();
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, read_states, box), 0);
    ctl_state_publish(box->mailbox, CTL_STATE_RUNNING);
    ctl_state_publish(box->mailbox, CTL_STATE_PAUSED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    box_free(box);
    ctl_mailbox_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctl_post__many_in_a_row__each_answered_with_its_own_reply),
        cmocka_unit_test(test_ctl_post__after_close__canceled_and_action_freed),
        cmocka_unit_test(test_ctl_mailbox_close__while_one_waits__canceled_not_served),
        cmocka_unit_test(test_ctl_mailbox_close__in_serve__that_one_has_its_reply),
        cmocka_unit_test(test_ctl_mailbox_close__at_any_moment__all_posts_end),
        cmocka_unit_test(test_ctl_state_publish__other_thread__sees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
