/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that came from outside: all but the standard ones go, except those that --keep-fd
 * names. Thread: main, before anything is opened.
 */
#pragma once

#include "base/attr.h"
#include "base/cmdline.h"
#include "base/err.h"

/*
 * Closes all descriptors from 3 on (close_range(2), Linux 5.9) but those of `keep`, each "N" or
 * "N=NAME" (--keep-fd), which become 3, 4, ... in their order: each has to be a TAP or a listening
 * stream socket of AF_UNIX. Returns 0, or -errno with a sentence.
 */
MUST_CHECK int jail_close_fds(const struct cmdline_list *keep, struct err *err);
