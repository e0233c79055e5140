/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loader of --metadata (cli.md A.2, B). Thread: main.
 */
#include "vmm/app/metadata.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/json/json_value.h"

static int compact(const char *text, size_t len, char **ret_text, size_t *ret_len, struct err *err)
{
    struct json_doc *doc;

    int ret = json_parse(text, len, APP_METADATA_FILE_MAX_SIZE, &doc, err);
    if (ret < 0)
        return err_prefix(err, "MMDS error: metadata provided not valid json: ");
    struct json *value = json_take(doc);
    ret = json_render_sorted(value, ret_text, ret_len);
    json_drop(value);
    return ret < 0 ? err_set(err, ret, "no memory for the metadata") : 0;
}

int app_metadata_load(const char *path, uint64_t max_size, char **ret_text, size_t *ret_len,
                      struct err *err)
{
    char *file;
    size_t file_len;
    char *text;
    size_t len;

    int ret = fd_read_file(path, APP_METADATA_FILE_MAX_SIZE, &file, &file_len, err);
    if (ret < 0)
        return err_prefix(err, "Unable to open or read from the mmds content file: ");
    ret = compact(file, file_len, &text, &len, err);
    free(file);
    if (ret < 0)
        return ret;
    if (len > max_size) {
        free(text);
        return err_set(err, -EMSGSIZE,
                       "The MMDS patch request doesn't fit. (%s has %zu bytes without white space, "
                       "of at most %llu: --mmds-size-limit)",
                       path, len, (unsigned long long)max_size);
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}
