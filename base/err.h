/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One error: a negative errno and a sentence for the person who reads it.
 * Cold paths only (config, api, snapshot, boot). The sentence is set once where the error is
 * born and prefixed on the way up. Any thread; the struct belongs to one thread at a time.
 */
#pragma once

#include "base/attr.h"

#define ERR_MSG_MAX_SIZE 1024u

struct err {
    int code;                   /* 0: no error set; else a negative errno */
    char msg[ERR_MSG_MAX_SIZE]; /* NUL-terminated; cut with "..." when too long */
};

/* Empty error, for `struct err err = ERR_INIT;`. */
#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = 0, .msg = { 0 }                                                                    \
    }

/*
 * Sets code and sentence, replacing what was there.
 * err: may be NULL (nothing is stored); code: negative errno.
 * Returns code, so that callers write `return err_set(err, -EINVAL, ...)`.
 */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * Puts a formatted context before the sentence that is already there.
 * Returns err->code (or -EIO when err is NULL), so that callers write `return err_prefix(...)`.
 */
int err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The text clients match: "No such file or directory (os error 2)", musl's table (api.md 3.1).
 * Takes a positive or negative errno; writes at most `size` bytes with NUL into `buf` and returns
 * buf. */
const char *err_os_text(int errnum, char *buf, size_t size);

/* Room for any text of err_os_text. */
#define ERR_OS_TEXT_MAX_SIZE 80u

/* Static name of an errno ("ENOENT"), positive or negative; "errno" when it has no name. */
const char *err_name(int errnum);

/* A text of err_os_text in a compound literal that lives as long as the enclosing block. */
#define ERR_OS(errnum) err_os_text((errnum), (char[ERR_OS_TEXT_MAX_SIZE]){0}, ERR_OS_TEXT_MAX_SIZE)
