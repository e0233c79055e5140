/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: every device gets its window, its line and its place on a bus (devices.md 2, 8).
 * Boot and restore share place_at; they differ only in who chose address and interrupt.
 * Thread: vmm, before the guest runs.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "vmm/machine/machine_int.h"

/* The guest's tables (arch) and the devices (legacy) must mean the same places. */
static_assert(IOAPIC_BASE == LAYOUT_IOAPIC, "MADT and MP table against the IOAPIC");
static_assert(BOOT_TIMER_BASE == LAYOUT_MMIO_GAP_BASE, "the boot timer opens the gap");
static_assert(IOAPIC_PINS_MAX == HV_GSI_COUNT, "a route for every pin");

static int line_connect(struct machine *machine, struct irq_line *line, uint32_t gsi,
                        struct err *err)
{
    int rc = irq_line_open(line);
    if (rc < 0)
        return err_set(err, rc, "eventfd for interrupt line %u: %s", gsi, ERR_OS(rc));
    return hv_vm_irqfd(&machine->vm, line->fd, gsi, err);
}

static void on_i8042_reset(void *ctx)
{
    machine_report_end(ctx, MACHINE_END_OK, NULL);
}

static void on_pm_event(void *ctx, enum pm_event event)
{
    (void)event; /* power-off and reset both end the VM (deltas.md 7) */
    machine_report_end(ctx, MACHINE_END_OK, NULL);
}

int machine_connect_legacy(struct machine *machine, struct err *err)
{
    int rc = 0;
    if (machine->serial_irq.fd == FD_NONE)
        rc = line_connect(machine, &machine->serial_irq, SERIAL_GSI, err);
    if (rc == 0 && machine->i8042_irq.fd == FD_NONE)
        rc = line_connect(machine, &machine->i8042_irq, I8042_GSI, err);
    return rc;
}

static int place_serial(struct machine *machine, struct err *err)
{
    bool to_file = machine->serial_out_fd != FD_NONE;
    int rc = serial_create(&machine->serial_irq,
                           to_file ? machine->serial_out_fd : machine->options.console_out_fd,
                           &machine->serial, err);
    if (rc == 0)
        serial_limit_output(machine->serial, &machine->serial_limiter);
    if (rc == 0)
        serial_pause_input(machine->serial, machine->paused);
    if (rc == 0 && !to_file && machine->options.console_in_fd != FD_NONE)
        rc = serial_attach_input(machine->serial, machine->options.loop,
                                 machine->options.console_in_fd, err);
    if (rc < 0)
        return rc;
    const struct bus_range range = {SERIAL_PORT_BASE, SERIAL_PORT_SIZE, &serial_bus_ops,
                                    machine->serial, "COM1"};
    return bus_insert(&machine->pio, &range, err);
}

static int place_i8042(struct machine *machine, struct err *err)
{
    int rc = i8042_create(&machine->i8042_irq, on_i8042_reset, machine, &machine->i8042, err);
    if (rc < 0)
        return rc;
    const struct bus_range range = {I8042_PORT_BASE, I8042_PORT_SIZE, &i8042_bus_ops,
                                    machine->i8042, "i8042"};
    return bus_insert(&machine->pio, &range, err);
}

int machine_place_at(struct machine *machine, const struct machine_device *device, uint64_t base,
                     uint32_t gsi, struct err *err)
{
    struct virtio_dev *dev = device->virtio;
    if (machine->placed_count == LAYOUT_VIRTIO_DEVICES_MAX)
        return err_set(err, -ENOSPC,
                       "Could not allocate GSI: The requested resource is not available.");
    struct placed *placed = &machine->placed[machine->placed_count++];
    *placed = (struct placed){.device = *device, .irq = {FD_NONE}, .base = base, .gsi = gsi};
    int rc = line_connect(machine, &placed->irq, gsi, err);
    if (rc == 0)
        rc = vmmio_create(dev, machine->gmem, &placed->irq, machine->options.loop, &placed->vmmio,
                          err);
    if (rc < 0)
        return rc;
    uint32_t eventfds_count = vmmio_wants_eventfd(placed->vmmio) ? dev->queues_count : 0;
    for (uint32_t queue = 0; queue < eventfds_count; queue++) {
        rc = hv_vm_ioeventfd(&machine->vm, vmmio_kick_fd(placed->vmmio, queue),
                             gpa(base + VMMIO_QUEUE_NOTIFY_OFF), queue, err);
        if (rc < 0)
            return rc;
    }
    /* An exit less for each interrupt. 0: this KVM cannot, and the guest exits. */
    rc = hv_vm_coalesce_writes(&machine->vm, gpa(base + VMMIO_INTERRUPT_ACK_OFF), sizeof(uint32_t),
                               err);
    if (rc < 0)
        return rc;
    const struct bus_range range = {base, VMMIO_WINDOW_SIZE, &vmmio_bus_ops, placed->vmmio,
                                    "virtio-mmio"};
    return bus_insert(&machine->mmio, &range, err);
}

/* The next free window and line, told to the guest's command line too (acpi=off). */
static int place_next(struct machine *machine, const struct machine_device *device,
                      struct arch_cmdline *cmdline, struct err *err)
{
    uint64_t base = LAYOUT_VIRTIO_MMIO_BASE + machine->placed_count * LAYOUT_VIRTIO_MMIO_STEP;
    uint32_t gsi = LAYOUT_GSI_VIRTIO_FIRST + machine->placed_count;
    int rc = machine_place_at(machine, device, base, gsi, err);
    if (rc < 0)
        return rc;
    rc = arch_cmdline_append(cmdline, err, "virtio_mmio.device=4K@0x%llx:%u",
                             (unsigned long long)base, gsi);
    return rc < 0 ? err_prefix(err, "Invalid kernel command line: ") : 0;
}

/* Which drive the guest's root is, and how to mount it: it is the first. */
static int append_root(struct arch_cmdline *cmdline, const struct cfg_vm *config, struct err *err)
{
    const struct cfg_drive *drive = config->drives_count > 0 ? &config->drives[0] : NULL;
    if (!drive || !drive->is_root_device)
        return 0;
    const char *mode = drive->is_read_only ? "ro" : "rw";
    int rc = drive->partuuid
                 ? arch_cmdline_append(cmdline, err, "root=PARTUUID=%s %s", drive->partuuid, mode)
                 : arch_cmdline_append(cmdline, err, "root=/dev/vda %s", mode);
    return rc < 0 ? err_prefix(err, "Invalid kernel command line: ") : 0;
}

static int place_class(struct machine *machine, const struct machine_class *class,
                       const struct cfg_vm *config, struct arch_cmdline *cmdline, struct err *err)
{
    for (uint32_t idx = 0; idx < class->count(config); idx++) {
        struct machine_device device;
        int rc = machine_find_device(machine, class, config, idx, &device, err);
        if (rc == 0)
            rc = place_next(machine, &device, cmdline, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Lines that something is connected to: the legacy ones, then one a virtio device, then VMGenID's
 * and VMClock's. */
uint32_t machine_pins_count(const struct cfg_vm *config)
{
    uint32_t pins = LAYOUT_GSI_VIRTIO_FIRST + machine_devices_count(config) + 2;
    return pins < IOAPIC_PINS_MAX ? pins : IOAPIC_PINS_MAX;
}

static int place_ioapic(struct machine *machine, uint32_t pins_count, struct err *err)
{
    if (machine->vm.irqchip != HV_IRQCHIP_SPLIT)
        return 0;
    int rc = ioapic_create(pins_count, &machine_ioapic_ops, machine, &machine->ioapic, err);
    if (rc < 0)
        return rc;
    const struct bus_range range = {IOAPIC_BASE, IOAPIC_SIZE, &ioapic_bus_ops, machine->ioapic,
                                    "IOAPIC"};
    return bus_insert(&machine->mmio, &range, err);
}

void machine_start_boot_timer(struct machine *machine)
{
    const struct clock *clock = machine->options.clock;
    if (machine->options.boot_timer)
        machine->boot_timer = (struct boot_timer){.clock = clock,
                                                  .start_ns = clock_now_ns(clock),
                                                  .start_cpu_ns = clock_process_cpu_ns()};
}

int machine_place_legacy(struct machine *machine, uint32_t pins_count, struct err *err)
{
    machine->pm = (struct pm){on_pm_event, machine};
    const struct bus_range pm = {PM_PORT_BASE, PM_PORT_SIZE, &pm_bus_ops, &machine->pm, "ACPI PM"};
    const struct bus_range timer = {BOOT_TIMER_BASE, BOOT_TIMER_SIZE, &boot_timer_bus_ops,
                                    &machine->boot_timer, "boot timer"};
    int rc = place_ioapic(machine, pins_count, err);
    if (rc == 0)
        rc = machine_connect_legacy(machine, err);
    if (rc == 0)
        rc = place_serial(machine, err);
    if (rc == 0)
        rc = place_i8042(machine, err);
    if (rc == 0)
        rc = bus_insert(&machine->pio, &pm, err);
    if (rc == 0 && machine->options.boot_timer)
        rc = bus_insert(&machine->mmio, &timer, err);
    return rc;
}

int machine_place_devices(struct machine *machine, const struct cfg_vm *config,
                          struct arch_cmdline *cmdline, struct err *err)
{
    int rc = append_root(cmdline, config, err);
    if (rc < 0)
        return err_prefix(err, "Could not attach device: block: ");
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++) {
        const struct machine_class *class = &machine_classes[i];
        rc = place_class(machine, class, config, cmdline, err);
        if (rc < 0)
            return err_prefix(err, "Could not attach device: %s: ", class->name);
    }
    return 0;
}

void machine_unplace(struct machine *machine)
{
    while (machine->placed_count) {
        struct placed *placed = &machine->placed[--machine->placed_count];
        vmmio_free(placed->vmmio);
        irq_line_close(&placed->irq);
    }
    ioapic_free(machine->ioapic);
    machine->ioapic = NULL;
    i8042_free(machine->i8042);
    machine->i8042 = NULL;
    if (machine->serial)
        serial_detach_input(machine->serial);
    serial_free(machine->serial);
    machine->serial = NULL;
    irq_line_close(&machine->i8042_irq);
    irq_line_close(&machine->serial_irq);
    bus_init(&machine->pio);
    bus_init(&machine->mmio);
}
