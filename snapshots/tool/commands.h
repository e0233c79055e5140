/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program does, a function a command. Each prints to stdout what was asked for and returns
 * 0, or -errno with a sentence. Single thread.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/tool/args.h"

/* The state in words; with a memory file its sizes too, and -EINVAL when the two are no pair. */
MUST_CHECK int snaptool_info(const struct snaptool_args *args, struct err *err);

/* The diff onto its base, in place or into a new file, which is made as a whole or not at all. With
 * a state file nothing is changed when the result would not be its memory. */
MUST_CHECK int snaptool_merge(const struct snaptool_args *args, struct err *err);

/* What each file holds, and how many pages of that differ from the first file's. */
MUST_CHECK int snaptool_unique(const struct snaptool_args *args, struct err *err);

/* The format's version of a state file. */
MUST_CHECK int snaptool_version(const struct snaptool_args *args, struct err *err);

/* Every vCPU's registers, CPUID and MSRs of a state file. */
MUST_CHECK int snaptool_vcpu_states(const struct snaptool_args *args, struct err *err);

/* The VM's own part of a state file: irqchip, clock, memory, places of the devices. */
MUST_CHECK int snaptool_vm_state(const struct snaptool_args *args, struct err *err);
