/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor handle and the VM: node, memory slots, irqchip, routes, irqfd and ioeventfd (KVM
 * api.rst 4.x). Thread: vmm while building; hv_vm_set_routes also from vCPU threads.
 */
#include "vmm/hv/hv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/hv/hv_int.h"

/* Where Intel hosts without unrestricted guest keep a TSS (devices.md 8.1). */
#define HV_TSS_ADDRESS 0xFFFBD000ul

static_assert(offsetof(struct hv_cpuid, entries) == sizeof(struct kvm_cpuid2), "same header");
static_assert(offsetof(struct hv_msrs, entries) == sizeof(struct kvm_msrs), "same header");

int hv_ioctl(int fd, unsigned long request, const void *arg)
{
    int rc;
    do {
        rc = ioctl(fd, request, arg);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : rc;
}

int hv_check_capability(const struct hv *hv, uint32_t cap)
{
    return hv_ioctl(hv->fd, KVM_CHECK_EXTENSION, (const void *)(uintptr_t)cap);
}

int hv_fail(const struct hv *hv, struct err *err, int rc, const char *call,
            const struct hv_need *need)
{
    if (need && need->cap && hv_check_capability(hv, need->cap) <= 0)
        return err_set(err, rc, "%s failed: %s. This host's KVM lacks %s, which Mayfly needs", call,
                       ERR_OS(rc), need->name);
    return err_set(err, rc, "%s failed: %s", call, ERR_OS(rc));
}

static int open_fail(const char *path, int errnum, struct err *err)
{
    const char *advice = "Look at the node with ls -l and at the kernel log";
    if (errnum == ENOENT)
        advice = "The node does not exist: load kvm_intel or kvm_amd, or enable virtualization in "
                 "the firmware or in the cloud machine's type";
    else if (errnum == EACCES || errnum == EPERM)
        advice = "Make sure the user launching the firecracker process is configured on the "
                 "/dev/kvm file's ACL";
    else if (errnum == ENODEV || errnum == ENXIO)
        advice = "The kernel has no KVM behind the node: load kvm_intel or kvm_amd";
    return err_set(err, -errnum, "Error creating KVM object: %s %s. (%s)", ERR_OS(errnum), advice,
                   path);
}

int hv_open(const char *path, struct hv *ret_hv, struct err *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return open_fail(path, errno, err);
    *ret_hv = (struct hv){.fd = fd};
    return 0;
}

void hv_close(struct hv *hv)
{
    fd_close(&hv->fd);
}

int hv_supported_cpuid(const struct hv *hv, struct hv_cpuid *ret_cpuid, struct err *err)
{
    ret_cpuid->count = HV_CPUID_ENTRIES_MAX;
    int rc = hv_ioctl(hv->fd, KVM_GET_SUPPORTED_CPUID, ret_cpuid);
    if (rc < 0)
        return hv_fail(hv, err, rc, "KVM_GET_SUPPORTED_CPUID", HV_NEED(KVM_CAP_EXT_CPUID));
    return 0;
}

int hv_vm_create(struct hv *hv, struct hv_vm *ret_vm, struct err *err)
{
    int fd = hv_ioctl(hv->fd, KVM_CREATE_VM, NULL);
    if (fd == -ENOTTY)
        return err_set(err, fd, "KVM_CREATE_VM failed: %s. The node that was opened is not KVM",
                       ERR_OS(fd));
    if (fd < 0)
        return hv_fail(hv, err, fd, "KVM_CREATE_VM", NULL);
    *ret_vm = (struct hv_vm){.hv = hv, .fd = fd};
    int rc = hv_run_size_get(hv, err);
    if (rc < 0)
        hv_vm_close(ret_vm);
    return rc;
}

void hv_vm_close(struct hv_vm *vm)
{
    fd_close(&vm->fd);
}

int hv_vm_add_memory(struct hv_vm *vm, struct gmem *gmem, bool log_dirty, struct err *err)
{
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        struct gmem_region_view view = gmem_region_at(gmem, i);
        struct kvm_userspace_memory_region region = {
            .slot = i,
            .flags = log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0,
            .guest_phys_addr = view.base.v,
            .memory_size = view.size,
            .userspace_addr = (uintptr_t)view.host,
        };
        int rc = hv_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
        if (rc < 0) {
            (void)hv_fail(vm->hv, err, rc, "KVM_SET_USER_MEMORY_REGION",
                          HV_NEED(KVM_CAP_USER_MEMORY));
            return err_prefix(
                err, "guest memory of %llu MiB at 0x%llx: ", (unsigned long long)(view.size >> 20),
                (unsigned long long)view.base.v);
        }
    }
    vm->gmem = gmem;
    return 0;
}

static int create_split(struct hv_vm *vm, struct err *err)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {HV_GSI_COUNT}};
    int rc = hv_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP)",
                       HV_NEED(KVM_CAP_SPLIT_IRQCHIP));
    return 0;
}

static int create_full(struct hv_vm *vm, struct err *err)
{
    int rc = hv_ioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_CREATE_IRQCHIP", HV_NEED(KVM_CAP_IRQCHIP));
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    rc = hv_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_CREATE_PIT2", HV_NEED(KVM_CAP_PIT2));
    return 0;
}

int hv_vm_create_irqchip(struct hv_vm *vm, enum hv_irqchip irqchip, struct err *err)
{
    int rc = hv_ioctl(vm->fd, KVM_SET_TSS_ADDR, (const void *)HV_TSS_ADDRESS);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_SET_TSS_ADDR", HV_NEED(KVM_CAP_SET_TSS_ADDR));
    vm->irqchip = irqchip;
    return irqchip == HV_IRQCHIP_SPLIT ? create_split(vm, err) : create_full(vm, err);
}

int hv_vm_set_routes(struct hv_vm *vm, const struct kvm_irq_routing_entry *entries,
                     uint32_t entries_count, struct err *err)
{
    /* struct kvm_irq_routing with room behind its head. */
    struct {
        uint32_t nr;
        uint32_t flags;
        struct kvm_irq_routing_entry entries[HV_ROUTES_MAX];
    } table = {.nr = entries_count};
    static_assert(offsetof(struct kvm_irq_routing, entries) == 2 * sizeof(uint32_t), "KVM's head");

    assert(entries_count <= HV_ROUTES_MAX);
    memcpy(table.entries, entries, entries_count * sizeof(*entries));
    int rc = hv_ioctl(vm->fd, KVM_SET_GSI_ROUTING, &table);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_SET_GSI_ROUTING", HV_NEED(KVM_CAP_IRQ_ROUTING));
    return 0;
}

int hv_vm_irqfd(struct hv_vm *vm, int fd, uint32_t gsi, struct err *err)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};
    int rc = hv_ioctl(vm->fd, KVM_IRQFD, &irqfd);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_IRQFD", HV_NEED(KVM_CAP_IRQFD));
    return 0;
}

int hv_vm_pulse(struct hv_vm *vm, uint32_t gsi, struct err *err)
{
    /* A message has no level to take back. */
    uint32_t last = vm->irqchip == HV_IRQCHIP_SPLIT ? 1 : 0;
    for (uint32_t level = 2; level-- > last;) {
        const struct kvm_irq_level line = {.irq = gsi, .level = level};
        int rc = hv_ioctl(vm->fd, KVM_IRQ_LINE, &line);
        if (rc < 0)
            return hv_fail(vm->hv, err, rc, "KVM_IRQ_LINE", HV_NEED(KVM_CAP_IRQCHIP));
    }
    return 0;
}

int hv_vm_ioeventfd(struct hv_vm *vm, int fd, gpa_t addr, uint32_t datamatch, struct err *err)
{
    struct kvm_ioeventfd ioeventfd = {
        .datamatch = datamatch,
        .addr = addr.v,
        .len = sizeof(uint32_t),
        .fd = fd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
    };
    int rc = hv_ioctl(vm->fd, KVM_IOEVENTFD, &ioeventfd);
    if (rc < 0)
        return hv_fail(vm->hv, err, rc, "KVM_IOEVENTFD", HV_NEED(KVM_CAP_IOEVENTFD));
    return 0;
}

int hv_vm_coalesce_writes(struct hv_vm *vm, gpa_t addr, uint32_t len, struct err *err)
{
    struct kvm_coalesced_mmio_zone zone = {.addr = addr.v, .size = len};
    int rc = hv_ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
    if (rc == 0)
        return 1;
    if (hv_check_capability(vm->hv, KVM_CAP_COALESCED_MMIO) <= 0)
        return 0;
    return hv_fail(vm->hv, err, rc, "KVM_REGISTER_COALESCED_MMIO", NULL);
}
