/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy's text (docs/network-policy.md): what it becomes. Refusals with their sentences: also
 * tests/native/cases_policy.py. Single thread.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "jailer/policy_file.h"
#include "tests/unit/unit.h"

#define HEAD "{\"mac\": \"02:00:00:00:00:0a\", \"addresses\": [\"10.0.0.2\"], "
#define REST "\"ingress\": {\"default\": \"deny\"}}"
#define EGRESS(rules) HEAD "\"egress\": {\"default\": \"allow\", \"rules\": [" rules "]}, " REST

static struct pol_policy parsed(const char *text)
{
    struct pol_policy policy = {.sources_count = 0};
    struct err err = ERR_INIT;
    if (jail_policy_parse(text, strlen(text), &policy, &err) != 0)
        fail_msg("%s", err.msg);
    return policy;
}

static void expect_refused(const char *text, const char *why)
{
    struct pol_policy policy = {.sources_count = 0};
    struct err err = ERR_INIT;
    assert_int_equal(jail_policy_parse(text, strlen(text), &policy, &err), -EINVAL);
    if (!strstr(err.msg, why))
        fail_msg("'%s' says nothing of '%s'", err.msg, why);
    assert_null(policy.entries[POL_OUT]);
}

static void test_jail_policy_parse__least_one__defaults_and_addresses(void **state)
{
    (void)state;
    struct pol_policy policy = parsed(EGRESS(""));
    assert_int_equal(policy.config.mac[5], 10);
    assert_int_equal(policy.config.default_verdict[POL_OUT], POL_ALLOW);
    assert_int_equal(policy.config.default_verdict[POL_IN], POL_DENY);
    assert_int_equal(policy.sources_count, 1);
    assert_int_equal(policy.sources[0].prefix_len, 136);
    assert_int_equal(policy.sources[0].address[11], 0xff);
    assert_int_equal(policy.sources[0].address[15], 2);
    assert_int_equal(policy.config.allow_metadata, 0);
    assert_int_equal(policy.config.packets_per_s, 0);
    pol_policy_done(&policy);
}

static void test_jail_policy_parse__mac__has_its_link_local_address(void **state)
{
    (void)state;
    struct pol_policy policy = parsed(EGRESS(""));
    static const uint8_t expected[16] = {0xfe, 0x80, 0x0, 0x0,  0x0,  0x0, 0x0, 0x0,
                                         0x0,  0x0,  0x0, 0xff, 0xfe, 0x0, 0x0, 0xa};
    assert_int_equal(policy.link_local.family, POL_IPV6);
    assert_int_equal(policy.link_local.prefix_len, POL_FAMILY_BITS + 128);
    assert_memory_equal(policy.link_local.address, expected, sizeof(expected));
    pol_policy_done(&policy);
}

static void test_jail_policy_parse__rules_of_one_prefix__are_one_entry_in_order(void **state)
{
    (void)state;
    struct pol_policy policy =
        parsed(EGRESS("{\"peer\": \"10.0.0.0/8\", \"verdict\": \"deny\", \"protocol\": \"tcp\", "
                      "\"ports\": \"20-30\"}, {\"peer\": \"fd00::/16\", \"verdict\": \"allow\"}, "
                      "{\"peer\": \"10.0.0.0/8\", \"verdict\": \"allow\"}"));
    assert_int_equal(policy.entries_count[POL_OUT], 2);
    const struct pol_entry *entry = &policy.entries[POL_OUT][0];
    assert_int_equal(entry->key.prefix_len, 112);
    assert_int_equal(entry->prefix.rules_count, 2);
    assert_int_equal(entry->prefix.rules[0].protocol, IPPROTO_TCP);
    assert_int_equal(entry->prefix.rules[0].port_min, 20);
    assert_int_equal(entry->prefix.rules[0].port_max, 30);
    assert_int_equal(entry->prefix.rules[1].verdict, POL_ALLOW);
    assert_int_equal(entry->prefix.rules[1].port_max, 65535);
    assert_int_equal(policy.entries[POL_OUT][1].key.prefix_len, 24);
    pol_policy_done(&policy);
}

static void test_jail_policy_parse__prefix_of_everything__has_no_bits(void **state)
{
    (void)state;
    struct pol_policy policy = parsed(EGRESS("{\"peer\": \"0.0.0.0/0\", \"verdict\": \"deny\"}, "
                                             "{\"peer\": \"::/0\", \"verdict\": \"deny\"}"));
    assert_int_equal(policy.entries[POL_OUT][0].key.prefix_len, 104);
    assert_int_equal(policy.entries[POL_OUT][1].key.prefix_len, 8);
    pol_policy_done(&policy);
}

static void test_jail_policy_parse__bad_rules__are_refused_by_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        const char *why;
    } rows[] = {
        {"{\"peer\": \"10.0.0.1/8\", \"verdict\": \"deny\"}", "without bits behind it"},
        {"{\"peer\": \"10.0.0.0/\", \"verdict\": \"deny\"}", "an address of IPv4 or IPv6"},
        {"{\"peer\": \"10.0.0.0/033333\", \"verdict\": \"deny\"}", "an address of IPv4 or IPv6"},
        {"{\"peer\": \"10.0.0.0/-1\", \"verdict\": \"deny\"}", "an address of IPv4 or IPv6"},
        {"{\"peer\": \"\", \"verdict\": \"deny\"}", "an address of IPv4 or IPv6"},
        {"{\"peer\": 1, \"verdict\": \"deny\"}", "an address of IPv4 or IPv6"},
        {"{\"peer\": \"::1\", \"verdict\": \"maybe\"}", "\"allow\" or \"deny\" is expected"},
        {"{\"peer\": \"::1\", \"verdict\": \"deny\", \"protocol\": \"tpc\"}", "protocol has to be"},
        {"{\"peer\": \"::1\", \"verdict\": \"deny\", \"protocol\": \"tcp\", \"ports\": \"0\"}",
         "ports has to be"},
        {"{\"peer\": \"::1\", \"verdict\": \"deny\", \"protocol\": \"tcp\", \"ports\": "
         "\"1-65536\"}",
         "ports has to be"},
        {"{\"peer\": \"::1\", \"verdict\": \"deny\", \"protocol\": \"tcp\", \"ports\": \"1-\"}",
         "ports has to be"},
        {"{\"peer\": \"::1\", \"verdict\": \"deny\", \"ports\": \"1\"}", "ports are of protocol"},
        {"{\"peer\": \"::1\", \"verdict\": \"deny\", \"port\": 1}", "unknown member `port`"},
        {"7", "a rule has to be an object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text),
                       HEAD "\"egress\": {\"default\": \"allow\", \"rules\": [%s]}, " REST,
                       rows[i].rule);
        expect_refused(text, rows[i].why);
        expect_refused(text, " at line 1 column ");
    }
}

static void test_jail_policy_parse__bad_wholes__are_refused(void **state)
{
    (void)state;
    expect_refused("[]", "a policy has to be an object");
    expect_refused("{}", "the policy needs mac");
    expect_refused(HEAD REST, "the policy needs egress");
    expect_refused("{\"mac\": \"03:00:00:00:00:01\"}", "neither a group's nor all zeros");
    expect_refused("{\"mac\": \"02:00:00:00:00:1\"}", "six pairs");
    expect_refused("{\"mac\": \"02:00:00:00:00:0x\"}", "six pairs");
    expect_refused("{\"addresses\": [\"10.0.0\"]}", "an address of IPv4 or IPv6");
    expect_refused("{\"metadata\": 1}", "true or false is expected");
    expect_refused("{\"limits\": {\"bytes_per_second\": 0}}", "1 to 10^12");
    expect_refused("{\"limits\": {\"bytes\": 1}}", "unknown member `bytes`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jail_policy_parse__least_one__defaults_and_addresses),
        cmocka_unit_test(test_jail_policy_parse__mac__has_its_link_local_address),
        cmocka_unit_test(test_jail_policy_parse__rules_of_one_prefix__are_one_entry_in_order),
        cmocka_unit_test(test_jail_policy_parse__prefix_of_everything__has_no_bits),
        cmocka_unit_test(test_jail_policy_parse__bad_rules__are_refused_by_line_and_column),
        cmocka_unit_test(test_jail_policy_parse__bad_wholes__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
