/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document: put, merged, shown; replaced only when all is good. Thread: vmm. Spec: mmds.md 8;
 * api.md 7, /mmds.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/mmds/mmds_int.h"

int mmds_create(const struct mmds_env *env, struct mmds **ret_mmds)
{
    struct mmds *mmds = calloc(1, sizeof(*mmds));

    if (!mmds)
        return -ENOMEM;
    mmds->env = *env;
    *ret_mmds = mmds;
    return 0;
}

void mmds_free(struct mmds *mmds)
{
    if (!mmds)
        return;
    json_drop(mmds->data);
    crypto_aead_free(mmds->key);
    free(mmds);
}

void mmds_configure(struct mmds *mmds, bool needs_token, bool imds_compat)
{
    mmds->needs_token = needs_token;
    mmds->imds_compat = imds_compat;
}

static int fail_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "no memory for the metadata");
}

/* Makes *value the document, if it is not too large; takes it in any case. */
static int replace(struct mmds *mmds, struct json *value, struct err *err)
{
    char *text;
    size_t len;

    if (json_render_sorted(value, &text, &len) < 0) {
        json_drop(value);
        return fail_memory(err);
    }
    free(text);
    if (len > mmds->env.data_size_max) {
        json_drop(value);
        return err_set(err, -EMSGSIZE, "The MMDS patch request doesn't fit.");
    }
    json_drop(mmds->data);
    mmds->data = value;
    return 0;
}

/* The caller has bounded the text. */
static int parse(const char *text, size_t len, struct json **ret_value, struct err *err)
{
    struct json_doc *doc;
    int rc = json_parse(text, len, len, &doc, err);

    if (rc < 0)
        return rc;
    *ret_value = json_take(doc);
    return 0;
}

int mmds_put(struct mmds *mmds, const char *text, size_t len, struct err *err)
{
    struct json *value;
    int rc = parse(text, len, &value, err);

    return rc < 0 ? rc : replace(mmds, value, err);
}

int mmds_patch(struct mmds *mmds, const char *text, size_t len, struct err *err)
{
    struct json *patch;
    struct json *merged;

    if (!mmds->data)
        return err_set(err, -ENODATA, "The MMDS data store is not initialized.");
    int rc = parse(text, len, &patch, err);
    if (rc < 0)
        return rc;
    rc = json_merge(mmds->data, patch, &merged);
    json_drop(patch);
    return rc < 0 ? fail_memory(err) : replace(mmds, merged, err);
}

int mmds_render(const struct mmds *mmds, char **ret_text, size_t *ret_len)
{
    if (mmds->data && json_value_kind(mmds->data) != JSON_KIND_NULL)
        return json_render_sorted(mmds->data, ret_text, ret_len);
    *ret_text = strdup("{}");
    *ret_len = 2;
    return *ret_text ? 0 : -ENOMEM;
}
