/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe guest: 64-bit code that runs the instructions an emulating KVM lacks and reports
 * through a port. Its memory: page tables and GDT are the kernel boot ones (arch), code at 1 MiB.
 * Thread: main.
 */
#include "vmm/machine/probe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/arch/x86_64/arch.h"
#include "vmm/arch/x86_64/cpu.h"

#define PROBE_MEMORY_SIZE (4u * 1024 * 1024)
#define PROBE_CODE 0x100000ull
#define PROBE_AREA_HI 0x11 /* XSAVE area at 0x110000, zeroed: everything in its initial state */
#define PROBE_PORT 0x80u
#define PROBE_OK 0x4du
#define PROBE_SECONDS_MAX 1u
/* One exit for the report; anything else ends the probe. */
#define PROBE_RUNS_MAX 16u

/* CR4 bits for SSE and XSAVE. */
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_OSXSAVE (1ull << 18)

static const uint8_t probe_code[] = {
    0xbe, 0x00,       0x00, PROBE_AREA_HI, 0x00, /* mov esi, 0x110000 */
    0x0f, 0x10,       0x06,                      /* movups xmm0, [rsi] */
    0x31, 0xc0,       0x31, 0xd2,                /* xor eax, eax; xor edx, edx */
    0x31, 0xdb,       0x31, 0xc9,                /* xor ebx, ebx; xor ecx, ecx */
    0xf0, 0x48,       0x0f, 0xc7,          0x0e, /* lock cmpxchg16b [rsi] */
    0xb8, 0x03,       0x00, 0x00,          0x00, /* mov eax, 3: x87 and SSE state */
    0x0f, 0xae,       0x2e,                      /* xrstor [rsi] */
    0xb0, PROBE_OK,                              /* mov al, PROBE_OK */
    0xe6, PROBE_PORT,                            /* out PROBE_PORT, al */
    0xf4,                                        /* hlt */
};

struct probe {
    struct hv hv;
    struct hv_vm vm;
    struct hv_vcpu vcpu;
    struct gmem *gmem;
    struct hv_cpuid cpuid;
};

static int setup_vm(struct probe *probe, const char *kvm_path, struct err *err)
{
    const struct gmem_range range = {gpa(0), PROBE_MEMORY_SIZE};
    int rc = hv_open(kvm_path, &probe->hv, err);
    if (rc == 0)
        rc = hv_vm_create(&probe->hv, &probe->vm, err);
    if (rc == 0)
        rc = gmem_create(&range, 1, GMEM_BACKING_DEFAULT, false, &probe->gmem, err);
    if (rc == 0)
        rc = hv_vm_add_memory(&probe->vm, probe->gmem, false, err);
    if (rc == 0)
        rc = hv_vm_create_irqchip(&probe->vm, HV_IRQCHIP_SPLIT, err);
    if (rc == 0)
        rc = hv_vcpu_create(&probe->vm, 0, &probe->vcpu, err);
    return rc;
}

static int setup_vcpu(struct probe *probe, const struct arch_kernel *kernel, struct err *err)
{
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};
    int rc = hv_supported_cpuid(&probe->hv, &probe->cpuid, err);
    if (rc == 0)
        rc = hv_vcpu_set_cpuid(&probe->vcpu, &probe->cpuid, err);
    if (rc == 0)
        rc = hv_vcpu_get_sregs(&probe->vcpu, &sregs, err);
    if (rc < 0)
        return rc;
    arch_boot_regs(kernel, &regs, &sregs);
    sregs.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    rc = hv_vcpu_set_sregs(&probe->vcpu, &sregs, err);
    if (rc == 0)
        rc = hv_vcpu_set_regs(&probe->vcpu, &regs, err);
    return rc;
}

static int setup_guest(struct probe *probe, struct err *err)
{
    const struct arch_kernel kernel = {.protocol = ARCH_PROTOCOL_LINUX64, .entry = PROBE_CODE};
    const struct arch_initrd initrd = {0};
    struct arch_cmdline cmdline;
    int rc = arch_cmdline_init(&cmdline, "", err);
    const struct arch_boot boot = {.kernel = &kernel, .initrd = &initrd, .cmdline = &cmdline};
    if (rc == 0)
        rc = arch_write_boot(probe->gmem, &boot, err);
    if (rc == 0 && gmem_write(probe->gmem, gpa(PROBE_CODE), probe_code, sizeof(probe_code)) < 0)
        rc = err_set(err, -EFAULT, "the probe's code does not fit its memory");
    if (rc == 0)
        rc = setup_vcpu(probe, &kernel, err);
    return rc;
}

/* Returns 1 when the report came, 0 with a sentence otherwise. */
static int run_guest(struct probe *probe, struct err *err)
{
    for (uint32_t i = 0; i < PROBE_RUNS_MAX; i++) {
        enum hv_exit why;
        struct hv_access io;
        int rc = hv_vcpu_run(&probe->vcpu, &why);
        if (rc < 0) {
            (void)err_set(err, rc, "KVM_RUN failed in the probe guest: %s", ERR_OS(rc));
            return 0;
        }
        if (why == HV_EXIT_INTERRUPTED) {
            (void)err_set(err, -ETIMEDOUT, "the probe guest did not finish within %u s",
                          PROBE_SECONDS_MAX);
            return 0;
        }
        if (why != HV_EXIT_IO) {
            (void)hv_vcpu_explain_exit(&probe->vcpu, err);
            return 0;
        }
        if (hv_vcpu_io(&probe->vcpu, &io) == 0 && io.is_write && io.addr == PROBE_PORT &&
            io.data[0] == PROBE_OK)
            return 1;
    }
    (void)err_set(err, -EPROTO, "the probe guest never reported");
    return 0;
}

static void on_alarm(int signum)
{
    (void)signum; /* its only work is to interrupt KVM_RUN */
}

int machine_probe(const char *kvm_path, struct err *err)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    if (!probe)
        return err_set(err, -ENOMEM, "no memory for the probe guest");
    probe->hv.fd = probe->vm.fd = probe->vcpu.fd = FD_NONE;

    int rc = setup_vm(probe, kvm_path, err);
    if (rc == 0)
        rc = setup_guest(probe, err);
    if (rc == 0) {
        const struct sigaction action = {.sa_handler = on_alarm};
        if (sigaction(SIGALRM, &action, NULL) == 0) {
            (void)alarm(PROBE_SECONDS_MAX); /* previous alarms: none in this program */
            rc = run_guest(probe, err);
            (void)alarm(0);
        }
    }
    hv_vcpu_close(&probe->vcpu);
    hv_vm_close(&probe->vm);
    hv_close(&probe->hv);
    gmem_free(probe->gmem);
    free(probe);
    return rc;
}
