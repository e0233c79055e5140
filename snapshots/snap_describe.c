/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state file for people: what it is, and why a load here would be refused (cli.md A,
 * --describe-snapshot). Single thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "snapshots/snap.h"
#include "snapshots/snap_config.h"
#include "snapshots/snap_host.h"
#include "snapshots/snap_read.h"

/* A text of the file as it may be shown: whoever made it may want the terminal to do something. */
#define SHOWN_MAX_SIZE 1024u
#define SHOWN(text) log_quote((text), strlen(text), (char[SHOWN_MAX_SIZE]){0}, SHOWN_MAX_SIZE)

int snap_version(const char *path, uint32_t ret_version[static 3], struct err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = snap_read_bytes(path, &bytes, &len, err);
    if (rc < 0)
        return rc;
    rc = snapf_version(bytes, len, ret_version, err);
    free(bytes);
    return rc;
}

static void print_devices(FILE *out, const struct cfg_vm *config)
{
    for (uint32_t i = 0; i < config->drives_count; i++)
        (void)fprintf(out, "drive %s: %s%s\n", SHOWN(config->drives[i].drive_id),
                      SHOWN(config->drives[i].path_on_host),
                      config->drives[i].is_read_only ? ", read-only" : "");
    for (uint32_t i = 0; i < config->nics_count; i++)
        (void)fprintf(out, "interface %s: %s\n", SHOWN(config->nics[i].iface_id),
                      SHOWN(config->nics[i].host_dev_name));
    if (config->has_vsock)
        (void)fprintf(out, "vsock: CID %u, %s\n", config->vsock.guest_cid,
                      SHOWN(config->vsock.uds_path));
}

static void print_refusals(FILE *out, const struct snapf_content *content,
                           const struct cfg_vm *config)
{
    struct err err = ERR_INIT;
    if (machine_state_check(&content->machine, config, &err) < 0)
        (void)fprintf(out, "a load would be refused: %s\n", err.msg);
    if (!snap_host_is_vendor(content->info.cpu))
        (void)fprintf(out, "a load here may fail: this host's CPU is of another vendor\n");
}

static const char *known(const char *text)
{
    return text ? text : "unknown";
}

/* Zero: it has none, or the format had none yet. */
static void print_id(FILE *out, const char *name, const uint8_t id[static SNAPF_ID_SIZE])
{
    static const uint8_t none[SNAPF_ID_SIZE];
    (void)fprintf(out, "%s: ", name);
    for (uint32_t i = 0; i < SNAPF_ID_SIZE; i++)
        (void)fprintf(out, "%02x", id[i]);
    (void)fputs(memcmp(id, none, sizeof(none)) == 0 ? " (none)\n" : "\n", out);
}

static void print_all(FILE *out, const struct snapf_content *content, const struct cfg_vm *config)
{
    (void)fprintf(out, "taken by: %s\nhost kernel: %s\nhost CPU: %s\n",
                  SHOWN(known(content->info.build)), SHOWN(known(content->info.kernel)),
                  SHOWN(known(content->info.cpu)));
    (void)fprintf(out, "vCPUs: %u\nmemory: %llu MiB\nirqchip: %s\nsampled pages: %u\n",
                  content->machine.vcpus_count, (unsigned long long)config->machine.mem_size_mib,
                  hv_irqchip_name(content->machine.vm.irqchip), content->samples_count);
    print_id(out, "id", content->id);
    print_id(out, "id of the one before", content->predecessor);
    print_devices(out, config);
    print_refusals(out, content, config);
}

static int describe(const struct snapf_content *content, char **ret_text, struct err *err)
{
    struct cfg_vm config;
    char *text = NULL;
    size_t len = 0;
    int rc = snap_config_decode(content->config, content->config_len, &config, err);
    if (rc < 0)
        return rc;
    FILE *out = open_memstream(&text, &len);
    if (out)
        print_all(out, content, &config);
    cfg_vm_done(&config);
    if (!out || fclose(out) != 0) {
        free(text);
        return err_set(err, -ENOMEM, "no memory for the description");
    }
    *ret_text = text;
    return 0;
}

int snap_describe(const char *path, char **ret_text, struct err *err)
{
    struct snapf_content *content = calloc(1, sizeof(*content));
    if (!content)
        return err_set(err, -ENOMEM, "no memory for a snapshot");
    int rc = snap_read(path, content, err);
    if (rc == 0)
        rc = describe(content, ret_text, err);
    snapf_content_done(content);
    free(content);
    return rc;
}
