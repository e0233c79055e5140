/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and versions. Pure.
 */
#include "vmm/app/version.h"

#include <stdio.h>
#include <string.h>

const char *app_program_name(const char *argv0)
{
    if (!argv0 || !*argv0)
        return "mayfly";
    const char *slash = strrchr(argv0, '/');
    return slash ? slash + 1 : argv0;
}

int app_version_line(const char *program, char *buf, size_t size)
{
    if (strcmp(program, "firecracker") == 0)
        return snprintf(buf, size, "Firecracker v" APP_API_LEVEL "\n");
    return snprintf(buf, size, "Mayfly v" MAYFLY_VERSION " (Firecracker API v" APP_API_LEVEL ")\n");
}
