/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names and versions the program gives (architecture.md, programs): "Firecracker v1.16.1"
 * when it is called by that name, its own otherwise. Pure.
 */
#pragma once

#include <stddef.h>

/* "Firecracker v1.16.1\n" or "Mayfly v0.1.0 (Firecracker API v1.16.1)\n". Returns its length. */
int app_version_line(const char *program, char *buf, size_t size);
