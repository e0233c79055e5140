/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts that the jailer reads: /proc/mounts, /etc/subuid, /etc/passwd, values of its options. The
 * first byte chooses. Single thread.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jailer/args.h"
#include "jailer/cgroup.h"
#include "jailer/idmap.h"
#include "tests/fuzz/fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_mounts(const char *text)
{
    char path[32];
    static const char *const controllers[] = {NULL, "cpu", "memory"};
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
        const char *controller = controllers[i];
        if (jail_cgroup_find_mount(text, controller, controller ? strlen(controller) : 0, path,
                                   sizeof(path)) == 1)
            FUZZ_CHECK(strlen(path) < sizeof(path));
    }
}

static void try_ids(const char *text)
{
    struct jail_idmap_range range;
    char name[16];
    if (jail_idmap_find(text, "ann", 1001, &range) == 1)
        FUZZ_CHECK(range.count > 0 && range.start <= UINT32_MAX - range.count);
    if (jail_idmap_name(text, 1001, name, sizeof(name)) == 1)
        FUZZ_CHECK(strlen(name) < sizeof(name));
}

static void try_values(const char *text)
{
    const struct cmdline_list list = {{text}, 1};
    struct jail_limits limits;
    struct jail_cgroups cgroups;
    uint32_t id = 0;
    struct err err = ERR_INIT;
    IGNORE_RESULT(jail_limits_parse(&list, &limits, &err));
    IGNORE_RESULT(jail_id_parse(text, "uid", &id, &err));
    FUZZ_CHECK(id != UINT32_MAX);
    if (jail_cgroups_parse(&list, "1", "parent", "id", &cgroups, &err) == 0)
        FUZZ_CHECK(!memchr(cgroups.values[0].file, '/', cgroups.values[0].file_len) &&
                   cgroups.values[0].controller_len > 0);
    if (jail_cgroup_check_parent(text, &err) == 0)
        FUZZ_CHECK(text[0] != '/' && strcmp(text, "..") != 0 && !strstr(text, "/../"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] % 3 == 0)
        try_mounts(text);
    else if (data[0] % 3 == 1)
        try_ids(text);
    else
        try_values(text);
    free(text);
    return 0;
}
