/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs at the clsact hooks of a TAP: put there, taken off. Knows nothing of policies.
 * Thread: main.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum pol_hook_way { POL_HOOK_INGRESS, POL_HOOK_EGRESS, POL_HOOK_WAYS };

/* What one run has attached. */
struct pol_hook {
    unsigned ifindex;                   /* 0: nothing */
    bool is_clsact_made;                /* it was not there before */
    uint32_t program_id[POL_HOOK_WAYS]; /* the kernel's */
};

/* Attaches the programs. What is there already stays, and refuses. Returns 0, or -errno: then
 * nothing is left. */
MUST_CHECK int pol_hook_attach(unsigned ifindex, const int program_fd[static POL_HOOK_WAYS],
                               struct pol_hook *ret_hook);

/* Takes off what that run has attached, as far as it is there, and nothing else. */
void pol_hook_take_back(struct pol_hook *hook);

/* Whose programs are at an interface's hooks: those that use this map? */
enum pol_hook_owner { POL_HOOK_FREE, POL_HOOK_OURS, POL_HOOK_OTHERS };

/* map_id: the kernel's. Returns an owner, OTHERS before OURS, or -errno. */
MUST_CHECK int pol_hook_owner(unsigned ifindex, uint32_t map_id);

/* Takes off what is at the hooks; nothing: as well. Returns 0 or -errno: then one of them may still
 * be there. */
MUST_CHECK int pol_hook_remove(unsigned ifindex);

/* Is a program of this map's loaded for each way still? Then it is attached, in whatever network
 * namespace: nothing else holds it. Returns 1, 0 or -errno. */
MUST_CHECK int pol_hook_is_in_use(uint32_t map_id);
