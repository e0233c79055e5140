/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names and versions the program gives (architecture.md, programs): "Firecracker v1.16.1"
 * when it is called by that name, its own otherwise. Pure.
 */
#pragma once

#include <stddef.h>

#define APP_API_LEVEL "1.16.1" /* the Firecracker release whose clients work unchanged */

/* Last path component of argv[0]; "mayfly" when there is none. Borrowed from the argument. */
const char *app_program_name(const char *argv0);

/* "Firecracker v1.16.1\n" or "Mayfly v0.1.0 (Firecracker API v1.16.1)\n". Returns its length. */
int app_version_line(const char *program, char *buf, size_t size);
