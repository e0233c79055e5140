/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts on what the monitor itself works with: KVM and io_uring. `kvm_fd`, `vm_fd` and `ring_fd`
 * are the target's own descriptors. Those that spoil the ring for the monitor come last. Data.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>

#include "tests/security/inject/inject.h"

#define REGISTER(op, ...) CALL(io_uring_register, ARGS(KN("ring_fd"), N(op), __VA_ARGS__))

/* More than KVM's largest number of a vCPU: refused, or EINVAL. One that is made would stay. */
enum { no_vcpu = 1 << 24 };
/* A slot that no VM has, taken away: refused, or EINVAL. */
static const struct kvm_userspace_memory_region no_slot = {.slot = 400};

static const struct attempt list[] = {
    {"kvm-open", "machines of one's own",
     .steps = {CALL(openat, ARGS(N(AT_FDCWD), T("/dev/kvm"), N(O_RDWR)), .undo = UNDO_CLOSE),
               CALL(ioctl, ARGS(R, N(KVM_CREATE_VM), N(0)), .undo = UNDO_CLOSE)}},
    {"kvm-create-vm", "likewise, by the monitor's descriptor",
     .steps = {CALL(ioctl, ARGS(KN("kvm_fd"), N(KVM_CREATE_VM), N(0)), .undo = UNDO_CLOSE)}},
    {"kvm-memory-region", "the guest gets memory of the monitor",
     .steps = {CALL(ioctl, ARGS(KN("vm_fd"), N(KVM_SET_USER_MEMORY_REGION), B(no_slot)),
                    .passes = {EINVAL, ENOENT})}},
    {"kvm-create-vcpu", "processors of one's own",
     .steps = {CALL(ioctl, ARGS(KN("vm_fd"), N(KVM_CREATE_VCPU), N(no_vcpu)), .passes = {EINVAL})}},
    {"kvm-create-device", "the kernel's emulated devices: rarely used code",
     .steps = {CALL(ioctl, ARGS(KN("vm_fd"), N(KVM_CREATE_DEVICE), Z(12)), .passes = {ENODEV})}},
    {"ring-new", "a second ring, without restrictions",
     .steps = {CALL(io_uring_setup, ARGS(N(1), Z(120)), .undo = UNDO_CLOSE)}},
    {"ring-probe", "calls on the ring that are not the exchange of a file",
     .steps = {REGISTER(IORING_REGISTER_PROBE, Z(2064), N(1))}},
    {"ring-personality", "likewise", .steps = {REGISTER(IORING_REGISTER_PERSONALITY, N(0), N(0))}},
    {"ring-buffers", "likewise",
     .steps = {CALL(io_uring_register, ARGS(KN("ring_fd"), N(IORING_REGISTER_BUFFERS), N(0), N(0)),
                    .passes = {EINVAL})}},
    {"ring-eventfd", "likewise",
     .steps = {CALL(io_uring_register,
                    ARGS(KN("ring_fd"), N(IORING_REGISTER_EVENTFD), B(no_slot), N(1)),
                    .passes = {EBUSY, EBADF})}},
    {"ring-restrictions", "likewise",
     .steps = {CALL(io_uring_register,
                    ARGS(KN("ring_fd"), N(IORING_REGISTER_RESTRICTIONS), Z(16), N(1)),
                    .passes = {EINVAL})}},
    {"ring-open", "a file is opened by the kernel's ring, which no filter sees",
     .special = ring_open},
    {"ring-socket", "a socket, likewise", .special = ring_socket},
};

const struct attempt_list attempts_machine = {list, ARRAY_LEN(list)};
