/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests do to a configuration beyond replacing an object: the rules of machine-config, and
 * what a snapshot's load request comes to (api.md 7). Thread: the one that builds the config; the
 * parts that look at a request alone: any.
 */
#include <errno.h>
#include <string.h>

#include "vmm/config/cfg.h"

/* Checks the new machine and puts it in place of the old. */
static int machine_set(const struct cfg_machine *next, struct cfg_machine *inout, struct err *err)
{
    int ret = cfg_machine_validate(next, err);

    if (ret == 0)
        *inout = *next;
    return ret;
}

/* The template of a request that has one; "None" is none. */
static void template_set(struct cfg_machine *machine, enum cfg_template wanted)
{
    machine->cpu_template = wanted;
    machine->has_cpu_template = wanted != CFG_TEMPLATE_NONE;
}

int cfg_machine_put(const struct cfg_machine *put, struct cfg_machine *inout, struct err *err)
{
    struct cfg_machine next = *put;
    const struct cfg_machine *named = put->has_cpu_template ? put : inout;

    template_set(&next, named->has_cpu_template ? named->cpu_template : CFG_TEMPLATE_NONE);
    return machine_set(&next, inout, err);
}

bool cfg_machine_patch_is_empty(const struct cfg_machine_patch *patch)
{
    return !(patch->has_vcpu_count || patch->has_mem_size_mib || patch->has_smt ||
             patch->machine.has_cpu_template || patch->has_track_dirty_pages ||
             patch->has_huge_pages);
}

int cfg_machine_patch_apply(const struct cfg_machine_patch *patch, struct cfg_machine *inout,
                            struct err *err)
{
    const struct cfg_machine *from = &patch->machine;
    struct cfg_machine next = *inout;

    if (cfg_machine_patch_is_empty(patch))
        return err_set(err, -EINVAL, "Empty PATCH request.");
    if (patch->has_vcpu_count)
        next.vcpu_count = from->vcpu_count;
    if (patch->has_mem_size_mib)
        next.mem_size_mib = from->mem_size_mib;
    if (patch->has_smt)
        next.smt = from->smt;
    if (patch->has_track_dirty_pages)
        next.track_dirty_pages = from->track_dirty_pages;
    if (patch->has_huge_pages)
        next.huge_pages = from->huge_pages;
    if (from->has_cpu_template)
        template_set(&next, from->cpu_template);
    return machine_set(&next, inout, err);
}

bool cfg_snapshot_load_is_deprecated(const struct cfg_snapshot_load *load)
{
    return load->mem_file_path || load->enable_diff_snapshots;
}

/* An empty path would be somebody's unset variable; of the socket's, an abstract name. */
static int check_filled(const char *text, const char *field, const char *what, struct err *err)
{
    if (text[0] != '\0')
        return 0;
    return err_set(err, -EINVAL, "%s is empty: name %s", field, what);
}

/* Two elements for one drive would be two files. */
static int check_drive_override(const struct cfg_snapshot_load *load, uint32_t idx, struct err *err)
{
    const struct cfg_drive_override *override = &load->drive_overrides[idx];
    for (uint32_t i = 0; i < idx; i++)
        if (strcmp(load->drive_overrides[i].drive_id, override->drive_id) == 0)
            return err_set(err, -EINVAL,
                           "`drive_overrides` names the drive `%s` twice: a drive has one file, "
                           "leave one of them out",
                           override->drive_id);
    if (override->path_on_host && override->path_on_host[0] == '\0')
        return err_set(err, -EINVAL,
                       "`path_on_host` of `%s` in `drive_overrides` is empty: name the file that "
                       "the drive gets here, or leave it out to keep the snapshot's",
                       override->drive_id);
    return check_filled(override->drive_id, "`drive_id` of an element of `drive_overrides`",
                        "a drive of the snapshot", err);
}

static int check_overrides(const struct cfg_snapshot_load *load, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < load->drive_overrides_count; i++)
        rc = check_drive_override(load, i, err);
    for (uint32_t i = 0; rc == 0 && i < load->network_overrides_count; i++) {
        const struct cfg_nic_override *override = &load->network_overrides[i];
        rc = check_filled(override->iface_id, "`iface_id` of an element of `network_overrides`",
                          "an interface of the snapshot", err);
        if (rc == 0 && override->host_dev_name[0] == '\0')
            rc = err_set(err, -EINVAL,
                         "`host_dev_name` of `%s` in `network_overrides` is empty: name the TAP "
                         "device that the interface gets here",
                         override->iface_id);
    }
    if (rc == 0 && load->vsock_override.present)
        rc = check_filled(load->vsock_override.uds_path, "`uds_path` of `vsock_override`",
                          "the path of a socket that is to be made", err);
    return rc;
}

/* After mem_backend is what it comes to. */
static int check_paths(const struct cfg_snapshot_load *load, const char *memory_field,
                       struct err *err)
{
    bool is_file = load->mem_backend.backend_type == CFG_MEM_BACKEND_FILE;
    int rc = check_filled(load->snapshot_path, "`snapshot_path`", "the snapshot's state file", err);
    if (rc == 0)
        rc = check_filled(
            load->mem_backend.backend_path, memory_field,
            is_file ? "the snapshot's memory file" : "the socket of the page-fault handler", err);
    return rc == 0 ? check_overrides(load, err) : rc;
}

int cfg_snapshot_load_settle(struct cfg_snapshot_load *load, struct err *err)
{
    if (load->mem_backend.present && load->mem_file_path)
        return err_set(err, -EINVAL,
                       "too many fields: either `mem_backend` or `mem_file_path` exclusively is "
                       "required");
    if (!load->mem_backend.present && !load->mem_file_path)
        return err_set(err, -EINVAL,
                       "missing field: either `mem_backend` or `mem_file_path` is required");
    if (load->mem_backend.prefetch && load->mem_backend.backend_type != CFG_MEM_BACKEND_FILE)
        return err_set(err, -EINVAL,
                       "mem_backend: prefetch is for backend_type File: a page-fault handler reads "
                       "its file itself");
    if (load->mem_backend.on_handler_exit != CFG_HANDLER_EXIT_FREEZE &&
        load->mem_backend.backend_type != CFG_MEM_BACKEND_UFFD)
        return err_set(err, -EINVAL,
                       "mem_backend: on_handler_exit is for backend_type Uffd: a File has no "
                       "page-fault handler");
    const char *memory_field =
        load->mem_file_path ? "`mem_file_path`" : "`backend_path` of `mem_backend`";
    if (load->mem_file_path) {
        load->mem_backend = (struct cfg_mem_source){
            .present = true,
            .backend_path = load->mem_file_path,
            .backend_type = CFG_MEM_BACKEND_FILE,
        };
        load->mem_file_path = NULL;
    }
    load->track_dirty_pages |= load->enable_diff_snapshots;
    load->enable_diff_snapshots = false;
    return check_paths(load, memory_field, err);
}
