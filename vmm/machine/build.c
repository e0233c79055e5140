/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a machine, in the order KVM is quick with: VM, memory slots, kernel, irqchip, vCPUs,
 * devices, tables, boot state (architecture.md, speed decisions). Thread: vmm.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/ck.h"
#include "base/fd.h"
#include "vmm/machine/machine_int.h"

static int build_memory(struct machine *machine, const struct cfg_machine *config, struct err *err)
{
    static const enum gmem_backing backings[] = {
        [CFG_HUGE_PAGES_NONE] = GMEM_BACKING_DEFAULT,
        [CFG_HUGE_PAGES_TRANSPARENT] = GMEM_BACKING_THP,
        [CFG_HUGE_PAGES_2M] = GMEM_BACKING_HUGETLB,
    };
    struct gmem_range ranges[GMEM_REGIONS_MAX];
    uint32_t ranges_count;
    uint64_t size;

    if (!ck_mul(config->mem_size_mib, 1024ull * 1024, &size))
        return err_set(err, -ENOMEM, "Invalid Memory Configuration: Cannot create mmap region: %s",
                       ERR_OS(ENOMEM));
    int rc = arch_memory_ranges(size, ranges, &ranges_count, err);
    if (rc == 0)
        rc = gmem_create(ranges, ranges_count, backings[config->huge_pages],
                         config->track_dirty_pages, &machine->gmem, err);
    if (rc < 0)
        return err_prefix(err, "Invalid Memory Configuration: ");
    rc = hv_vm_add_memory(&machine->vm, machine->gmem, config->track_dirty_pages, err);
    if (rc == -EINVAL || rc == -ENOMEM) /* the ranges are good: there is too much of them */
        return err_prefix(err,
                          "Invalid Memory Configuration: this host's KVM does not take %llu MiB; "
                          "lower mem_size_mib: ",
                          (unsigned long long)config->mem_size_mib);
    return rc < 0 ? err_prefix(err, "Invalid Memory Configuration: ") : 0;
}

static int build_vm(struct machine *machine, const struct cfg_vm *config, struct err *err)
{
    int rc = machine_make_vm(machine, err);
    if (rc == 0 && config->has_cpu_template)
        rc = machine_check_capabilities(&machine->hv, &config->cpu_template, err);
    return rc < 0 ? err_prefix(err, "Kvm error: ") : 0;
}

/* What leads from the kernel file to the first instruction. */
struct boot {
    struct arch_kernel kernel;
    struct arch_initrd initrd;
    struct arch_cmdline cmdline;
    struct {
        uint8_t rng_seed[ARCH_RNG_SEED_SIZE];
        uint8_t vmgenid[ARCH_VMGENID_SIZE];
    } random;
};

static int load_images(struct machine *machine, const struct cfg_boot_source *source,
                       struct boot *boot, struct err *err)
{
    int rc = arch_load_kernel(machine->gmem, machine->kernel_fd, &boot->kernel, err);
    if (rc < 0)
        return err_prefix(err, "System configuration error: Cannot load kernel due to invalid "
                               "memory configuration or invalid kernel image: ");
    if (machine->initrd_fd == FD_NONE)
        return 0;
    rc = arch_load_initrd(machine->gmem, machine->initrd_fd, &boot->kernel, &boot->initrd, err);
    if (rc < 0)
        return err_prefix(err, "Error with initrd initialization: %s: ", source->initrd_path);
    return 0;
}

static int start_cmdline(struct arch_cmdline *cmdline, const struct cfg_boot_source *source,
                         struct err *err)
{
    int rc = arch_cmdline_init(cmdline, source->boot_args, err);
    return rc < 0 ? err_prefix(err, "Invalid kernel command line: ") : 0;
}

static int write_acpi(struct machine *machine, uint64_t tables_base, uint64_t *ret_rsdp,
                      struct err *err)
{
    struct acpi_mmio_device devices[LAYOUT_VIRTIO_DEVICES_MAX];
    for (uint32_t i = 0; i < machine->placed_count; i++)
        devices[i] = (struct acpi_mmio_device){machine->placed[i].base, machine->placed[i].gsi};
    const struct acpi_config config = {
        .vcpus_count = machine->vcpus_count,
        .mmio_devices = devices,
        .mmio_devices_count = machine->placed_count,
        .tables_base = tables_base,
        .com1_port = SERIAL_PORT_BASE,
        .com1_ports_count = SERIAL_PORT_SIZE,
        .com1_gsi = SERIAL_GSI,
        .ps2_data_port = I8042_PORT_BASE,
        .ps2_command_port = I8042_COMMAND_PORT,
        .ps2_gsi = I8042_GSI,
        .sleep_control_port = PM_SLEEP_CONTROL_PORT,
        .sleep_status_port = PM_SLEEP_STATUS_PORT,
        .reset_port = PM_RESET_PORT,
        .reset_value = PM_RESET_VALUE,
        .s5_sleep_type = PM_S5_SLEEP_TYPE,
        .vmgenid_base = machine->generation.place.vmgenid_base,
        .vmgenid_gsi = machine->generation.vmgenid_gsi,
        .vmclock_base = machine->generation.place.vmclock_base,
        .vmclock_gsi = machine->generation.vmclock_gsi,
    };
    return acpi_write_tables(machine->gmem, &config, ret_rsdp, err);
}

/* VMGenID's and VMClock's lines are behind the last virtio device's. Nobody raises them before a
 * restore. */
static void place_generation(struct machine *machine)
{
    machine->generation = (struct machine_generation){
        .place = {.vmgenid_base = ARCH_VMGENID_BASE, .vmclock_base = ARCH_VMCLOCK_BASE},
        .vmgenid_gsi = LAYOUT_GSI_VIRTIO_FIRST + machine->placed_count,
        .vmclock_gsi = LAYOUT_GSI_VIRTIO_FIRST + machine->placed_count + 1,
    };
}

static int write_tables(struct machine *machine, struct boot *boot, struct err *err)
{
    uint64_t mptable_end;
    uint64_t rsdp = 0;
    place_generation(machine);
    int rc = arch_write_mptable(machine->gmem, machine->vcpus_count, &mptable_end, err);
    if (rc == 0)
        rc = write_acpi(machine, mptable_end, &rsdp, err);
    if (rc < 0)
        return rc;
    if (getrandom(&boot->random, sizeof(boot->random), 0) != sizeof(boot->random))
        return err_set(err, -errno, "getrandom for the guest's RNG seed: %s", ERR_OS(errno));
    rc =
        arch_generation_write(machine->gmem, &machine->generation.place, boot->random.vmgenid, err);
    if (rc < 0)
        return rc;
    const struct arch_boot params = {
        .kernel = &boot->kernel,
        .initrd = &boot->initrd,
        .cmdline = &boot->cmdline,
        .rsdp = rsdp,
        .rng_seed = boot->random.rng_seed,
    };
    return arch_write_boot(machine->gmem, &params, err);
}

/* What a custom template has set is the guest's from now on. */
static int keep_template_msrs(struct machine *machine, const struct cfg_vm *config, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && config->has_cpu_template && i < config->cpu_template.msrs_count;
         i++)
        rc = machine_keep_msr(machine, config->cpu_template.msrs[i].addr, err);
    return rc;
}

static int build(struct machine *machine, const struct cfg_vm *config, struct boot *boot,
                 struct err *err)
{
    int rc = build_vm(machine, config, err);
    if (rc == 0)
        rc = build_memory(machine, &config->machine, err);
    if (rc == 0)
        rc = load_images(machine, &config->boot_source, boot, err);
    if (rc == 0)
        rc = start_cmdline(&boot->cmdline, &config->boot_source, err);
    if (rc == 0)
        rc = hv_vm_create_irqchip(&machine->vm, machine->options.irqchip, err);
    if (rc == 0)
        rc = machine_create_vcpus(machine, &config->machine, err);
    if (rc == 0)
        rc = machine_place_legacy(machine, machine_pins_count(config), err);
    if (rc == 0)
        rc = machine_place_devices(machine, config, &boot->cmdline, err);
    if (rc == 0)
        rc = machine_attach_metadata(machine, config, err);
    if (rc == 0)
        rc = write_tables(machine, boot, err);
    if (rc == 0)
        rc = machine_setup_vcpus(machine, config, &boot->kernel, err);
    if (rc == 0)
        rc = keep_template_msrs(machine, config, err);
    return rc;
}

int machine_build(struct machine *machine, const struct cfg_vm *config, struct err *err)
{
    if (machine->kernel_fd == FD_NONE)
        return err_set(err, -EINVAL, "Cannot start microvm without kernel configuration.");
    machine_leave_warm(machine, "one is booted");
    machine_start_boot_timer(machine);
    struct boot *boot = calloc(1, sizeof(*boot));
    if (!boot)
        return err_set(err, -ENOMEM, "no memory for the boot parameters");
    int rc = build(machine, config, boot, err);
    free(boot);
    if (rc < 0)
        machine_dismantle(machine);
    return rc;
}
