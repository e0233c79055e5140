/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route table, and what is particular to single routes (api.md 2, 3.4, 7; deltas.md 2, 6).
 * Thread: api; constant data.
 */
#include <errno.h>
#include <string.h>

#include "api/request_int.h"

/* ------------------------------------------------------------------ decoders */

/* The id in a body, where the body has one, must be the path's. */
static int check_id(const struct api_parse *parse, const void *obj, struct err *err)
{
    const struct api_route *route = parse->route;
    const struct api_token *wanted = &parse->path->tokens[1];
    const char *id;

    if (route->second_rule != API_TOKEN_ID)
        return 0;
    memcpy(&id, (const char *)obj + route->id_off, sizeof(id));
    if (strlen(id) == wanted->len && memcmp(id, wanted->at, wanted->len) == 0)
        return 0;
    if (route->names_ids)
        return err_set(err, -EINVAL,
                       "The id from the path [%.*s] does not match the id from the body [%s]!",
                       (int)wanted->len, wanted->at, id);
    return err_set(err, -EINVAL, "The id from the path does not match the id from the body!");
}

/* The body is the action's struct. */
static int decode_object(const struct api_parse *parse, struct api_request *request,
                         struct err *err)
{
    int ret = api_body_decode(parse, &request->action.u, err);
    if (ret < 0)
        return ret;

    ret = check_id(parse, &request->action.u, err);
    if (ret < 0)
        ctl_action_done(&request->action);
    return ret;
}

/* The body's shape is all that is looked at. */
static int decode_excluded(const struct api_parse *parse, struct api_request *request,
                           struct err *err)
{
    struct cfg_excluded body;

    (void)request;
    int ret = api_body_decode(parse, &body, err);
    if (ret < 0)
        return ret;

    ret = check_id(parse, &body, err);
    cfg_object_done(parse->route->object, &body);
    return ret;
}

static int decode_action(const struct api_parse *parse, struct api_request *request,
                         struct err *err)
{
    static const enum ctl_action_kind kinds[] = {
        [CFG_ACTION_FLUSH_METRICS] = CTL_METRICS_FLUSH,
        [CFG_ACTION_INSTANCE_START] = CTL_INSTANCE_START,
        [CFG_ACTION_SEND_CTRL_ALT_DEL] = CTL_CTRL_ALT_DEL,
    };
    struct cfg_action body;

    int ret = api_body_decode(parse, &body, err);
    if (ret == 0)
        request->action.kind = kinds[body.action_type];
    return ret;
}

static int decode_vm_state(const struct api_parse *parse, struct api_request *request,
                           struct err *err)
{
    static const enum ctl_action_kind kinds[] = {
        [CFG_VM_PAUSED] = CTL_PAUSE,
        [CFG_VM_RESUMED] = CTL_RESUME,
    };
    struct cfg_vm_patch body;

    int ret = api_body_decode(parse, &body, err);
    if (ret == 0)
        request->action.kind = kinds[body.state];
    return ret;
}

/* Any JSON value; its text goes on. */
static int decode_mmds_value(const struct api_parse *parse, struct api_request *request,
                             struct err *err)
{
    int ret = api_body_check(parse, err);
    if (ret < 0)
        return ret;
    char *text = strndup(parse->http->body, parse->http->body_len); /* JSON has no NUL */
    if (!text)
        return err_set(err, -ENOMEM, "no memory for the metadata");
    request->action.u.metadata = (struct ctl_metadata){text, parse->http->body_len};
    return 0;
}

/* ------------------------------------------------------------------ last checks, deprecations */

static int finish_info(struct api_request *request, const char **ret_deprecated, struct err *err)
{
    (void)ret_deprecated;
    (void)err;
    request->answer = API_ANSWER_INFO;
    return 0;
}

static int finish_version(struct api_request *request, const char **ret_deprecated, struct err *err)
{
    (void)ret_deprecated;
    (void)err;
    request->answer = API_ANSWER_VERSION;
    return 0;
}

static int finish_machine_put(struct api_request *request, const char **ret_deprecated,
                              struct err *err)
{
    (void)err;
    if (request->action.u.machine.has_cpu_template)
        *ret_deprecated = "PUT /machine-config: cpu_template field is deprecated.";
    return 0;
}

static int finish_machine_patch(struct api_request *request, const char **ret_deprecated,
                                struct err *err)
{
    const struct cfg_machine_patch *patch = &request->action.u.machine_patch;

    if (cfg_machine_patch_is_empty(patch))
        return err_set(err, -EINVAL, "Empty PATCH request.");
    if (patch->machine.has_cpu_template)
        *ret_deprecated = "PATCH /machine-config: cpu_template field is deprecated.";
    return 0;
}

static int finish_vsock(struct api_request *request, const char **ret_deprecated, struct err *err)
{
    (void)err;
    if (request->action.u.vsock.vsock_id)
        *ret_deprecated = "PUT /vsock: vsock_id field is deprecated.";
    return 0;
}

static int finish_mmds(struct api_request *request, const char **ret_deprecated, struct err *err)
{
    (void)err;
    if (request->action.u.mmds.version == CFG_MMDS_V1)
        *ret_deprecated = "PUT /mmds/config: V1 is deprecated. Use V2 instead.";
    return 0;
}

static int finish_load(struct api_request *request, const char **ret_deprecated, struct err *err)
{
    struct cfg_snapshot_load *load = &request->action.u.snapshot_load;

    if (cfg_snapshot_load_is_deprecated(load))
        *ret_deprecated = "PUT /snapshot/load: mem_file_path and enable_diff_snapshots fields are "
                          "deprecated.";
    return cfg_snapshot_load_settle(load, err) < 0 ? api_fail_json(err) : 0;
}

/* ------------------------------------------------------------------ paths with a sentence */

#define TOKEN(path, i) (int)(path)->tokens[i].len, (path)->tokens[i].at ? (path)->tokens[i].at : ""

static int refuse_get(const struct api_path *path, struct err *err)
{
    return err_set(err, -EINVAL, "Unrecognized GET request path `%.*s`.", TOKEN(path, 1));
}

static int refuse_put(const struct api_path *path, struct err *err)
{
    return err_set(err, -EINVAL, "Unrecognized PUT request path `%.*s`.", TOKEN(path, 1));
}

static int refuse_get_hinting(const struct api_path *path, struct err *err)
{
    return err_set(err, -EINVAL, "Unrecognized GET request path `/hinting/%.*s`.", TOKEN(path, 2));
}

static int refuse_patch_hinting(const struct api_path *path, struct err *err)
{
    return err_set(err, -EINVAL, "Unrecognized PATCH request path `/hinting/%.*s`.",
                   TOKEN(path, 2));
}

static int refuse_snapshot(const struct api_path *path, struct err *err)
{
    if (!path->tokens[1].at)
        return err_set(err, -EINVAL, "Missing snapshot operation type.");
    return err_set(err, -EINVAL, "Invalid request method and/or path: PUT /snapshot/%.*s.",
                   TOKEN(path, 1));
}

/* ------------------------------------------------------------------ the table */

#define GET(first_token) HTTP_METHOD_GET, first_token, .body = API_BODY_NONE
#define PUT(first_token) HTTP_METHOD_PUT, first_token, .body = API_BODY_NEEDED
#define PATCH(first_token) HTTP_METHOD_PATCH, first_token, .body = API_BODY_NEEDED
#define DELETE(first_token) HTTP_METHOD_DELETE, first_token, .body = API_BODY_NONE

#define WORD(word) .second_rule = API_TOKEN_WORD, .second = (word)
#define NO_WORD .second_rule = API_TOKEN_ABSENT
#define ID(struct_type, member)                                                                    \
    .second_rule = API_TOKEN_ID, .id_off = offsetof(struct struct_type, member)
#define ANY_ID .second_rule = API_TOKEN_ID

#define GET_COUNTED(name) .counters = {&metrics.get_api_requests.name##_count, NULL}
#define PUT_COUNTED(name)                                                                          \
    .counters = {&metrics.put_api_requests.name##_count, &metrics.put_api_requests.name##_fails}
#define PATCH_COUNTED(name)                                                                        \
    .counters = {&metrics.patch_api_requests.name##_count, &metrics.patch_api_requests.name##_fails}

#define BODY(table) .decode = decode_object, .object = &cfg_object_##table
#define EXCLUDED(which) .kind = CTL_EXCLUDED, .excluded = CTL_EXCLUDED_##which
#define SHAPE(table) .decode = decode_excluded, .object = &cfg_object_##table

const struct api_route api_routes[] = {
    {GET(""), GET_COUNTED(instance_info), .finish = finish_info},
    {GET("version"), GET_COUNTED(vmm_version), .finish = finish_version},
    {GET("vm"), WORD("config"), .kind = CTL_VM_CONFIG_GET},
    {GET("machine-config"), GET_COUNTED(machine_cfg), .kind = CTL_MACHINE_CONFIG_GET},
    {GET("mmds"), GET_COUNTED(mmds), .kind = CTL_MMDS_GET},
    {GET("balloon"), NO_WORD, EXCLUDED(BALLOON_GET)},
    {GET("balloon"), WORD("statistics"), EXCLUDED(BALLOON_STATS_GET)},
    {GET("balloon"), WORD("hinting"), .third = "status", EXCLUDED(BALLOON_HINTING_GET)},
    {GET("balloon"), WORD("hinting"), .refuse = refuse_get_hinting},
    {GET("balloon"), .refuse = refuse_get},
    {GET("hotplug"), WORD("memory"), GET_COUNTED(hotplug_memory), EXCLUDED(HOTPLUG_GET)},

    {PUT("actions"), PUT_COUNTED(actions), .kind = CTL_INSTANCE_START, .decode = decode_action,
     .object = &cfg_object_action},
    {PUT("boot-source"), PUT_COUNTED(boot_source), .kind = CTL_BOOT_SOURCE_PUT, BODY(boot_source)},
    {PUT("cpu-config"), PUT_COUNTED(cpu_cfg), .kind = CTL_CPU_CONFIG_PUT, BODY(cpu_template)},
    {PUT("drives"), ID(cfg_drive, drive_id), PUT_COUNTED(drive), .kind = CTL_DRIVE_PUT,
     BODY(drive)},
    {PUT("logger"), PUT_COUNTED(logger), .kind = CTL_LOGGER_PUT, BODY(logger)},
    {PUT("machine-config"), PUT_COUNTED(machine_cfg), .kind = CTL_MACHINE_CONFIG_PUT, BODY(machine),
     .finish = finish_machine_put},
    {PUT("metrics"), PUT_COUNTED(metrics), .kind = CTL_METRICS_PUT, BODY(metrics)},
    {PUT("mmds"), NO_WORD, PUT_COUNTED(mmds), .kind = CTL_MMDS_PUT, .decode = decode_mmds_value},
    {PUT("mmds"), WORD("config"), PUT_COUNTED(mmds), .kind = CTL_MMDS_CONFIG_PUT, BODY(mmds),
     .finish = finish_mmds},
    {PUT("mmds"), PUT_COUNTED(mmds), .refuse = refuse_put},
    {PUT("network-interfaces"), ID(cfg_nic, iface_id), .names_ids = true, PUT_COUNTED(network),
     .kind = CTL_NIC_PUT, BODY(nic)},
    {PUT("serial"), PUT_COUNTED(serial), .kind = CTL_SERIAL_PUT, BODY(serial)},
    {PUT("snapshot"), WORD("create"), .kind = CTL_SNAPSHOT_CREATE, BODY(snapshot_create)},
    {PUT("snapshot"), WORD("load"), .kind = CTL_SNAPSHOT_LOAD, BODY(snapshot_load),
     .finish = finish_load},
    {PUT("snapshot"), .refuse = refuse_snapshot},
    {PUT("vsock"), PUT_COUNTED(vsock), .kind = CTL_VSOCK_PUT, BODY(vsock), .finish = finish_vsock},
    {PUT("balloon"), EXCLUDED(BALLOON_PUT), SHAPE(balloon)},
    {PUT("entropy"), EXCLUDED(ENTROPY_PUT), SHAPE(entropy)},
    {PUT("pmem"), ID(cfg_excluded, id), PUT_COUNTED(pmem), EXCLUDED(PMEM_PUT), SHAPE(pmem)},
    {PUT("hotplug"), WORD("memory"), PUT_COUNTED(hotplug_memory), EXCLUDED(HOTPLUG_PUT),
     SHAPE(hotplug)},

    {PATCH("drives"), ID(cfg_drive_patch, drive_id), PATCH_COUNTED(drive), .kind = CTL_DRIVE_PATCH,
     BODY(drive_patch)},
    {PATCH("machine-config"), PATCH_COUNTED(machine_cfg), .kind = CTL_MACHINE_CONFIG_PATCH,
     BODY(machine_patch), .finish = finish_machine_patch},
    {PATCH("mmds"), PATCH_COUNTED(mmds), .kind = CTL_MMDS_PATCH, .decode = decode_mmds_value},
    {PATCH("network-interfaces"), ID(cfg_nic_patch, iface_id), .names_ids = true,
     PATCH_COUNTED(network), .kind = CTL_NIC_PATCH, BODY(nic_patch)},
    {PATCH("vm"), .kind = CTL_PAUSE, .decode = decode_vm_state, .object = &cfg_object_vm_patch},
    {PATCH("balloon"), WORD("statistics"), EXCLUDED(BALLOON_STATS_PATCH), SHAPE(balloon_stats)},
    {HTTP_METHOD_PATCH, "balloon", WORD("hinting"), .third = "start", .body = API_BODY_EITHER,
     EXCLUDED(BALLOON_HINTING_PATCH), SHAPE(balloon_hinting)},
    {HTTP_METHOD_PATCH, "balloon", WORD("hinting"), .third = "stop", .body = API_BODY_EITHER,
     EXCLUDED(BALLOON_HINTING_PATCH)},
    {HTTP_METHOD_PATCH, "balloon", WORD("hinting"), .body = API_BODY_EITHER,
     .refuse = refuse_patch_hinting},
    {PATCH("balloon"), EXCLUDED(BALLOON_PATCH), SHAPE(balloon_patch)},
    {PATCH("pmem"), ID(cfg_excluded, id), PATCH_COUNTED(pmem), EXCLUDED(PMEM_PATCH),
     SHAPE(pmem_patch)},
    {PATCH("hotplug"), WORD("memory"), PATCH_COUNTED(hotplug_memory), EXCLUDED(HOTPLUG_PATCH),
     SHAPE(hotplug_patch)},

    {DELETE("drives"), ANY_ID, .kind = CTL_DEVICE_DELETE},
    {DELETE("network-interfaces"), ANY_ID, .kind = CTL_DEVICE_DELETE},
    {DELETE("pmem"), ANY_ID, .kind = CTL_DEVICE_DELETE},
};
const size_t api_routes_count = ARRAY_LEN(api_routes);
