/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine tests share: a loop, a machine on it, a configuration, and kernels of a few
 * bytes of 64-bit code in memory files. Thread: the test's is the vmm thread.
 */
#pragma once

#include <stdio.h>

#include "base/clock.h"
#include "tests/unit/arch/arch_images.h"
#include "vmm/config/cfg.h"
#include "vmm/machine/machine_int.h"

#define PATH_SIZE 64u

struct fixture {
    struct loop *loop;
    struct machine *machine;
    struct cfg_vm config;
    int kernel_fd;
    char kernel_path[PATH_SIZE];
    /* What on_end was told. */
    uint32_t ends_count;
    enum machine_end end;
    struct err reason;
};

static inline void on_end(void *ctx, enum machine_end end, const struct err *reason)
{
    struct fixture *fixture = ctx;
    fixture->ends_count++;
    fixture->end = end;
    fixture->reason = *reason;
    loop_stop(fixture->loop);
}

static inline void fixture_init(struct fixture *fixture, const char *kvm_path)
{
    struct err err = ERR_INIT;
    *fixture = (struct fixture){.kernel_fd = FD_NONE};
    assert_int_equal(loop_create(clock_real(), &fixture->loop, &err), 0);
    const struct machine_options options = {
        .kvm_path = kvm_path,
        .irqchip = HV_IRQCHIP_SPLIT,
        .console_in_fd = FD_NONE,
        .console_out_fd = FD_NONE,
        .clock = clock_real(),
        .loop = fixture->loop,
        .on_end = on_end,
        .ctx = fixture,
    };
    assert_int_equal(machine_create(&options, &fixture->machine, &err), 0);
    cfg_vm_init(&fixture->config);
    fixture->config.machine.mem_size_mib = 64;
}

static inline void fixture_done(struct fixture *fixture)
{
    machine_free(fixture->machine);
    loop_free(fixture->loop);
    fixture->config.boot_source.kernel_image_path = NULL; /* the fixture's own */
    cfg_vm_done(&fixture->config);
    fd_close(&fixture->kernel_fd);
}

/* A kernel of this code, staged. */
static inline void fixture_stage_code(struct fixture *fixture, const uint8_t *code, size_t len)
{
    struct err err = ERR_INIT;
    struct elf_image_file elf = elf_image_make();
    elf.ehdr.e_phnum = 2; /* without the PVH note: 64-bit entry */
    memcpy(elf.code, code, len);
    fixture->kernel_fd = file_with(&elf, sizeof(elf));
    (void)snprintf(fixture->kernel_path, sizeof(fixture->kernel_path), "/proc/self/fd/%d",
                   fixture->kernel_fd);
    fixture->config.boot_source.kernel_image_path = fixture->kernel_path;
    int rc = machine_stage_boot_source(fixture->machine, &fixture->config.boot_source, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

/* cmocka's pair for tests that run guests. */
static inline int fixture_setup(void **state)
{
    static struct fixture fixture; /* the test's only one */
    fixture_init(&fixture, "/dev/kvm");
    *state = &fixture;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

/* Builds and starts a guest of this code. */
static inline void fixture_start(struct fixture *fixture, const uint8_t *code, size_t len,
                                 uint8_t vcpus)
{
    struct err err = ERR_INIT;
    fixture->config.machine.vcpu_count = vcpus;
    fixture_stage_code(fixture, code, len);
    int rc = machine_build(fixture->machine, &fixture->config, &err);
    if (rc == 0)
        rc = machine_start(fixture->machine, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}
