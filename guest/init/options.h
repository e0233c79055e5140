/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mayfly-init was asked to do: words of the kernel command line, then words of
 * /etc/mayfly/options in the image (same form, mayfly words only; the first word that sets a thing
 * wins).
 *
 *   mayfly.run=WORDS       a command: blanks part words; '...', "..." and \ quote; %XX is a byte,
 *                          decoded before quotes are looked at.
 *                          WORDS ends at the first blank outside double quotes, as the kernel's
 *                          own words do; so: mayfly.run="sh -c 'echo hi'", or without double
 *                          quotes mayfly.run=sh%20-c%20'echo%20hi'. A % sign is written %25, a
 *                          double quote %22. No shell is used unless WORDS names one.
 *   mayfly.end=HOW         reboot (default), poweroff, halt, panic or triple (triple fault)
 *   mayfly.boot_timer      write 123 to guest-physical 0xc0000000 before the ready line
 *   mayfly.init_exit       print the ready line, then end at once (boot measurements)
 *   root= rootfstype= rootflags= ro rw init=   as the kernel reads them (see root.c)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
    OPT_TEXT_MAX = 4096, /* kernel command line and options file together */
    OPT_VALUE_MAX = 256, /* root=, rootfstype=, rootflags=, init= */
    OPT_RUN_MAX = 2048,  /* mayfly.run= decoded: the command line is no longer */
    OPT_ARGV_MAX = 128,
};

enum opt_end { OPT_END_REBOOT, OPT_END_POWEROFF, OPT_END_HALT, OPT_END_PANIC, OPT_END_TRIPLE };

struct options {
    bool boot_timer;
    bool init_exit;
    bool root_rw;
    bool has_run;
    bool has_end;
    enum opt_end end;
    char root[OPT_VALUE_MAX]; /* empty: not given */
    char root_type[OPT_VALUE_MAX];
    char root_flags[OPT_VALUE_MAX];
    char init[OPT_VALUE_MAX];
    char run[OPT_RUN_MAX];            /* the words, each ended by NUL */
    char *run_argv[OPT_ARGV_MAX + 1]; /* into run[]; ended by NULL */
};

/*
 * Reads /proc/cmdline (mounted by the caller) and /etc/mayfly/options into *opt.
 * Returns 0, or -errno when /proc/cmdline cannot be read. A bad word is reported and skipped.
 */
int options_read(struct options *opt) __attribute__((warn_unused_result));

/*
 * Parses the words of `text` (changed in place) into *opt; a later word never replaces an earlier
 * one, but for ro and rw. Words that the kernel defines are skipped unless `from_kernel`.
 */
void options_parse(struct options *opt, char *text, bool from_kernel);

/* Splits mayfly.run's value into opt->run_argv. Returns 0, -EINVAL (open quote, %00) or -E2BIG. */
int options_split_run(struct options *opt, const char *value) __attribute__((warn_unused_result));
