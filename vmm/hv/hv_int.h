/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared inside vmm/hv: one ioctl door and one way to say that a KVM call failed. Any thread.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/hv/hv.h"

/* A capability that a call rests on; looked up only after the call failed. cap 0: none known. */
struct hv_need {
    uint32_t cap;
    const char *name;
};
#define HV_NEED(cap)                                                                               \
    &(const struct hv_need)                                                                        \
    {                                                                                              \
        cap, #cap                                                                                  \
    }

/* ioctl that goes on after EINTR. Returns the call's result, or -errno. Not for KVM_RUN. */
int hv_ioctl(int fd, unsigned long request, const void *arg);

/* How large a vCPU's run area is: into hv->run_size. Returns 0 or -errno. */
MUST_CHECK int hv_run_size_get(struct hv *hv, struct err *err);

/*
 * The error of a failed call: its name, the errno text, and the capability when this KVM lacks it.
 * hv: to ask for the capability; rc: -errno. Returns rc.
 */
int hv_fail(const struct hv *hv, struct err *err, int rc, const char *call,
            const struct hv_need *need);
