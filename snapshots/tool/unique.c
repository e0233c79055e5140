/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unique: what a clone or a link of a chain costs beside the memory it came from. Both files are
 * streamed. Single thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "base/fd.h"
#include "snapshots/tool/commands.h"
#include "snapshots/tool/file.h"

#define BUFFER_SIZE (1u << 20)

/* One file against the first. */
struct comparing {
    const struct snaptool_file *memory;
    uint64_t data_pages_count;
    uint64_t different_pages_count;
    uint8_t *memory_buf; /* BUFFER_SIZE each */
    uint8_t *other_buf;
};

/* What is behind the memory's end is zero, as a hole is. */
static int read_memory(const struct comparing *comparing, uint64_t off, size_t len, struct err *err)
{
    uint64_t there = off < comparing->memory->size ? comparing->memory->size - off : 0;
    if (there > len)
        there = len;
    memset(comparing->memory_buf + there, 0, len - (size_t)there);
    return snaptool_file_read(comparing->memory, off, comparing->memory_buf, (size_t)there, err);
}

/* Whole pages from `off` to `end`. */
static int compare_pages(struct comparing *comparing, const struct snaptool_file *other,
                         uint64_t off, uint64_t end, struct err *err)
{
    while (off < end) {
        size_t len = end - off < BUFFER_SIZE ? (size_t)(end - off) : BUFFER_SIZE;
        int rc = snaptool_file_read(other, off, comparing->other_buf, len, err);
        if (rc == 0)
            rc = read_memory(comparing, off, len, err);
        if (rc < 0)
            return rc;
        for (size_t at = 0; at < len; at += SNAPTOOL_PAGE_SIZE)
            comparing->different_pages_count +=
                memcmp(comparing->other_buf + at, comparing->memory_buf + at, SNAPTOOL_PAGE_SIZE) !=
                0;
        off += len;
    }
    return 0;
}

/* Counts every page of which a part is no hole, once. */
static int count(struct comparing *comparing, const struct snaptool_file *other, struct err *err)
{
    uint64_t done = 0; /* pages before it are counted */
    struct snaptool_extent extent;
    int rc;
    while ((rc = snaptool_file_next(other, done, &extent, err)) == 1) {
        uint64_t start = ck_align_down(extent.off, SNAPTOOL_PAGE_SIZE);
        uint64_t end = ck_align_down(extent.off + extent.len + SNAPTOOL_PAGE_SIZE - 1,
                                     SNAPTOOL_PAGE_SIZE); /* at most the size, which is so */
        comparing->data_pages_count += (end - start) / SNAPTOOL_PAGE_SIZE;
        if (other != comparing->memory)
            rc = compare_pages(comparing, other, start, end, err);
        if (rc < 0)
            return rc;
        done = end;
    }
    return rc;
}

static int print_memory(struct comparing *comparing, struct err *err)
{
    int rc = count(comparing, comparing->memory, err);
    if (rc == 0)
        (void)printf("%s: %llu data pages (%llu bytes)\n", comparing->memory->path,
                     (unsigned long long)comparing->data_pages_count,
                     (unsigned long long)comparing->data_pages_count * SNAPTOOL_PAGE_SIZE);
    return rc;
}

static int print_other(struct comparing *comparing, const char *path, struct err *err)
{
    struct snaptool_file other;
    int rc = snaptool_file_open(&other, path, false, err);
    if (rc < 0)
        return rc;
    comparing->data_pages_count = 0;
    comparing->different_pages_count = 0;
    rc = count(comparing, &other, err);
    if (rc == 0)
        (void)printf("%s: %llu data pages (%llu bytes), %llu different (%llu bytes)\n", path,
                     (unsigned long long)comparing->data_pages_count,
                     (unsigned long long)comparing->data_pages_count * SNAPTOOL_PAGE_SIZE,
                     (unsigned long long)comparing->different_pages_count,
                     (unsigned long long)comparing->different_pages_count * SNAPTOOL_PAGE_SIZE);
    snaptool_file_close(&other);
    return rc;
}

static int print_all(struct comparing *comparing, const struct snaptool_args *args, struct err *err)
{
    if (!comparing->memory_buf || !comparing->other_buf)
        return err_set(err, -ENOMEM, "No memory for comparing: ENOMEM. Free %u bytes",
                       2 * BUFFER_SIZE);
    int rc = print_memory(comparing, err);
    for (uint32_t i = 0; rc == 0 && i < args->others_count; i++)
        rc = print_other(comparing, args->others[i], err);
    return rc;
}

int snaptool_unique(const struct snaptool_args *args, struct err *err)
{
    struct snaptool_file memory;
    int rc = snaptool_file_open(&memory, args->memory, false, err);
    if (rc < 0)
        return rc;
    struct comparing comparing = {
        .memory = &memory,
        .memory_buf = malloc(BUFFER_SIZE),
        .other_buf = malloc(BUFFER_SIZE),
    };
    rc = print_all(&comparing, args, err);
    free(comparing.memory_buf);
    free(comparing.other_buf);
    snaptool_file_close(&memory);
    return rc;
}
