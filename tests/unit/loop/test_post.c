/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News posted to a loop by other threads. The main thread runs the loop.
 */
#include <pthread.h>
#include <stdlib.h>

#include "tests/unit/unit.h"
#include "vmm/loop/loop.h"

struct news {
    struct loop_post post;
    struct loop *loop;
    unsigned calls;
    struct news *removes; /* in the callback; NULL: nobody */
    bool stop;
};

static void on_news(struct loop_post *post)
{
    struct news *news = post->ctx;
    news->calls++;
    if (news->removes)
        loop_post_remove(news->loop, &news->removes->post);
    if (news->stop)
        loop_stop(news->loop);
}

static void news_init(struct news *news, struct loop *loop)
{
    *news = (struct news){.loop = loop};
    news->post = (struct loop_post){.fn = on_news, .ctx = news};
    loop_post_add(loop, &news->post);
}

static int setup(void **state)
{
    struct loop *loop = NULL;
    struct err err = ERR_INIT;
    if (loop_create(clock_real(), &loop, &err) < 0)
        return -1;
    *state = loop;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static void test_loop_post__several_before_a_turn__one_call(void **state)
{
    struct news first;
    struct news second;
    news_init(&first, *state);
    news_init(&second, *state);
    loop_post(*state, &first.post);
    loop_post(*state, &first.post);
    assert_int_equal(loop_turn(*state, 0), 1);
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 0);
    assert_int_equal(loop_turn(*state, 0), 0);
}

static void test_loop_post__removes_itself__others_still_called(void **state)
{
    struct news first;
    struct news second;
    news_init(&first, *state);
    news_init(&second, *state);
    second.removes = &second; /* the one looked at first */
    loop_post(*state, &second.post);
    loop_post(*state, &first.post);
    assert_int_equal(loop_turn(*state, 0), 2);
    loop_post(*state, &second.post);
    assert_int_equal(loop_turn(*state, 0), 0);
    assert_int_equal(second.calls, 1);
}

/* What is removed may be gone from memory: nobody looks at it again. */
static void test_loop_post__removes_the_next__that_is_left_out(void **state)
{
    struct news first;
    struct news third;
    struct news *second = malloc(sizeof(*second));
    assert_non_null(second);
    news_init(&first, *state);
    news_init(second, *state);
    news_init(&third, *state);
    third.removes = second;
    loop_post(*state, &third.post);
    loop_post(*state, &second->post);
    loop_post(*state, &first.post);
    assert_int_equal(loop_turn(*state, 0), 2);
    assert_int_equal(second->calls, 0);
    assert_int_equal(first.calls, 1);
    free(second);
}

static void test_loop_post__made_before_a_stop__delivered_by_the_next_run(void **state)
{
    struct err err = ERR_INIT;
    struct news news;
    news_init(&news, *state);
    news.stop = true;
    loop_post(*state, &news.post);
    loop_stop(*state);
    assert_int_equal(loop_run(*state, &err), 0); /* ended by the stop, nothing delivered */
    assert_int_equal(news.calls, 0);
    assert_int_equal(loop_run(*state, &err), 0); /* ended by the post */
    assert_int_equal(news.calls, 1);
}

static void *post_from_thread(void *arg)
{
    struct news *news = arg;
    loop_post(news->loop, &news->post);
    return NULL;
}

static void test_loop_post__from_another_thread__wakes_the_loop(void **state)
{
    struct err err = ERR_INIT;
    struct news news;
    pthread_t thread;
    news_init(&news, *state);
    news.stop = true;
    assert_int_equal(pthread_create(&thread, NULL, post_from_thread, &news), 0);
    assert_int_equal(loop_run(*state, &err), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(news.calls, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_loop_post__several_before_a_turn__one_call),
        TEST(test_loop_post__removes_itself__others_still_called),
        TEST(test_loop_post__removes_the_next__that_is_left_out),
        TEST(test_loop_post__made_before_a_stop__delivered_by_the_next_run),
        TEST(test_loop_post__from_another_thread__wakes_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
