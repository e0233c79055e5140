/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 from outside, strictly: what Unicode 15, 3.9, table 3-7 calls well-formed and nothing else
 * (no overlong forms, no surrogates, nothing above U+10FFFF). Any thread; no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/*
 * Decodes the sequence that text begins with. text: borrowed, needs no NUL at its end, and a NUL in
 * it is a character; len: bytes, at least 1; nothing behind them is read.
 * Returns the sequence's length in bytes (1-4), with its code point in *ret_c; otherwise *ret_c is
 * not touched and the result is
 * - 0: text is well-formed so far but ends inside the sequence, which takes up all of it (1-3
 *   bytes);
 * - negative: so many bytes (1-3) belong to none; the next sequence may begin behind them. They are
 *   the "maximal subpart" that one U+FFFD stands for (Unicode 15, 3.9).
 */
MUST_CHECK int utf8_decode(const char *text, size_t len, uint32_t *ret_c);

/*
 * Is it all UTF-8? text: as above; len: bytes, may be 0. If it is not, *ret_off is the byte where
 * the trouble starts and *ret_bad how many bytes belong to none, or 0 when text ends inside a
 * sequence. Otherwise neither is touched.
 */
MUST_CHECK bool utf8_check(const char *text, size_t len, size_t *ret_off, size_t *ret_bad);

/*
 * Is c a letter or a digit of any script? c: a code point. True for what Unicode 14 calls
 * Alphabetic or Number, as Rust's char::is_alphanumeric() is; the underscore and the hyphen are
 * neither.
 */
bool utf8_is_alphanumeric(uint32_t c);
