/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This host in words. CPUID is asked directly: a jail has no /proc. Single thread.
 */
#include "snapshots/snap_host.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define VENDOR_LEN 12u
#define BRAND_LEN 48u

static void read_vendor(char ret_vendor[static VENDOR_LEN + 1])
{
    unsigned eax;
    unsigned words[3] = {0};
    (void)__get_cpuid(0, &eax, &words[0], &words[2], &words[1]); /* every x86-64 has it */
    memcpy(ret_vendor, words, VENDOR_LEN);
    ret_vendor[VENDOR_LEN] = '\0';
}

static void read_brand(char ret_brand[static BRAND_LEN + 1])
{
    unsigned words[12] = {0};
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            break;
    memcpy(ret_brand, words, BRAND_LEN);
    ret_brand[BRAND_LEN] = '\0';
}

static char *describe_cpu(void)
{
    char vendor[VENDOR_LEN + 1];
    char brand[BRAND_LEN + 1];
    char *text = NULL;
    unsigned eax = 0;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    read_vendor(vendor);
    read_brand(brand);
    (void)__get_cpuid(1, &eax, &ebx, &ecx, &edx);
    unsigned family = (eax >> 8 & 0xf) + (eax >> 20 & 0xff);
    unsigned model = (eax >> 4 & 0xf) | (eax >> 12 & 0xf0);
    int len = asprintf(&text, "%s family %u model %u stepping %u, %s", vendor, family, model,
                       eax & 0xf, brand);
    return len < 0 ? NULL : text;
}

int snap_host_describe(struct snapf_info *ret_info, struct err *err)
{
    struct utsname name;
    (void)uname(&name); /* cannot fail */
    ret_info->build = strdup("mayfly " MAYFLY_VERSION);
    ret_info->kernel = strdup(name.release);
    ret_info->cpu = describe_cpu();
    if (!ret_info->build || !ret_info->kernel || !ret_info->cpu)
        return err_set(err, -ENOMEM, "no memory for the host's description");
    return 0;
}

bool snap_host_is_vendor(const char *cpu)
{
    char vendor[VENDOR_LEN + 1];
    read_vendor(vendor);
    return !cpu || strncmp(cpu, vendor, strlen(vendor)) == 0;
}
