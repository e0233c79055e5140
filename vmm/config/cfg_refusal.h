/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sentences about what this VMM does not have, for the API and the config file alike (deltas.md 2,
 * 3). Literals, so that tables can be made of them. Constant data; any thread.
 */
#pragma once

/* The category of them all. */
#define CFG_UNSUPPORTED "The requested operation is not supported: "

/* Devices that are not in the model. */
#define CFG_NOT_IN_MODEL " is not part of this VMM's device model"
#define CFG_NO_BALLOON "virtio-balloon" CFG_NOT_IN_MODEL "."
#define CFG_NO_POLICY                                                                              \
    "the network policy is not the monitor's, which could be made to change it: mayfly-jailer "    \
    "--policy FILE loads it, mayfly-jailer policy --id ID --file FILE replaces it"
#define CFG_NO_ENTROPY                                                                             \
    "virtio-rng" CFG_NOT_IN_MODEL "; guests should use RDRAND/RDSEED and VMGenID."
#define CFG_NO_PMEM "virtio-pmem" CFG_NOT_IN_MODEL "."
#define CFG_NO_MEMORY_HOTPLUG "memory hotplug (virtio-mem)" CFG_NOT_IN_MODEL "."
