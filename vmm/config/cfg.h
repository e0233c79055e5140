/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user asked for, as plain data: one struct per API object (api.md 6, 7; cli.md B). No
 * fds, no live objects. Strings are heap-owned by the struct that holds them and released by
 * cfg_object_done through the object's field table (cfg_fields.h). Thread: the one that builds the
 * config.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define CFG_VCPUS_MAX 32u
#define CFG_CMDLINE_MAX_SIZE 2048u /* bytes with the NUL (devices.md 8.3) */
#define CFG_DRIVES_MAX 64u         /* accepted in a config; fewer fit the interrupt lines */
#define CFG_NICS_MAX 64u
#define CFG_STRING_MAX_LEN 16384u /* any string of a request, bytes without the NUL */
#define CFG_CPUID_LEAVES_MAX 256u
#define CFG_MSRS_MAX 256u
#define CFG_CAPABILITIES_MAX 128u
#define CFG_MMDS_NICS_MAX CFG_NICS_MAX
#define CFG_MMDS_IPV4_DEFAULT "169.254.169.254"
#define CFG_MTU_MIN 68u

enum cfg_huge_pages { CFG_HUGE_PAGES_NONE, CFG_HUGE_PAGES_TRANSPARENT, CFG_HUGE_PAGES_2M };

/* Declaration order is the order of serde's messages (api.md 7). */
enum cfg_template {
    CFG_TEMPLATE_C3,
    CFG_TEMPLATE_T2,
    CFG_TEMPLATE_T2S,
    CFG_TEMPLATE_NONE,
    CFG_TEMPLATE_T2CL,
    CFG_TEMPLATE_T2A,
};

struct cfg_machine {
    uint8_t vcpu_count;
    uint64_t mem_size_mib;
    bool smt;
    bool has_cpu_template; /* cpu_template was given and not null */
    enum cfg_template cpu_template;
    bool track_dirty_pages;
    enum cfg_huge_pages huge_pages;
};

/* PATCH /machine-config: only what `has_x` says changes. */
struct cfg_machine_patch {
    struct cfg_machine machine;
    bool has_vcpu_count;
    bool has_mem_size_mib;
    bool has_smt;
    bool has_track_dirty_pages;
    bool has_huge_pages;
};

struct cfg_boot_source {
    char *kernel_image_path;
    char *initrd_path; /* NULL: none */
    /* NULL: the default command line; "" stays empty. Any characters: the reference takes line ends
     * and UTF-8 here (recorded), and only the words that we add have to be printable ASCII. */
    char *boot_args;
};

/* "No limit" when !present or size or refill_time_ms is 0. */
struct cfg_bucket {
    bool present;
    uint64_t size; /* bytes or operations */
    uint64_t one_time_burst;
    uint64_t refill_time_ms;
};

struct cfg_rate_limiter {
    bool present;
    struct cfg_bucket bandwidth;
    struct cfg_bucket ops;
};

enum cfg_cache { CFG_CACHE_UNSAFE, CFG_CACHE_WRITEBACK };
enum cfg_io_engine { CFG_IO_ENGINE_SYNC, CFG_IO_ENGINE_ASYNC };

struct cfg_drive {
    char *drive_id;
    char *partuuid; /* NULL: none */
    bool is_root_device;
    enum cfg_cache cache_type;
    bool is_read_only;
    char *path_on_host;
    struct cfg_rate_limiter rate_limiter;
    enum cfg_io_engine io_engine;
    char *socket; /* vhost-user: parsed to be refused */
};

/* PATCH /drives/{id}: NULL path, absent limiter or bucket: stays as it is. */
struct cfg_drive_patch {
    char *drive_id;
    char *path_on_host;
    struct cfg_rate_limiter rate_limiter;
};

struct cfg_nic {
    char *iface_id;
    char *host_dev_name;
    bool has_guest_mac;
    uint8_t guest_mac[6];
    bool has_mtu;
    uint16_t mtu;
    struct cfg_rate_limiter rx_rate_limiter;
    struct cfg_rate_limiter tx_rate_limiter;
};

/* PATCH /network-interfaces/{id}. */
struct cfg_nic_patch {
    char *iface_id;
    struct cfg_rate_limiter rx_rate_limiter;
    struct cfg_rate_limiter tx_rate_limiter;
};

struct cfg_vsock {
    uint32_t guest_cid;
    char *uds_path;
    char *vsock_id; /* deprecated, ignored */
};

enum cfg_mmds_version { CFG_MMDS_V1, CFG_MMDS_V2 };

struct cfg_mmds {
    char *network_interfaces[CFG_MMDS_NICS_MAX];
    uint32_t network_interfaces_count;
    enum cfg_mmds_version version;
    char *ipv4_address; /* NULL: 169.254.169.254 */
    bool imds_compat;
};

struct cfg_logger {
    char *log_path;
    char *level; /* NULL: Info */
    bool has_show_level;
    bool show_level;
    bool has_show_log_origin;
    bool show_log_origin;
    char *module;
};

struct cfg_metrics {
    char *metrics_path;
    bool emit_id;
    char *properties; /* a JSON object of strings, sorted; NULL: none */
};

/* PUT /serial: both are replaced by each call. */
struct cfg_serial {
    char *serial_out_path; /* NULL: stdout */
    struct cfg_bucket rate_limiter;
};

/* PUT /actions. */
enum cfg_action_type {
    CFG_ACTION_FLUSH_METRICS,
    CFG_ACTION_INSTANCE_START,
    CFG_ACTION_SEND_CTRL_ALT_DEL,
};

struct cfg_action {
    enum cfg_action_type action_type;
};

/* PATCH /vm. */
enum cfg_vm_state { CFG_VM_PAUSED, CFG_VM_RESUMED };

struct cfg_vm_patch {
    enum cfg_vm_state state;
};

enum cfg_snapshot_type { CFG_SNAPSHOT_DIFF, CFG_SNAPSHOT_FULL };

struct cfg_snapshot_create {
    enum cfg_snapshot_type snapshot_type;
    char *snapshot_path;
    char *mem_file_path;
    bool no_flush; /* neither file is made durable */
};

enum cfg_mem_backend { CFG_MEM_BACKEND_FILE, CFG_MEM_BACKEND_UFFD };
enum cfg_load_huge_pages {
    CFG_LOAD_HUGE_PAGES_SNAPSHOT,
    CFG_LOAD_HUGE_PAGES_NONE,
    CFG_LOAD_HUGE_PAGES_TRANSPARENT,
    CFG_LOAD_HUGE_PAGES_2M,
};

/* What becomes of the process when its page-fault handler has ended. */
enum cfg_handler_exit {
    CFG_HANDLER_EXIT_FREEZE, /* the guest stands still where it misses a page */
    CFG_HANDLER_EXIT_EXIT,
};

/* Where guest memory comes from. */
struct cfg_mem_source {
    bool present;
    char *backend_path;
    enum cfg_mem_backend backend_type;
    bool prefetch; /* of a file */
    enum cfg_handler_exit on_handler_exit;
};

/* What is absent stays as the snapshot has it; a limiter replaces the whole of that one. */
struct cfg_nic_override {
    char *iface_id;
    char *host_dev_name;
    bool has_guest_mac;
    uint8_t guest_mac[6];
    struct cfg_rate_limiter rx_rate_limiter;
    struct cfg_rate_limiter tx_rate_limiter;
};

/* The same of a drive. One that is only read is compared with what the snapshot noted of it. */
struct cfg_drive_override {
    char *drive_id;
    char *path_on_host; /* NULL: the saved one */
    bool force;         /* another content is taken */
    struct cfg_rate_limiter rate_limiter;
};

struct cfg_vsock_override {
    bool present;
    char *uds_path;
};

struct cfg_snapshot_load {
    char *snapshot_path;
    char *mem_file_path; /* deprecated; cfg_snapshot_load_settle moves it into mem_backend */
    struct cfg_mem_source mem_backend;
    bool enable_diff_snapshots; /* deprecated; cfg_snapshot_load_settle ORs it into the next */
    bool track_dirty_pages;
    bool resume_vm;
    bool clock_realtime;
    enum cfg_load_huge_pages huge_pages;
    struct cfg_nic_override *network_overrides; /* heap */
    uint32_t network_overrides_count;
    struct cfg_drive_override *drive_overrides; /* heap */
    uint32_t drive_overrides_count;
    struct cfg_vsock_override vsock_override;
};

/* The bodies of requests for devices that are not in the model (deltas.md 6), looked at for their
 * shape only; each uses what it has a field for. */
struct cfg_excluded {
    char *id;
    char *path_on_host;
    uint32_t sizes_mib[3];
    uint16_t interval_s;
    bool flags[3];
    struct cfg_rate_limiter rate_limiter;
};

/* One register or MSR: bits of `mask` are forced to those of `value`. */
struct cfg_cpuid_modifier {
    uint32_t leaf;
    uint32_t subleaf;
    uint32_t flags;
    uint32_t mask[4];  /* eax ebx ecx edx */
    uint32_t value[4]; /* eax ebx ecx edx */
};

struct cfg_msr_modifier {
    uint32_t addr;
    uint64_t mask;
    uint64_t value;
};

/* "123" asks for the KVM capability of that number, "!123" no longer does; the last word counts. */
struct cfg_capability {
    uint32_t number;
    bool removal;
};

/* Custom CPU template (devices.md 9.1). Arrays are heap-owned. */
struct cfg_cpu_template {
    struct cfg_cpuid_modifier *cpuid;
    uint32_t cpuid_count;
    struct cfg_msr_modifier *msrs;
    uint32_t msrs_count;
    struct cfg_capability caps[CFG_CAPABILITIES_MAX]; /* in the order given */
    uint32_t caps_count;
};

/* Everything one VM is made from. `has_x` false: the section was absent or null;
 * without a kernel_image_path there is no boot source. */
struct cfg_vm {
    struct cfg_machine machine;
    struct cfg_boot_source boot_source;
    struct cfg_drive *drives; /* heap; attach order: as put, but for a root drive, which is first */
    uint32_t drives_count;
    struct cfg_nic *nics; /* heap */
    uint32_t nics_count;
    bool has_vsock;
    struct cfg_vsock vsock;
    bool has_mmds;
    struct cfg_mmds mmds;
    bool has_logger;
    struct cfg_logger logger;
    bool has_metrics;
    struct cfg_metrics metrics;
    bool has_cpu_template;
    struct cfg_cpu_template cpu_template;
};

/* Sets the one sentence for memory that is short while a configuration is stored. Returns
 * -ENOMEM. */
int cfg_fail_memory(struct err *err);

/* Defaults of an empty configuration: 1 vCPU, 128 MiB, nothing else. */
void cfg_vm_init(struct cfg_vm *vm);

/* Releases every string and array and leaves an empty configuration. */
void cfg_vm_done(struct cfg_vm *vm);

/*
 * Range and cross-field rules of one object; shape and types are the decoder's. Sentences are
 * Firecracker's without the category prefix. Return 0 or -EINVAL.
 */
MUST_CHECK int cfg_machine_validate(const struct cfg_machine *machine, struct err *err);
MUST_CHECK int cfg_boot_source_validate(const struct cfg_boot_source *boot, struct err *err);
MUST_CHECK int cfg_drive_validate(const struct cfg_drive *drive, struct err *err);
MUST_CHECK int cfg_nic_validate(const struct cfg_nic *nic, struct err *err);
MUST_CHECK int cfg_vsock_validate(const struct cfg_vsock *vsock, struct err *err);
MUST_CHECK int cfg_mmds_validate(const struct cfg_mmds *mmds, struct err *err);

/* Third check of MMDS, which needs the VM's interfaces: every id exists. Returns 0 or -EINVAL. */
MUST_CHECK int cfg_mmds_check_nics(const struct cfg_mmds *mmds, const struct cfg_vm *vm,
                                   struct err *err);

/*
 * Takes over a checked *mmds, which is zeroed: each interface that it names once, in the order of
 * the VM's. An interface that is put again leaves the list; has_mmds falls with the last.
 */
void cfg_mmds_put(struct cfg_vm *vm, struct cfg_mmds *mmds);

/* The address that the service answers to; mmds: checked. */
void cfg_mmds_address(const struct cfg_mmds *mmds, uint8_t ret_addr[static 4]);

/* Does the bucket limit anything? Not when absent, 0 in size or time, or too slow for 64-bit
 * nanoseconds. */
bool cfg_bucket_limits(const struct cfg_bucket *bucket);

/*
 * Puts a drive into the list: an id that exists is replaced in place, a root drive changes places
 * with the first, a second root (other id) is refused ("A root block device already exists!").
 * Takes ownership of *drive's strings on success and zeroes *drive; on failure nothing changes.
 * Returns 0, -EEXIST, -ENOSPC or -ENOMEM.
 */
MUST_CHECK int cfg_drives_put(struct cfg_vm *vm, struct cfg_drive *drive, struct err *err);

/* Would cfg_drives_put take the drive? Returns as it does; nothing changes. */
MUST_CHECK int cfg_drives_check(const struct cfg_vm *vm, const struct cfg_drive *drive,
                                struct err *err);

/* Notes what a PATCH has changed; takes its path. Returns 0 or -ENOENT. */
MUST_CHECK int cfg_drives_patch(struct cfg_vm *vm, struct cfg_drive_patch *patch, struct err *err);

/* The drive of an id, or NULL. Borrowed. */
const struct cfg_drive *cfg_drives_find(const struct cfg_vm *vm, const char *drive_id);

/* Could the interface be put? Returns 0, -EEXIST (a MAC of another interface: "The MAC address is
 * already in use: <mac>") or -ENOSPC. */
MUST_CHECK int cfg_nics_check(const struct cfg_vm *vm, const struct cfg_nic *nic, struct err *err);

/* Takes an interface out of the list, the last takes its place; none of that id is fine. */
void cfg_nics_drop(struct cfg_vm *vm, const char *iface_id);

/* No vsock device is configured any more. */
void cfg_vsock_drop(struct cfg_vm *vm);

/* Notes what a PATCH has changed; none of that id is fine. */
void cfg_nics_patch(struct cfg_vm *vm, const struct cfg_nic_patch *patch);

/* Puts a checked interface at the end of the list, one of the same id is dropped. Ownership as in
 * cfg_drives_put. Returns 0, -ENOMEM or as cfg_nics_check. */
MUST_CHECK int cfg_nics_put(struct cfg_vm *vm, struct cfg_nic *nic, struct err *err);

/* The interface of an id, or NULL. Borrowed. */
const struct cfg_nic *cfg_nics_find(const struct cfg_vm *vm, const char *iface_id);

/*
 * PUT /machine-config: checks `put` and makes it *inout, except that an absent cpu_template keeps
 * the one that *inout has; "None" takes it away. A custom template that the VM may have is the
 * caller's: put->has_cpu_template says that it goes. *inout is unchanged on failure. Returns 0 or
 * -EINVAL.
 */
MUST_CHECK int cfg_machine_put(const struct cfg_machine *put, struct cfg_machine *inout,
                               struct err *err);

/* Does the patch change nothing? Such a request is refused as "Empty PATCH request.". */
bool cfg_machine_patch_is_empty(const struct cfg_machine_patch *patch);

/*
 * PATCH /machine-config: changes what the patch says, checks the result, and leaves *inout as it
 * was when the check fails. An empty patch is refused. Of a custom template see cfg_machine_put.
 * Returns 0 or -EINVAL.
 */
MUST_CHECK int cfg_machine_patch_apply(const struct cfg_machine_patch *patch,
                                       struct cfg_machine *inout, struct err *err);

/* Is a deprecated member of the load request used? Asked before cfg_snapshot_load_settle. */
bool cfg_snapshot_load_is_deprecated(const struct cfg_snapshot_load *load);

/*
 * Checks that exactly one of mem_backend and mem_file_path is there, and turns the deprecated
 * members into their successors: mem_backend and track_dirty_pages then say it all. Returns 0 or
 * -EINVAL.
 */
MUST_CHECK int cfg_snapshot_load_settle(struct cfg_snapshot_load *load, struct err *err);
