/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of ids.
 */
#include "jailer/idmap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define FILE_SIZE_MAX (4u << 20)

/* A decimal number up to the separator. Returns what follows that, or NULL: it is none. */
static const char *read_number(const char *at, char separator, uint32_t *ret_number)
{
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || digits > 10 || at[digits] != separator)
        return NULL;
    unsigned long long number = strtoull(at, NULL, 10);
    if (number > UINT32_MAX)
        return NULL;
    *ret_number = (uint32_t)number;
    return at + digits + 1;
}

static const char *next_line(const char *at)
{
    at += strcspn(at, "\n");
    return at + (*at == '\n');
}

static bool is_whose(const char *line, size_t len, const char *name, uint32_t uid)
{
    uint32_t number = 0;
    if (name && strlen(name) == len && memcmp(line, name, len) == 0)
        return true;
    return read_number(line, ':', &number) && number == uid;
}

int jail_idmap_find(const char *text, const char *name, uint32_t uid,
                    struct jail_idmap_range *ret_range)
{
    for (const char *line = text; *line; line = next_line(line)) {
        size_t len = strcspn(line, ":\n");
        struct jail_idmap_range range;
        if (line[len] != ':' || !is_whose(line, len, name, uid))
            continue;
        const char *at = read_number(line + len + 1, ':', &range.start);
        bool ends =
            at && (read_number(at, '\n', &range.count) || read_number(at, '\0', &range.count));
        if (!ends || range.count == 0 || range.start > UINT32_MAX - range.count)
            continue;
        *ret_range = range;
        return 1;
    }
    return 0;
}

int jail_idmap_name(const char *text, uint32_t uid, char *ret_name, size_t size)
{
    for (const char *line = text; *line; line = next_line(line)) {
        size_t name_len = strcspn(line, ":\n");
        const char *at = line + name_len;
        if (*at != ':')
            continue;
        at += 1 + strcspn(at + 1, ":\n"); /* the password's field */
        uint32_t number = 0;
        if (*at != ':' || !read_number(at + 1, ':', &number) || number != uid || name_len >= size)
            continue;
        memcpy(ret_name, line, name_len);
        ret_name[name_len] = '\0';
        return 1;
    }
    return 0;
}

int jail_idmap_read(const char *path, uint32_t uid, struct jail_idmap_range *ret_range,
                    struct err *err)
{
    char name[64];
    char *text = NULL;
    size_t len = 0;
    bool has_name = false;
    struct err ignored = ERR_INIT;
    if (fd_read_file("/etc/passwd", FILE_SIZE_MAX, &text, &len, &ignored) == 0)
        has_name = jail_idmap_name(text, uid, name, sizeof(name));
    free(text);
    text = NULL;
    int rc = fd_read_file(path, FILE_SIZE_MAX, &text, &len, err);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    rc = jail_idmap_find(text, has_name ? name : NULL, uid, ret_range);
    free(text);
    return rc;
}
