/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One shape for what the system refuses: what was tried, on which path, why, and what to do. Single
 * thread.
 */
#pragma once

#include "base/err.h"

/* A path in a sentence: cut, so that what is said of it is not. */
#define SNAPTOOL_PATH "%.300s"

/* "Cannot VERB PATH: ENOENT: No such file or directory (os error 2). Check the path". code:
 * negative errno, which is returned. */
int snaptool_fail(struct err *err, int code, const char *verb, const char *path);
