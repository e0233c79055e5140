/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GSI table of the split irqchip: the IOAPIC says what a pin sends, KVM learns it as an MSI
 * route, and irqfds deliver without leaving the kernel. vCPU threads, under routes.lock.
 */
#include "base/log.h"
#include "vmm/machine/machine_int.h"

/* Every pin that is not masked, as KVM wants the whole table each time. */
static uint32_t table_fill(const struct routes *routes, struct kvm_irq_routing_entry *entries)
{
    uint32_t count = 0;
    for (uint32_t pin = 0; pin < IOAPIC_PINS_MAX; pin++) {
        const struct ioapic_msi *msi = &routes->pins[pin];
        if (!msi->enabled)
            continue;
        entries[count++] = (struct kvm_irq_routing_entry){
            .gsi = pin,
            .type = KVM_IRQ_ROUTING_MSI,
            .u.msi = {.address_lo = msi->address_lo,
                      .address_hi = msi->address_hi,
                      .data = msi->data},
        };
    }
    return count;
}

static int set_route(void *ctx, uint32_t pin, const struct ioapic_msi *msi)
{
    struct machine *machine = ctx;
    struct kvm_irq_routing_entry entries[IOAPIC_PINS_MAX];
    struct err err = ERR_INIT;

    (void)pthread_mutex_lock(&machine->routes.lock);
    machine->routes.pins[pin] = *msi; /* stays when refused: the next table carries it */
    uint32_t count = table_fill(&machine->routes, entries);
    int rc = hv_vm_set_routes(&machine->vm, entries, count, &err);
    (void)pthread_mutex_unlock(&machine->routes.lock);
    if (rc < 0)
        log_guest_error("interrupt route of pin %u could not be set: %s", pin, err.msg);
    return rc;
}

int machine_load_routes(struct machine *machine, struct err *err)
{
    struct kvm_irq_routing_entry entries[IOAPIC_PINS_MAX];
    if (!machine->ioapic)
        return 0;
    for (uint32_t pin = 0; pin < IOAPIC_PINS_MAX; pin++)
        machine->routes.pins[pin] = ioapic_route(machine->ioapic, pin);
    uint32_t count = table_fill(&machine->routes, entries);
    return hv_vm_set_routes(&machine->vm, entries, count, err);
}

const struct ioapic_ops machine_ioapic_ops = {.set_route = set_route};
