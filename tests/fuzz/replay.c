/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over every file of its seed corpus (argv[1], a directory): the corpus is a
 * regression test in every ordinary build. Single thread.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"

#define REPLAY_FILE_MAX_SIZE (4u * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *dir, const char *name)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
        return -1;
    char *data = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;
    if (fd_read_file(path, REPLAY_FILE_MAX_SIZE, &data, &len, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", path, err.msg);
        return -1;
    }
    (void)LLVMFuzzerTestOneInput((const uint8_t *)data, len);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    if (!dir) {
        (void)fprintf(stderr, "%s: cannot be opened: %m\n", argv[1]);
        return 1;
    }
    unsigned count = 0;
    int bad = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        bad |= replay_file(argv[1], entry->d_name) < 0;
        count++;
    }
    (void)closedir(dir);
    (void)printf("%u corpus files replayed\n", count);
    if (count == 0)
        (void)fprintf(stderr, "%s: empty corpus\n", argv[1]);
    return bad || count == 0;
}
