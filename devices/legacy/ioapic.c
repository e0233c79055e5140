/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IOAPIC of the split irqchip (Intel 82093AA): an index and a data register in front of 24
 * redirection entries. vCPU threads, under the device's lock. Each entry is turned into the message
 * that its pin sends; the owner hears of a pin only when that message is another one, since a route
 * costs it a system call. Lines are edges: delivery status and remote IRR always read 0.
 */
#include "devices/legacy/ioapic.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "base/log.h"
#include "devices/legacy/ioapic_state.h"

#define OFF_IOREGSEL 0x00u
#define OFF_IOWIN 0x10u

/* Indexes. The entry of pin n has its low half at INDEX_RTE + 2n and its high half behind it. */
#define INDEX_ID 0x00u
#define INDEX_VERSION 0x01u
#define INDEX_ARBITRATION 0x02u
#define INDEX_RTE 0x10u

#define VERSION_82093AA 0x11u
#define VERSION_MAX_ENTRY_SHIFT 16u
#define ID_MASK 0x0f000000u

#define RTE_VECTOR_MASK 0xffull
#define RTE_DELIVERY_MODE_SHIFT 8u
#define RTE_DELIVERY_MODE_MASK 0x7u
#define RTE_LOGICAL_DEST (1ull << 11)
#define RTE_MASKED (1ull << 16)
#define RTE_DEST_SHIFT 56u
/* Vector, delivery mode, destination mode, polarity, trigger mode, mask; destination. */
#define RTE_WRITABLE 0xff0000000001afffull

enum delivery_mode {
    DELIVERY_FIXED = 0,
    DELIVERY_LOWEST_PRIORITY = 1,
    DELIVERY_SMI = 2,
    DELIVERY_NMI = 4,
    DELIVERY_INIT = 5,
};

/* Message signalled interrupts (Intel SDM 3A, 11.11). */
#define MSI_ADDRESS_BASE 0xfee00000u
#define MSI_ADDRESS_DEST_SHIFT 12u
#define MSI_ADDRESS_LOGICAL (1u << 2)
#define MSI_DATA_DELIVERY_MODE_SHIFT 8u

static_assert(IOAPIC_STATE_PINS_MAX == IOAPIC_PINS_MAX, "the state holds every pin");

struct ioapic {
    pthread_mutex_t lock; /* guards all below; the owner's locks are taken inside (set_route) */
    const struct ioapic_ops *ops;
    void *ctx;
    struct ioapic_state regs;
    struct ioapic_msi routes[IOAPIC_PINS_MAX]; /* as last told to the owner */
};

/* Can a message carry this mode? ExtINT needs a PIC that is not there; the others are reserved. */
static bool mode_is_message(uint32_t mode)
{
    return mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST_PRIORITY || mode == DELIVERY_SMI ||
           mode == DELIVERY_NMI || mode == DELIVERY_INIT;
}

/* The message of an entry; all zero when it sends none. */
static struct ioapic_msi msi_of(uint64_t entry)
{
    uint32_t mode = (uint32_t)(entry >> RTE_DELIVERY_MODE_SHIFT) & RTE_DELIVERY_MODE_MASK;
    if ((entry & RTE_MASKED) != 0 || !mode_is_message(mode))
        return (struct ioapic_msi){.enabled = false};
    uint32_t dest = (uint32_t)(entry >> RTE_DEST_SHIFT);
    struct ioapic_msi msi = {
        .enabled = true,
        .address_lo = MSI_ADDRESS_BASE | dest << MSI_ADDRESS_DEST_SHIFT,
        .data = (uint32_t)(entry & RTE_VECTOR_MASK) | mode << MSI_DATA_DELIVERY_MODE_SHIFT,
    };
    if ((entry & RTE_LOGICAL_DEST) != 0)
        msi.address_lo |= MSI_ADDRESS_LOGICAL;
    return msi;
}

static bool msi_equal(const struct ioapic_msi *a, const struct ioapic_msi *b)
{
    return a->enabled == b->enabled && a->address_lo == b->address_lo &&
           a->address_hi == b->address_hi && a->data == b->data;
}

static void entry_write(struct ioapic *ioapic, uint32_t pin, bool high_half, uint32_t value)
{
    uint64_t *entry = &ioapic->regs.entries[pin];
    if (high_half)
        *entry = (*entry & UINT32_MAX) | (uint64_t)value << 32;
    else
        *entry = (*entry & ~(uint64_t)UINT32_MAX) | value;
    *entry &= RTE_WRITABLE;

    struct ioapic_msi msi = msi_of(*entry);
    if (msi_equal(&msi, &ioapic->routes[pin]))
        return;
    ioapic->routes[pin] = msi;
    if (ioapic->ops->set_route(ioapic->ctx, pin, &msi) < 0)
        ioapic->routes[pin].address_hi = UINT32_MAX; /* like no message: any write tries again */
}

/* Does the selected register belong to a pin's entry? Then *ret_pin is the pin. */
static bool pin_of(const struct ioapic_state *regs, uint32_t *ret_pin)
{
    uint8_t index = regs->index;
    return index >= INDEX_RTE && ck_index((index - INDEX_RTE) / 2, regs->pins_count, ret_pin);
}

static bool is_high_half(uint8_t index)
{
    return (index & 1) != 0;
}

static uint32_t window_read(const struct ioapic_state *regs)
{
    uint32_t pin;
    if (pin_of(regs, &pin)) {
        uint64_t entry = regs->entries[pin];
        return (uint32_t)(is_high_half(regs->index) ? entry >> 32 : entry);
    }
    switch (regs->index) {
    case INDEX_ID:
    case INDEX_ARBITRATION:
        return regs->id;
    case INDEX_VERSION:
        return (regs->pins_count - 1) << VERSION_MAX_ENTRY_SHIFT | VERSION_82093AA;
    default:
        return 0;
    }
}

/* Registers that do not exist or only read take the write and drop it, as the part does. */
static void window_write(struct ioapic *ioapic, uint32_t value)
{
    struct ioapic_state *regs = &ioapic->regs;
    uint32_t pin;
    if (pin_of(regs, &pin))
        entry_write(ioapic, pin, is_high_half(regs->index), value);
    else if (regs->index == INDEX_ID)
        regs->id = value & ID_MASK;
}

static void on_bus_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
    struct ioapic *ioapic = ctx;
    memset(data, 0, len);
    if (len != sizeof(uint32_t) || (off != OFF_IOREGSEL && off != OFF_IOWIN)) {
        log_guest_warn("ioapic: ignored a %u-byte read at offset 0x%llx", len,
                       (unsigned long long)off);
        return;
    }
    pthread_mutex_lock(&ioapic->lock);
    uint32_t value = off == OFF_IOREGSEL ? ioapic->regs.index : window_read(&ioapic->regs);
    pthread_mutex_unlock(&ioapic->lock);
    memcpy(data, &value, sizeof(value));
}

static void on_bus_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
    struct ioapic *ioapic = ctx;
    if (len != sizeof(uint32_t) || (off != OFF_IOREGSEL && off != OFF_IOWIN)) {
        log_guest_warn("ioapic: ignored a %u-byte write at offset 0x%llx", len,
                       (unsigned long long)off);
        return;
    }
    uint32_t value;
    memcpy(&value, data, sizeof(value));
    pthread_mutex_lock(&ioapic->lock);
    if (off == OFF_IOREGSEL)
        ioapic->regs.index = (uint8_t)value;
    else
        window_write(ioapic, value);
    pthread_mutex_unlock(&ioapic->lock);
}

struct ioapic_msi ioapic_route(struct ioapic *ioapic, uint32_t pin)
{
    pthread_mutex_lock(&ioapic->lock);
    struct ioapic_msi msi = ioapic->routes[pin];
    pthread_mutex_unlock(&ioapic->lock);
    return msi;
}

void ioapic_save(struct ioapic *ioapic, struct ioapic_state *ret_state)
{
    pthread_mutex_lock(&ioapic->lock);
    *ret_state = ioapic->regs;
    pthread_mutex_unlock(&ioapic->lock);
}

static bool state_is_valid(const struct ioapic_state *state)
{
    bool valid = (state->id & ~ID_MASK) == 0;
    for (uint32_t pin = 0; pin < IOAPIC_PINS_MAX; pin++)
        valid &= (state->entries[pin] & ~(RTE_WRITABLE)) == 0;
    return valid;
}

int ioapic_restore(struct ioapic *ioapic, const struct ioapic_state *state, struct err *err)
{
    if (state->pins_count != ioapic->regs.pins_count)
        return err_set(err, -EINVAL, "the IOAPIC has %u pins, expected %u", state->pins_count,
                       ioapic->regs.pins_count);
    if (!state_is_valid(state))
        return err_set(err, -EINVAL, "the IOAPIC's registers have bits that none has");
    pthread_mutex_lock(&ioapic->lock);
    ioapic->regs = *state;
    for (uint32_t pin = 0; pin < state->pins_count; pin++)
        ioapic->routes[pin] = msi_of(state->entries[pin]);
    pthread_mutex_unlock(&ioapic->lock);
    return 0;
}

const struct bus_ops ioapic_bus_ops = {
    .read = on_bus_read,
    .write = on_bus_write,
};

int ioapic_create(uint32_t pins_count, const struct ioapic_ops *ops, void *ctx,
                  struct ioapic **ret_ioapic, struct err *err)
{
    assert(pins_count >= 1 && pins_count <= IOAPIC_PINS_MAX);
    struct ioapic *ioapic = calloc(1, sizeof(*ioapic));
    if (ioapic == NULL)
        return err_set(err, -ENOMEM, "no memory for the IOAPIC");
    int code = pthread_mutex_init(&ioapic->lock, NULL);
    if (code != 0) {
        free(ioapic);
        return err_set(err, -code, "the IOAPIC's lock cannot be made: %s", err_name(code));
    }
    ioapic->ops = ops;
    ioapic->ctx = ctx;
    ioapic->regs.pins_count = pins_count;
    for (uint32_t pin = 0; pin < pins_count; pin++)
        ioapic->regs.entries[pin] = RTE_MASKED;
    *ret_ioapic = ioapic;
    return 0;
}

void ioapic_free(struct ioapic *ioapic)
{
    if (ioapic == NULL)
        return;
    pthread_mutex_destroy(&ioapic->lock);
    free(ioapic);
}
