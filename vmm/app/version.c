/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and versions. Pure.
 */
#include "vmm/app/version.h"

#include <stdio.h>
#include <string.h>

#include "base/version.h"

int app_version_line(const char *program, char *buf, size_t size)
{
    if (strcmp(program, "firecracker") == 0)
        return snprintf(buf, size, "Firecracker v" VERSION_API_LEVEL "\n");
    return snprintf(buf, size,
                    "Mayfly v" MAYFLY_VERSION " (Firecracker API v" VERSION_API_LEVEL ")\n");
}
