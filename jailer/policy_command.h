/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mayfly-jailer policy`: changes, shows and removes the network policy of a VM that runs, from
 * outside its jail, as root. Thread: main. Spec: docs/network-policy.md.
 */
#pragma once

/* argv[0] is "policy". Returns the exit code; what is wrong is said on stderr. */
int jail_policy_command(int argc, char *const *argv);
