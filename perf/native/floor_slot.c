/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times KVM's part of a memory slot by its size: floor_slot MIB... maps so much memory, makes a VM
 * and gives it one slot, then prints "MIB slot_us" for each. A KVM that keeps shadow page tables
 * takes the longer the larger it is. One thread; part of perf, not of the product.
 */
#include <stdio.h>
#include <time.h>

#include "perf/native/floor_vm.h"

static uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t slot_ns(uint64_t size)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        err(1, "/dev/kvm");
    int vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
    void *ram = map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    struct kvm_userspace_memory_region region = {.memory_size = size,
                                                 .userspace_addr = (uintptr_t)ram};
    uint64_t start_ns = now_ns();
    call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
    uint64_t took_ns = now_ns() - start_ns;
    (void)close(vm);
    (void)close(kvm);
    (void)munmap(ram, size);
    return took_ns;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        unsigned long mib = strtoul(argv[i], NULL, 10);
        (void)printf("%lu %.1f\n", mib, (double)slot_ns((uint64_t)mib << 20) / 1000.0);
    }
    return 0;
}
