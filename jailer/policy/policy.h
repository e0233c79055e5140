/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network policy of one VM: loaded into the kernel, attached to its TAP, pinned, changed as a
 * whole, counted. The only user of libbpf. Needs root (CAP_BPF, CAP_NET_ADMIN); the monitor has
 * none of it, and gets a read-only view of the counters. Thread: main. Spec:
 * docs/network-policy.md.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "jailer/policy/hook.h"
#include "jailer/policy/wire.h"

/* Where policies are pinned: one directory each, 0700, root's. */
#define POL_PIN_PLACE "/sys/fs/bpf/mayfly"

/* One prefix with its rules, in one direction. */
struct pol_entry {
    struct pol_key key;
    struct pol_prefix prefix;
};

/* A whole policy. Entries: heap, the owner's (pol_policy_done). */
struct pol_policy {
    struct pol_config config;
    struct pol_entry *entries[POL_DIRECTIONS];
    uint32_t entries_count[POL_DIRECTIONS];
    struct pol_key sources[POL_SOURCES_MAX];
    uint32_t sources_count;
    struct pol_key link_local; /* the MAC's; of prefix_len 0: it is among the sources */
};

/* Frees the entries and empties the policy. */
void pol_policy_done(struct pol_policy *policy);

/*
 * Loads the program with this policy, pins it under `id`, and attaches it to the TAP `tap` of the
 * calling process's network namespace. What is pinned or attached there already is refused.
 * Returns 0, or -errno with the sentence: then nothing is left. ret_hook: by which the programs can
 * be taken off again.
 */
MUST_CHECK int pol_attach(const char *id, const char *tap, const struct pol_policy *policy,
                          struct pol_hook *ret_hook, struct err *err);

/* Puts another policy in force, as a whole: each frame is judged by the one or the other.
 * Returns 0, or -errno with the sentence: then the old one stays in force. */
MUST_CHECK int pol_update(const char *id, const struct pol_policy *policy, struct err *err);

/* What was counted so far, by enum pol_counter. Returns 0, or -errno with the sentence. */
MUST_CHECK int pol_read_counters(const char *id, uint64_t ret_counters[static POL_COUNTERS],
                                 struct err *err);

/* A descriptor by which nobody can change the counters (the map is frozen), to be mapped
 * PROT_READ and shared, POL_COUNTERS_SIZE bytes. Returns it (the caller closes) or -errno with
 * the sentence. */
MUST_CHECK int pol_open_counters(const char *id, struct err *err);

/* Takes the programs off the TAP, where that is still there, then unpins the policy. Returns 0, or
 * -errno with the sentence: then what is left can be removed by trying again. */
MUST_CHECK int pol_remove(const char *id, const char *tap, struct err *err);

/* Removes the pins alone, as far as that goes: behind a step that failed. */
void pol_unpin(const char *id);

/* The names of what is pinned below POL_PIN_PLACE/ID; NULL behind the last. */
const char *pol_pin_name(unsigned idx);

/* "dropped_source". Static. */
const char *pol_counter_name(enum pol_counter counter);
