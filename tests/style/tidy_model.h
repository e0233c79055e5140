/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clang's analyzer cannot see across files: a function that sets an error returns the code it
 * was given, and that code is negative. tests/style/tidy includes this before each source; nothing
 * is built with it.
 */
#pragma once

#include "base/err.h"

static inline int tidy_model_code(int code, int returned)
{
    (void)returned;
    if (code >= 0)
        __builtin_unreachable();
    return code;
}

#define err_set(err, code, ...) tidy_model_code((code), err_set((err), (code), __VA_ARGS__))
#define err_prefix(err, ...) tidy_model_code(-5, err_prefix((err), __VA_ARGS__))

#if __has_include("base/json/json.h")
#include "base/json/json.h"
#define json_err_at(doc, off, err, code, ...)                                                      \
    tidy_model_code((code), json_err_at((doc), (off), (err), (code), __VA_ARGS__))
#endif
