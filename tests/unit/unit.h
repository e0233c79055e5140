/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every cmocka program needs, in the order cmocka wants it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* IWYU pragma: export */
