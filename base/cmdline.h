/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines of the monitor and the jailer: one grammar, options as a table, help text, instance
 * ids. Pure; thread: main, at start. Spec: cli.md A.1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* Values of an option that may be given more than once. Borrowed from argv. */
#define CMDLINE_LIST_MAX 32u
struct cmdline_list {
    const char *values[CMDLINE_LIST_MAX];
    unsigned count;
};

/* What is at an option's place in the caller's struct of values. */
enum cmdline_kind {
    CMDLINE_FLAG,  /* bool */
    CMDLINE_VALUE, /* const char *; NULL: not given */
    CMDLINE_LIST,  /* struct cmdline_list */
};

struct cmdline_option {
    const char *name; /* without dashes */
    enum cmdline_kind kind;
    bool is_required;
    size_t off;           /* of its place in the struct of values */
    const char *fallback; /* of a value that is not given */
    const char *requires; /* option that must be there too */
    const char *or_else;  /* or this one; NULL: only that */
    const char *excludes; /* option that must not be there */
    const char *help;
};

/* All options of a program, in alphabetical order: requirements are checked in it. There is a flag
 * "help", and a flag "version". */
struct cmdline {
    const struct cmdline_option *options;
    size_t count;
};

/*
 * Parses argv[1..argc), up to a bare "--", into the zeroed struct `values`, and fills in fallbacks.
 * --help, -h and --version anywhere win over every fault; nothing else is set then. ret_rest: index
 * of the first word behind "--", or argc. Returns 0, or -EINVAL with the text of cli.md A.1.
 */
MUST_CHECK int cmdline_parse(const struct cmdline *cmdline, int argc, char *const *argv,
                             void *values, int *ret_rest, struct err *err);

/* Writes the help text behind the program line into buf (cut when too small). Returns its full
 * length. */
size_t cmdline_help(const struct cmdline *cmdline, char *buf, size_t size);

/* Is it a decimal number below 2^64? ret_value: it; NULL: the question is all. */
bool cmdline_parse_u64(const char *text, uint64_t *ret_value);

/* A descriptor's number as users name one: digits alone. Returns it, or -1. */
int cmdline_parse_fd(const char *text);

/* Last path component of argv[0]; `fallback` when there is none. Borrowed from the arguments. */
const char *cmdline_program_name(const char *argv0, const char *fallback);

/*
 * Checks an instance id (cli.md A.2): 1..64 bytes of UTF-8, of which each character is a letter or
 * digit of any script or '-'. What passes needs no escapes in JSON, and is a file's name. Returns 0
 * or -EINVAL with the reference's sentence, whose position counts characters; where it has none,
 * because its arguments cannot be but UTF-8, with one of the same shape.
 */
MUST_CHECK int cmdline_check_id(const char *id, struct err *err);
