/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON → policy. What is not known is refused: a member that is misspelt must not open a network.
 */
#include "jailer/policy_file.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json/json.h"

#define IPV4_BITS_BEFORE 96 /* ::ffff: */

/* The text, or NULL: it is none, or has a NUL in it. */
static const char *text_of(struct json_val val)
{
    size_t len = 0;
    if (json_kind(val) != JSON_KIND_STRING)
        return NULL;
    const char *text = json_as_text(val, &len);
    return strlen(text) == len ? text : NULL;
}

/* ------------------------------------------------------------------ words */

static bool is_mac(const char *text)
{
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
            return false; /* also where it ends early */
    return text[17] == '\0';
}

static int read_mac(struct json_val val, uint8_t ret_mac[6], struct err *err)
{
    const char *text = text_of(val);
    uint8_t mac[6] = {1}; /* a group's: what is none is refused as well */
    for (int i = 0; text && is_mac(text) && i < 6; i++)
        mac[i] = (uint8_t)strtoul(text + (ptrdiff_t)i * 3, NULL, 16);
    static const uint8_t none[6];
    if ((mac[0] & 1) || memcmp(mac, none, sizeof(mac)) == 0)
        return json_err_unexpected(
            val, err,
            "mac has to be six pairs of hexadecimal digits, xx:xx:xx:xx:xx:xx, neither "
            "a group's nor all zeros");
    memcpy(ret_mac, mac, sizeof(mac));
    return 0;
}

static bool has_bits_behind(const struct pol_key *key)
{
    for (uint32_t bit = key->prefix_len - POL_FAMILY_BITS; bit < 128; bit++)
        if (key->address[bit / 8] & (0x80 >> bit % 8))
            return true;
    return false;
}

/* "10.0.0.0/8", "fd00::/8", or an address alone. */
static int read_prefix(struct json_val val, struct pol_key *ret_key, struct err *err)
{
    static const char expected[] = "an address of IPv4 or IPv6 is expected, or a prefix such as "
                                   "10.0.0.0/8 without bits behind it";
    const char *text = text_of(val);
    char address[INET6_ADDRSTRLEN];
    struct pol_key key = {0};
    size_t len = text ? strcspn(text, "/") : 0;
    if (!text || len == 0 || len >= sizeof(address))
        return json_err_unexpected(val, err, expected);
    memcpy(address, text, len);
    address[len] = '\0';
    bool is_v4 = inet_pton(AF_INET, address, key.address + 12) == 1;
    if (is_v4)
        key.address[10] = key.address[11] = 0xff;
    else if (inet_pton(AF_INET6, address, key.address) != 1)
        return json_err_unexpected(val, err, expected);
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    if (!is_v4 && memcmp(key.address, mapped, sizeof(mapped)) == 0)
        return json_err_unexpected(val, err, "an address of IPv4 is expected as a.b.c.d");
    unsigned long bits_max = is_v4 ? 32 : 128;
    unsigned long bits = bits_max;
    if (text[len] == '/') {
        const char *digits = text + len + 1;
        size_t count = strspn(digits, "0123456789");
        bits = count > 0 && count <= 3 && digits[count] == '\0' ? strtoul(digits, NULL, 10) : 999;
    }
    if (bits > bits_max)
        return json_err_unexpected(val, err, expected);
    key.family = is_v4 ? POL_IPV4 : POL_IPV6;
    key.prefix_len = POL_FAMILY_BITS + (uint32_t)bits + (is_v4 ? IPV4_BITS_BEFORE : 0);
    if (has_bits_behind(&key))
        return json_err_unexpected(val, err, expected);
    *ret_key = key;
    return 0;
}

static int read_verdict(struct json_val val, uint8_t *ret_verdict, struct err *err)
{
    const char *text = text_of(val);
    if (text && strcmp(text, "allow") == 0)
        *ret_verdict = POL_ALLOW;
    else if (text && strcmp(text, "deny") == 0)
        *ret_verdict = POL_DENY;
    else
        return json_err_unexpected(val, err, "\"allow\" or \"deny\" is expected");
    return 0;
}

static int read_protocol(struct json_val val, uint8_t *ret_protocol, struct err *err)
{
    static const struct {
        const char *name;
        uint8_t protocol;
    } known[] = {{"any", 0},
                 {"tcp", IPPROTO_TCP},
                 {"udp", IPPROTO_UDP},
                 {"icmp", IPPROTO_ICMP},
                 {"icmpv6", IPPROTO_ICMPV6},
                 {"sctp", IPPROTO_SCTP}};
    const char *text = text_of(val);
    for (size_t i = 0; text && i < ARRAY_LEN(known); i++) {
        if (strcmp(text, known[i].name) != 0)
            continue;
        *ret_protocol = known[i].protocol;
        return 0;
    }
    return json_err_unexpected(val, err, "protocol has to be any, tcp, udp, icmp, icmpv6 or sctp");
}

static bool read_port(const char **at, uint16_t *ret_port)
{
    size_t digits = strspn(*at, "0123456789");
    unsigned long port = digits > 0 && digits <= 5 ? strtoul(*at, NULL, 10) : 0;
    *at += digits;
    *ret_port = (uint16_t)port;
    return port >= 1 && port <= 65535;
}

/* "443" or "8000-8999". */
static int read_ports(struct json_val val, struct pol_rule *rule, struct err *err)
{
    const char *at = text_of(val);
    bool good = at && read_port(&at, &rule->port_min);
    rule->port_max = rule->port_min;
    if (good && *at == '-') {
        at++;
        good = read_port(&at, &rule->port_max);
    }
    if (good && *at == '\0' && rule->port_min <= rule->port_max)
        return 0;
    return json_err_unexpected(val, err, "ports has to be \"N\" or \"N-M\", from 1 to 65535");
}

/* ------------------------------------------------------------------ rules */

/* The entry of this prefix, made if there is none. NULL: there are too many. */
static struct pol_entry *entry_of(struct pol_policy *policy, int direction,
                                  const struct pol_key *key)
{
    struct pol_entry *entries = policy->entries[direction];
    for (uint32_t i = 0; i < policy->entries_count[direction]; i++)
        if (memcmp(&entries[i].key, key, sizeof(*key)) == 0)
            return &entries[i];
    if (policy->entries_count[direction] == POL_PREFIXES_MAX)
        return NULL;
    struct pol_entry *entry = &entries[policy->entries_count[direction]++];
    entry->key = *key;
    return entry;
}

static int read_rule(struct json_val of, struct pol_key *key, struct pol_rule *rule,
                     struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    bool has_peer = false;
    bool has_verdict = false;
    int rc = 0;
    if (json_kind(of) != JSON_KIND_OBJECT)
        return json_err_unexpected(of, err, "a rule has to be an object");
    json_iter_init(&iter, of);
    while (rc == 0 && json_iter_next(&iter, &item)) {
        if (strcmp(item.key, "peer") == 0) {
            has_peer = true;
            rc = read_prefix(item.val, key, err);
        } else if (strcmp(item.key, "verdict") == 0) {
            has_verdict = true;
            rc = read_verdict(item.val, &rule->verdict, err);
        } else if (strcmp(item.key, "protocol") == 0) {
            rc = read_protocol(item.val, &rule->protocol, err);
        } else if (strcmp(item.key, "ports") == 0) {
            rc = read_ports(item.val, rule, err);
        } else if (strcmp(item.key, "comment") != 0) {
            rc = json_err_unknown(&item, err, "peer, verdict, protocol, ports, comment");
        }
    }
    if (rc == 0 && (!has_peer || !has_verdict))
        return json_err_unexpected(of, err, "a rule needs peer and verdict");
    bool has_ports = rule->port_min != 0;
    if (rc == 0 && has_ports && rule->protocol != IPPROTO_TCP && rule->protocol != IPPROTO_UDP)
        return json_err_unexpected(of, err, "ports are of protocol tcp or udp");
    if (rc == 0 && rule->protocol == (key->family == POL_IPV4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
        return json_err_unexpected(of, err, "icmp is IPv4's, icmpv6 is IPv6's");
    return rc;
}

static int read_rules(struct json_val of, struct pol_policy *policy, int direction, struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    if (json_kind(of) != JSON_KIND_ARRAY || json_count(of) > POL_PREFIXES_MAX)
        return json_err_unexpected(of, err, "rules has to be an array of at most 4096 rules");
    policy->entries[direction] = calloc(json_count(of) + 1, sizeof(struct pol_entry));
    if (!policy->entries[direction])
        return err_set(err, -ENOMEM, "no memory for the policy's rules");
    json_iter_init(&iter, of);
    while (json_iter_next(&iter, &item)) {
        struct pol_key key;
        struct pol_rule rule = {.port_max = UINT16_MAX};
        int rc = read_rule(item.val, &key, &rule, err);
        if (rc < 0)
            return rc;
        struct pol_entry *entry = entry_of(policy, direction, &key);
        if (!entry || entry->prefix.rules_count == POL_PREFIX_RULES_MAX)
            return json_err_unexpected(item.val, err, "one prefix has at most 8 rules");
        entry->prefix.rules[entry->prefix.rules_count++] = rule;
    }
    return 0;
}

static int read_direction(struct json_val of, struct pol_policy *policy, int direction,
                          struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    bool has_default = false;
    int rc = 0;
    if (json_kind(of) != JSON_KIND_OBJECT)
        return json_err_unexpected(of, err, "egress and ingress have to be objects");
    json_iter_init(&iter, of);
    while (rc == 0 && json_iter_next(&iter, &item)) {
        if (strcmp(item.key, "default") == 0) {
            has_default = true;
            rc = read_verdict(item.val, &policy->config.default_verdict[direction], err);
        } else if (strcmp(item.key, "rules") == 0) {
            rc = read_rules(item.val, policy, direction, err);
        } else {
            rc = json_err_unknown(&item, err, "default, rules");
        }
    }
    if (rc == 0 && !has_default)
        return json_err_unexpected(of, err, "egress and ingress need default");
    return rc;
}

/* ------------------------------------------------------------------ the whole */

static int read_addresses(struct json_val of, struct pol_policy *policy, struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    if (json_kind(of) != JSON_KIND_ARRAY || json_count(of) == 0 || json_count(of) > POL_SOURCES_MAX)
        return json_err_unexpected(of, err,
                                   "addresses has to be an array of 1 to 64 addresses or prefixes");
    json_iter_init(&iter, of);
    while (json_iter_next(&iter, &item)) {
        int rc = read_prefix(item.val, &policy->sources[policy->sources_count++], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_flag(struct json_val val, uint8_t *ret_flag, struct err *err)
{
    if (json_kind(val) != JSON_KIND_BOOL)
        return json_err_unexpected(val, err, "true or false is expected");
    *ret_flag = json_as_bool(val);
    return 0;
}

static int read_limits(struct json_val of, struct pol_config *config, struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    if (json_kind(of) != JSON_KIND_OBJECT)
        return json_err_unexpected(of, err, "limits has to be an object");
    json_iter_init(&iter, of);
    while (json_iter_next(&iter, &item)) {
        const struct {
            const char *name;
            __u64 *value;
        } known[] = {{"packets_per_second", &config->packets_per_s},
                     {"bytes_per_second", &config->bytes_per_s},
                     {"connections_per_second", &config->connections_per_s}};
        __u64 *value = NULL;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            if (strcmp(item.key, known[i].name) == 0)
                value = known[i].value;
        if (!value)
            return json_err_unknown(&item, err,
                                    "packets_per_second, bytes_per_second, connections_per_second");
        if (json_kind(item.val) != JSON_KIND_INT || json_as_int(item.val) < 1 ||
            json_as_int(item.val) > 1000000000000)
            return json_err_unexpected(item.val, err, "a limit has to be 1 to 10^12 a second");
        *value = (__u64)json_as_int(item.val);
    }
    return 0;
}

static int read_member(const struct json_item *item, struct pol_policy *policy, struct err *err)
{
    if (strcmp(item->key, "mac") == 0)
        return read_mac(item->val, policy->config.mac, err);
    if (strcmp(item->key, "addresses") == 0)
        return read_addresses(item->val, policy, err);
    if (strcmp(item->key, "egress") == 0)
        return read_direction(item->val, policy, POL_OUT, err);
    if (strcmp(item->key, "ingress") == 0)
        return read_direction(item->val, policy, POL_IN, err);
    if (strcmp(item->key, "metadata") == 0)
        return read_flag(item->val, &policy->config.allow_metadata, err);
    if (strcmp(item->key, "dhcp") == 0)
        return read_flag(item->val, &policy->config.allow_dhcp, err);
    if (strcmp(item->key, "limits") == 0)
        return read_limits(item->val, &policy->config, err);
    return json_err_unknown(item, err, "mac, addresses, egress, ingress, metadata, dhcp, limits");
}

static int read_all(struct json_val root, struct pol_policy *policy, struct err *err)
{
    static const char *const needed[] = {"mac", "addresses", "egress", "ingress"};
    bool seen[ARRAY_LEN(needed)] = {false};
    struct json_iter iter;
    struct json_item item;
    int rc = 0;
    if (json_kind(root) != JSON_KIND_OBJECT)
        return json_err_unexpected(root, err, "a policy has to be an object");
    json_iter_init(&iter, root);
    while (rc == 0 && json_iter_next(&iter, &item)) {
        rc = read_member(&item, policy, err);
        for (size_t i = 0; i < ARRAY_LEN(needed); i++)
            seen[i] |= strcmp(item.key, needed[i]) == 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(needed) && rc == 0; i++)
        if (!seen[i])
            rc = err_set(err, -EINVAL, "the policy needs %s", needed[i]);
    return rc;
}

static bool is_within(const struct pol_key *address, const struct pol_key *prefix)
{
    if (prefix->family != address->family)
        return false;
    for (uint32_t bit = 0; bit < prefix->prefix_len - POL_FAMILY_BITS; bit++)
        if ((address->address[bit / 8] ^ prefix->address[bit / 8]) & (0x80 >> bit % 8))
            return false;
    return true;
}

/* The address that Linux gives an interface by its MAC (RFC 4291, appendix A), unless it is among
 * the sources: then it is the guest's for all purposes. */
static struct pol_key link_local_of(const struct pol_policy *policy)
{
    const uint8_t *mac = policy->config.mac;
    struct pol_key key = {.family = POL_IPV6, .prefix_len = POL_FAMILY_BITS + 128};
    const uint8_t address[16] = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2],
                                 0xff, 0xfe, mac[3],           mac[4], mac[5]};
    memcpy(key.address, address, sizeof(address));
    for (uint32_t i = 0; i < policy->sources_count; i++)
        if (is_within(&key, &policy->sources[i]))
            key.prefix_len = 0;
    return key;
}

int jail_policy_parse(const char *text, size_t len, struct pol_policy *ret_policy, struct err *err)
{
    struct json_doc *doc = NULL;
    struct pol_policy policy = {.sources_count = 0};
    int rc = json_parse(text, len, JAIL_POLICY_SIZE_MAX, &doc, err);
    if (rc == 0)
        rc = read_all(json_root(doc), &policy, err);
    if (rc == 0)
        policy.link_local = link_local_of(&policy);
    json_free(doc);
    if (rc < 0)
        pol_policy_done(&policy);
    else
        *ret_policy = policy;
    return rc;
}

int jail_policy_read(const char *path, struct pol_policy *ret_policy, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = fd_read_file(path, JAIL_POLICY_SIZE_MAX, &text, &len, err);
    if (rc < 0)
        return err_prefix(err, "Network policy: ");
    rc = jail_policy_parse(text, len, ret_policy, err);
    free(text);
    return rc < 0 ? err_prefix(err, "Network policy %s: ", path) : 0;
}
