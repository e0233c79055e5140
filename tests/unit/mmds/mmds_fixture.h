/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A metadata service with a clock and a random source of the test's, and what a guest says to it.
 * Single thread.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/mmds/mmds_net.h"
#include "tests/unit/unit.h"

#define DATA_MAX 2000u

static struct {
    struct mmds *mmds;
    uint64_t now_ns;
    int random_result;
    uint8_t random_next;
} world;

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return world.now_ns;
}

static const struct clock fake_clock = {.now_ns = fake_now};

static int fake_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    memset(buf, world.random_next++, len);
    return world.random_result;
}

static inline struct mmds *mmds_of(const char *vm_id)
{
    const struct mmds_env env = {
        .clock = &fake_clock, .random = fake_random, .vm_id = vm_id, .data_size_max = DATA_MAX};
    struct mmds *mmds = NULL;
    assert_int_equal(mmds_create(&env, &mmds), 0);
    return mmds;
}

static inline int setup(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.now_ns = 5 * NS_PER_S;
    world.random_next = 0x40;
    world.mmds = mmds_of("vm-1");
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    mmds_free(world.mmds);
    return 0;
}

static inline void put(const char *text)
{
    struct err err = ERR_INIT;
    assert_int_equal(mmds_put(world.mmds, text, strlen(text), &err), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
