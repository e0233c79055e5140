/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that KVM needs to run a guest: a VM with RAM (128 MiB usually), one vCPU with CPUID and
 * boot registers. Of the floor programs; part of perf, not of the product.
 */
#pragma once

#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_SIZE (128ull << 20)
#define CODE 0x1000u
#define CPUID_ENTRIES_MAX 256u

/* 16-bit code: mov dx, 0x3f8; mov al, 'M'; out dx, al; mov al, 0xfe; out 0x64, al; hlt. */
static const uint8_t guest_code[] = {0xba, 0xf8, 0x03, 0xb0, 'M', 0xee,
                                     0xb0, 0xfe, 0xe6, 0x64, 0xf4};

static inline int call(int fd, unsigned long request, const void *arg, const char *name)
{
    int rc = ioctl(fd, request, arg);
    if (rc < 0)
        err(1, "%s", name);
    return rc;
}

static void *map(size_t size, int flags, int fd)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED)
        err(1, "mmap of %zu bytes", size);
    return at;
}

static void set_cpuid(int kvm, int vcpu)
{
    static _Alignas(struct kvm_cpuid2) uint8_t
        bytes[sizeof(struct kvm_cpuid2) + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2)];
    struct kvm_cpuid2 *cpuid = (void *)bytes;

    cpuid->nent = CPUID_ENTRIES_MAX;
    call(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, "KVM_GET_SUPPORTED_CPUID");
    call(vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
}

static void set_registers(int vcpu)
{
    struct kvm_sregs sregs = {0};
    struct kvm_regs regs = {.rip = CODE, .rflags = 2};
    call(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    call(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
    call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

/* Makes the VM; *ret_state: what KVM_RUN tells. Returns the vCPU's fd. */
static inline int make_vm_of(uint64_t ram_size, const struct kvm_run **ret_state)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        err(1, "/dev/kvm");
    int vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
    uint8_t *ram = map(ram_size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    memcpy(ram + CODE, guest_code, sizeof(guest_code));
    struct kvm_userspace_memory_region region = {.memory_size = ram_size,
                                                 .userspace_addr = (uintptr_t)ram};
    call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
    int vcpu = call(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
    size_t run_size = (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE");
    *ret_state = map(run_size, MAP_SHARED, vcpu);
    set_cpuid(kvm, vcpu);
    set_registers(vcpu);
    return vcpu;
}

static inline int make_vm(const struct kvm_run **ret_state)
{
    return make_vm_of(RAM_SIZE, ret_state);
}
