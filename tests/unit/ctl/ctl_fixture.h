/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of vmm/ctl share: a ctl on a loop with hooks that count, actions made by hand, and
 * kernels of a few bytes. Thread: the test's is the vmm thread.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/unit/arch/arch_images.h"
#include "vmm/ctl/ctl_int.h"

#define PATH_SIZE 64u
#define NOWHERE "/nonexistent/file"

/* 64-bit code. */
static const uint8_t code_halt[] = {0xf4, 0xeb, 0xfd}; /* hlt; jmp back */

struct fixture {
    struct loop *loop;
    struct ctl *ctl;
    int hook_result; /* of logger and metrics */
    uint32_t loggers_count;
    uint32_t metrics_count;
    bool lost; /* the process is to end */
    uint32_t states_count;
    enum ctl_state state;
    uint32_t ends_count;
    struct ctl_reply reply; /* the last one */
};

static inline int hook_logger(void *ctx, const struct cfg_logger *logger, struct err *err)
{
    struct fixture *fixture = ctx;
    assert_non_null(logger);
    fixture->loggers_count++;
    return fixture->hook_result < 0 ? err_set(err, fixture->hook_result, "the logger's") : 0;
}

static inline int hook_metrics(void *ctx, const struct cfg_metrics *config, struct err *err)
{
    struct fixture *fixture = ctx;
    assert_non_null(config);
    fixture->metrics_count++;
    return fixture->hook_result < 0 ? err_set(err, fixture->hook_result, "the metrics'") : 0;
}

static inline void hook_state(void *ctx, enum ctl_state state)
{
    struct fixture *fixture = ctx;
    fixture->states_count++;
    fixture->state = state;
}

static inline void hook_lost(void *ctx)
{
    struct fixture *fixture = ctx;
    fixture->lost = true;
}

static inline void hook_mapped(void *ctx, const struct gmem *gmem, const char *path)
{
    (void)ctx;
    (void)gmem;
    (void)path;
}

static inline void hook_explain(void *ctx, struct err *err)
{
    (void)ctx; /* nothing restricts these tests */
    (void)err; /* stays as it is */
}

static inline void hook_handler_ended(void *ctx, bool ends, const struct err *why)
{
    (void)ctx;
    (void)ends;
    (void)why;
}

static inline void on_end(void *ctx, enum machine_end end, const struct err *reason)
{
    struct fixture *fixture = ctx;
    (void)end;
    (void)reason;
    fixture->ends_count++;
}

static inline void fixture_init(struct fixture *fixture, const char *kvm_path)
{
    struct err err = ERR_INIT;
    *fixture = (struct fixture){0};
    assert_int_equal(loop_create(clock_real(), &fixture->loop, &err), 0);
    const struct ctl_options options = {
        .machine = {.kvm_path = kvm_path,
                    .irqchip = HV_IRQCHIP_SPLIT,
                    .console_in_fd = FD_NONE,
                    .console_out_fd = FD_NONE,
                    .clock = clock_real(),
                    .loop = fixture->loop,
                    .vm_id = "test",
                    .metadata_max_size = 100,
                    .on_end = on_end,
                    .ctx = fixture},
        .hooks = {.sinks = {.ctx = fixture, .logger = hook_logger, .metrics = hook_metrics},
                  .ctx = fixture,
                  .state = hook_state,
                  .lost = hook_lost,
                  .mapped = hook_mapped,
                  .handler_ended = hook_handler_ended,
                  .explain = hook_explain},
    };
    assert_int_equal(ctl_create(&options, &fixture->ctl, &err), 0);
}

static inline void fixture_done(struct fixture *fixture)
{
    ctl_free(fixture->ctl);
    loop_free(fixture->loop);
}

static inline char *text_of(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    assert_true(!text || copy);
    return copy;
}

/* Carries the action out; what it owns is gone then. Returns the reply's code. */
static inline int carry(struct fixture *fixture, struct ctl_action action)
{
    static const struct ctl_action zero;
    ctl_do(fixture->ctl, &action, &fixture->reply);
    assert_memory_equal(&action, &zero, sizeof(zero));
    assert_ptr_equal(fixture->reply.vm, fixture->ctl->config);
    assert_int_equal(fixture->reply.code == 0, fixture->reply.err.msg[0] == '\0');
    return fixture->reply.code;
}

static inline int carry_kind(struct fixture *fixture, enum ctl_action_kind kind)
{
    return carry(fixture, (struct ctl_action){.kind = kind});
}

static inline void expect_ok(struct fixture *fixture, struct ctl_action action)
{
    (void)carry(fixture, action);
    assert_string_equal(fixture->reply.err.msg, "");
}

static inline void expect_refused(struct fixture *fixture, struct ctl_action action,
                                  const char *sentence)
{
    assert_true(carry(fixture, action) < 0);
    assert_string_equal(fixture->reply.err.msg, sentence);
}

static inline struct ctl_action snapshot_create_action(const char *state, const char *memory)
{
    return (struct ctl_action){.kind = CTL_SNAPSHOT_CREATE,
                               .u.snapshot_create = {.snapshot_type = CFG_SNAPSHOT_FULL,
                                                     .snapshot_path = text_of(state),
                                                     .mem_file_path = text_of(memory)}};
}

static inline struct ctl_action snapshot_load_action(const char *state, const char *memory)
{
    return (struct ctl_action){
        .kind = CTL_SNAPSHOT_LOAD,
        .u.snapshot_load = {.snapshot_path = text_of(state),
                            .mem_backend = {.present = true, .backend_path = text_of(memory)}}};
}

static inline struct ctl_action boot_source_action(const char *kernel)
{
    return (struct ctl_action){.kind = CTL_BOOT_SOURCE_PUT,
                               .u.boot_source = {.kernel_image_path = text_of(kernel)}};
}

static inline struct ctl_action machine_action(uint8_t vcpus, uint64_t mem_mib)
{
    return (struct ctl_action){.kind = CTL_MACHINE_CONFIG_PUT,
                               .u.machine = {.vcpu_count = vcpus, .mem_size_mib = mem_mib}};
}

static inline struct ctl_action drive_action(const char *id, const char *path, bool is_root)
{
    return (struct ctl_action){.kind = CTL_DRIVE_PUT,
                               .u.drive = {.drive_id = text_of(id),
                                           .path_on_host = text_of(path),
                                           .is_root_device = is_root}};
}

static inline struct ctl_action drive_patch_action(const char *id, const char *path)
{
    return (struct ctl_action){
        .kind = CTL_DRIVE_PATCH,
        .u.drive_patch = {.drive_id = text_of(id), .path_on_host = text_of(path)}};
}

/* A file in memory, and the path by which this process reaches it. */
struct file {
    int fd;
    char path[PATH_SIZE];
};

static inline void file_name(struct file *file)
{
    (void)snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
}

static inline struct file file_make(uint64_t size)
{
    struct file file = {.fd = file_of_size(size)};
    file_name(&file);
    return file;
}

static inline struct file kernel_make(const uint8_t *code, size_t len)
{
    struct elf_image_file elf = elf_image_make();
    elf.ehdr.e_phnum = 2; /* without the PVH note: 64-bit entry */
    memcpy(elf.code, code, len);
    struct file file = {.fd = file_with(&elf, sizeof(elf))};
    file_name(&file);
    return file;
}
