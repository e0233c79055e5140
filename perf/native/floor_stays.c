/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor that stays: the VM of floor.c, with RAM of a given size, until it is killed. What many
 * of them take is KVM's doing. Usage: floor_stays RAM_MIB. One thread; part of perf, not of the
 * product.
 */
#include "perf/native/floor_vm.h"

#define RAM_MIB_MAX (64ul << 10)

int main(int argc, char **argv)
{
    const struct kvm_run *state;
    unsigned long mib = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (mib == 0 || mib > RAM_MIB_MAX)
        errx(2, "usage: floor_stays RAM_MIB");
    int vcpu = make_vm_of((uint64_t)mib << 20, &state);
    call(vcpu, KVM_RUN, NULL, "KVM_RUN");
    const char *byte = (const char *)state + state->io.data_offset;
    if (state->exit_reason != KVM_EXIT_IO || write(STDOUT_FILENO, byte, 1) != 1)
        errx(1, "unexpected exit %u", state->exit_reason);
    for (;;)
        (void)pause();
}
