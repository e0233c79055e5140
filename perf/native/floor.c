/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: the least a program can do to run a guest under KVM. It makes a VM with 128 MiB of
 * RAM, one vCPU with CPUID and boot registers, runs a guest that writes one byte to COM1 and
 * resets, and passes the byte on. What a monitor needs beyond this is its own doing. One thread;
 * part of perf, not of the product.
 */
#include "perf/native/floor_vm.h"

static void run(int vcpu, const struct kvm_run *state)
{
    for (;;) {
        call(vcpu, KVM_RUN, NULL, "KVM_RUN");
        if (state->exit_reason != KVM_EXIT_IO)
            errx(1, "unexpected exit %u", state->exit_reason);
        const char *byte = (const char *)state + state->io.data_offset;
        if (state->io.port == 0x64)
            return;
        if (write(STDOUT_FILENO, byte, 1) != 1)
            err(1, "stdout");
    }
}

int main(void)
{
    const struct kvm_run *state;
    int vcpu = make_vm(&state);
    run(vcpu, state);
    return 0;
}
