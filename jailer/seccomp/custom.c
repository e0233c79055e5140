/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters from a file that mayfly-seccomp has compiled. The format (docs/seccomp.md), numbers in
 * little-endian:
 *   8 bytes "MAYFLYSC", u32 version 1, u32 number of filters, u64 size of all in bytes, u64 checksum
 *   of what follows (FNV-1a, 64 bits), then for each filter 8 bytes name (NUL-padded), u32 number of
 *   instructions, u32 zero, and the instructions, 8 bytes each as the kernel takes them.
 */
#include "jailer/seccomp/custom.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "jailer/seccomp/sec.h"

uint64_t sec_file_checksum(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

static int bad(const char *path, const char *what, struct err *err)
{
    return err_set(err, -EINVAL,
                   "%s: %s. Filters are compiled by: mayfly-seccomp --input-file POLICY "
                   "--output-file FILTERS",
                   path, what);
}

/* One filter at *at, which moves on. Returns NULL or what is wrong. */
static const char *read_filter(const char **at, const char *end, struct sec_set *set,
                               uint32_t *insns_count)
{
    struct sec_file_filter head;
    if ((size_t)(end - *at) < sizeof(head))
        return "a filter's head is cut off";
    memcpy(&head, *at, sizeof(head));
    *at += sizeof(head);
    uint32_t count = le32_get(head.count);
    if (count == 0 || count > SEC_INSNS_MAX)
        return "a filter must have 1 to 4096 instructions";
    if (le32_get(head.zero) != 0 || head.name[sizeof(head.name) - 1] != '\0')
        return "a filter's head is damaged";
    size_t size = count * sizeof(struct sock_filter);
    if ((size_t)(end - *at) < size)
        return "a filter's instructions are cut off";
    for (int which = 0; which < SEC_FILTERS_COUNT; which++) {
        if (strcmp(head.name, sec_filter_name((enum sec_filter)which)) != 0)
            continue;
        if (set->programs[which].count)
            return "it has two filters of one name";
        memcpy(set->storage + *insns_count, *at, size);
        set->programs[which] = (struct sec_program){set->storage + *insns_count, count};
        *insns_count += count;
        *at += size;
        return NULL;
    }
    return "it has a filter that is none of vmm, api, vcpu and start";
}

static const char *read_filters(const char *text, size_t len, struct sec_set *set)
{
    struct sec_file_head head;
    if (len < sizeof(head) || memcmp(text, SEC_FILE_MAGIC, sizeof(head.magic)) != 0)
        return "unrecognised filter file format";
    memcpy(&head, text, sizeof(head));
    if (le32_get(head.version) != SEC_FILE_VERSION)
        return "it is of a version that this build does not know";
    const char *at = text + sizeof(head);
    const char *end = text + len;
    if (le64_get(head.size) != len)
        return "it is not as long as it says";
    if (le64_get(head.checksum) != sec_file_checksum(at, (size_t)(end - at)))
        return "its checksum is wrong: it is damaged";
    uint32_t insns_count = 0;
    const char *wrong = NULL;
    for (uint32_t i = 0; !wrong && i < le32_get(head.filters_count); i++)
        wrong = i < SEC_FILTERS_COUNT ? read_filter(&at, end, set, &insns_count)
                                      : "it has more than four filters";
    if (wrong)
        return wrong;
    return at == end ? NULL : "something follows its filters";
}

static const char *missing(const struct sec_set *set)
{
    if (!set->programs[SEC_FILTER_VMM].count)
        return "the key vmm is missing";
    if (!set->programs[SEC_FILTER_API].count)
        return "the key api is missing";
    return set->programs[SEC_FILTER_VCPU].count ? NULL : "the key vcpu is missing";
}

int sec_set_load(const char *path, struct sec_set *ret_set, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = fd_read_file(path, SEC_FILE_SIZE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    struct sec_set set = {.storage = malloc(len + 1)};
    if (!set.storage) {
        free(text);
        return err_set(err, -ENOMEM, "no memory for the filters of %s", path);
    }
    const char *wrong = read_filters(text, len, &set);
    if (!wrong)
        wrong = missing(&set);
    free(text);
    if (wrong) {
        sec_set_done(&set);
        return bad(path, wrong, err);
    }
    *ret_set = set;
    return 0;
}
