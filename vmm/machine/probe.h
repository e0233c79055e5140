/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can this host's KVM run Linux? One tiny guest with the instructions that emulating KVMs lack
 * (lab.md 1). Not on the monitor's start path: only `mayfly --probe` and the scripts ask. Thread:
 * main.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"

/* Runs lock cmpxchg16b, SSE and xrstor in a guest, at most one second. Returns 1 when all ran, 0
 * when this KVM cannot (err holds the sentence), or -errno when KVM cannot be used at all. */
MUST_CHECK int machine_probe(const char *kvm_path, struct err *err);
