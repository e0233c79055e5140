/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings and console lines of mayfly-init: no libc, fixed buffers, no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_LINE_MAX = 320 };

/* One line in the making; what does not fit is cut. */
struct text_line {
    char buf[TEXT_LINE_MAX];
    size_t len;
};

size_t text_len(const char *s);
bool text_equal(const char *a, const char *b);
/* True when `s` begins with `prefix`. */
bool text_starts(const char *s, const char *prefix);
/* The value of a hexadecimal digit, or -1. */
int text_hex(char c);
/* Copies `len` bytes and a NUL; false (and an empty string) when `size` is too small. */
bool text_copy(char *dst, size_t size, const char *src, size_t len);
/* dst = a + b; false (and an empty string) when it does not fit. */
bool text_join(char *dst, size_t size, const char *a, const char *b);

void text_add(struct text_line *line, const char *s);
void text_add_u64(struct text_line *line, uint64_t value);
/* Ends the line with a newline and writes it to standard output in one call. */
void text_send(struct text_line *line);

/* "mayfly-init: <what><path>: <errno name>. <advice>"; `err` is -errno or 0 (left out). */
void text_report(const char *what, const char *path, long err, const char *advice);
