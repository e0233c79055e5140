/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config-file text -> configuration, and the same text as the body of every object. No file is
 * touched: a template named by a path is the path's own text. What is accepted must render to a
 * document that is accepted again and renders the same (api.md 8). Single thread.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/decode.h"
#include "api/render.h"
#include "vmm/app/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise of the code under test: a crash is what the fuzzer reports. */
static void must(bool kept)
{
    if (!kept)
        abort();
}

static int template_is_path(void *ctx, const char *path, char **ret_text, size_t *ret_len,
                            struct err *err)
{
    (void)ctx;
    char *text = strdup(path);
    if (!text)
        return err_set(err, -1, "no memory");
    *ret_text = text;
    *ret_len = strlen(text);
    return 0;
}

static void unknown_keys(void *ctx, const char *keys)
{
    (void)ctx;
    must(keys[0] == '`');
}

/* Every refusal comes with a code and a sentence that can be shown as JSON. */
static void check_refusal(int ret, const struct err *err)
{
    must(ret < 0 && err->code == ret && err->msg[0] != '\0');
    struct json *text = json_new_text(err->msg);
    must(text != NULL);
    json_drop(text);
}

static void check_objects(const char *text, size_t len)
{
    for (size_t i = 0; cfg_objects[i]; i++) {
        const struct cfg_object *object = cfg_objects[i];
        struct err err = ERR_INIT;
        void *obj = malloc(object->size);
        must(obj != NULL);
        int ret = api_decode_text(object, text, len, APP_CONFIG_FILE_MAX_SIZE, obj, &err);
        if (ret < 0)
            check_refusal(ret, &err);
        else
            cfg_object_done(object, obj);
        free(obj);
    }
}

static void check_round_trip(const struct cfg_vm *vm)
{
    char *first = NULL;
    char *second = NULL;
    size_t first_len = 0;
    size_t second_len = 0;
    struct err err = ERR_INIT;
    struct cfg_vm *again = malloc(sizeof(*again));

    must(again != NULL);
    must(api_render_vm(vm, &first, &first_len) == 0);
    if (first_len <= APP_CONFIG_FILE_MAX_SIZE) {
        must(app_config_file_parse(first, first_len, NULL, again, &err) == 0);
        must(api_render_vm(again, &second, &second_len) == 0);
        must(first_len == second_len && memcmp(first, second, first_len) == 0);
        cfg_vm_done(again);
    }
    free(first);
    free(second);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct app_config_hooks hooks = {
        .template_read = template_is_path,
        .unknown_keys = unknown_keys,
    };
    const char *text = (const char *)data;
    struct err err = ERR_INIT;
    struct cfg_vm *vm = malloc(sizeof(*vm));

    must(vm != NULL);
    int ret = app_config_file_parse(text, size, &hooks, vm, &err);
    if (ret < 0) {
        check_refusal(ret, &err);
    } else {
        check_round_trip(vm);
        cfg_vm_done(vm);
    }
    free(vm);
    check_objects(text, size);
    return 0;
}
