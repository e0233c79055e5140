/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NIC's state: its two limiters go on where they were. Single thread.
 */
#include "devices/net/net_state.h"

#include "devices/net/net_int.h"
#include "tests/unit/net/net_fixture.h"

static struct net_state saved;

static void fresh(const struct cfg_nic *nic)
{
    struct err err = ERR_INIT;
    reset_device();
    net_free(fix.net);
    fd_close(&fix.host);
    fix.net = NULL;
    assert_int_equal(nic_create(nic, &err), 0);
    assert_int_equal(activate(MERGEABLE), 0);
}

static struct cfg_nic limited_nic(void)
{
    struct cfg_nic nic = plain_nic();
    nic.rx_rate_limiter.present = true;
    nic.rx_rate_limiter.bandwidth = (struct cfg_bucket){true, 1000, 0, 1000};
    nic.tx_rate_limiter.present = true;
    nic.tx_rate_limiter.ops = (struct cfg_bucket){true, 10, 5, 1000};
    return nic;
}

static struct net *net(void)
{
    return fix.net;
}

static void test_net_restore__limiters_after_spending__go_on_where_they_were(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    const struct cfg_nic nic = limited_nic();
    fresh(&nic);
    assert_true(rl_take(&net()->rx_rl, RL_BYTES, 400));
    assert_true(rl_take(&net()->tx_rl, RL_OPS, 7));
    fix.now_ns += 10 * NS_PER_MS;
    net_save(fix.net, &saved);
    assert_int_equal(saved.rx_rl.buckets[RL_BYTES].budget, 600);
    assert_int_equal(saved.tx_rl.buckets[RL_OPS].burst, 0);
    assert_int_equal(saved.tx_rl.buckets[RL_OPS].budget, 8);
    assert_int_equal(saved.tx_rl.buckets[RL_OPS].elapsed_ns, 10 * NS_PER_MS);

    fresh(&nic);
    fix.now_ns += 3600 * NS_PER_S; /* the time between is nobody's */
    assert_int_equal(net_restore(fix.net, &saved, &err), 0);
    struct net_state again;
    net_save(fix.net, &again);
    assert_memory_equal(&again, &saved, sizeof(saved));
    assert_true(rl_take(&net()->tx_rl, RL_OPS, 8));
    assert_false(rl_take(&net()->tx_rl, RL_OPS, 1));
}

static void test_net_restore__unlimited_state__limits_of_the_configuration_go(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    const struct cfg_nic nic = limited_nic();
    net_save(fix.net, &saved);
    fresh(&nic);
    assert_int_equal(net_restore(fix.net, &saved, &err), 0);
    assert_false(rl_limits(&net()->rx_rl));
    assert_false(rl_limits(&net()->tx_rl));
}

static void expect_refused(void)
{
    struct err err = ERR_INIT;
    assert_int_equal(net_restore(fix.net, &saved, &err), -EINVAL);
    assert_string_equal(err.msg, "the state of a rate limiter is not valid");
    net_save(fix.net, &saved);
}

static void test_net_restore__limiter_that_none_has__refused(void **state)
{
    (void)state;
    const struct cfg_nic nic = limited_nic();
    fresh(&nic);
    net_save(fix.net, &saved);
    saved.rx_rl.buckets[RL_BYTES].budget = 1001;
    expect_refused();
    saved.tx_rl.buckets[RL_OPS].burst = 6;
    expect_refused();
    saved.tx_rl.buckets[RL_OPS].size = 0;
    expect_refused();
    saved.tx_rl.buckets[RL_OPS].elapsed_ns = UINT64_MAX;
    expect_refused();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_net_restore__limiters_after_spending__go_on_where_they_were),
        TEST(test_net_restore__unlimited_state__limits_of_the_configuration_go),
        TEST(test_net_restore__limiter_that_none_has__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
