/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COM1 as a 16550A (devices.md 5): registers and FIFO. vCPU threads, under the device's lock; its
 * input comes from serial_input.c.
 *
 * Interrupts are edges: one is sent whenever the set of enabled, pending causes changes and is not
 * empty. So a new cause is always told, and so is one that stays after another was served.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "devices/legacy/serial_int.h"

/* Register offsets; 0 and 1 are the divisor while LCR_DLAB is set. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RDI 0x01u  /* received data */
#define IER_THRI 0x02u /* transmitter empty */
#define IER_RLSI 0x04u /* receiver line status */
#define IER_MASK 0x0fu

#define IIR_NONE 0x01u
#define IIR_THRI 0x02u
#define IIR_RDI 0x04u
#define IIR_RLSI 0x06u
#define IIR_FIFO_ON 0xc0u

#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_KEEP_MASK 0xc9u /* enable, DMA mode, trigger level; the clear bits act once */

#define LCR_DLAB 0x80u

#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_MASK 0x1fu

#define LSR_DR 0x01u
#define LSR_OE 0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u

#define LCR_8N1 0x03u
#define DIVISOR_9600_BAUD 12u

/* So many status reads in a row, nothing between them, are a poll for input: a driver that only
 * waits for the transmitter sees it empty at the first. */
#define POLL_READS_COUNT 16u

static_assert(SERIAL_STATE_RX_SIZE == SERIAL_FIFO_SIZE, "the state holds the whole FIFO");

/* Causes of interrupt that are pending and enabled, as IER bits. */
static uint32_t causes_of(const struct serial_state *regs)
{
    uint32_t causes = 0;
    if (regs->rx_count > 0)
        causes |= IER_RDI;
    if (regs->thre_pending)
        causes |= IER_THRI;
    if (regs->lsr_errors != 0)
        causes |= IER_RLSI;
    return causes & regs->ier;
}

static void interrupt_update(const struct serial *serial, uint32_t causes_before)
{
    uint32_t causes = causes_of(&serial->regs);
    if (causes != 0 && causes != causes_before)
        irq_raise(serial->irq);
}

bool serial_guest_listens(const struct serial *serial)
{
    if ((serial->regs.mcr & MCR_LOOP) != 0)
        return false;
    return (serial->regs.ier & IER_RDI) != 0 || serial->poll_reads_count >= POLL_READS_COUNT;
}

static size_t fifo_push(struct serial_state *regs, const uint8_t *data, size_t len)
{
    size_t room = SERIAL_FIFO_SIZE - regs->rx_count;
    size_t taken = len < room ? len : room;
    memcpy(regs->rx + regs->rx_count, data, taken);
    regs->rx_count += (uint32_t)taken;
    return taken;
}

size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len)
{
    uint32_t causes_before = causes_of(&serial->regs);
    size_t taken = fifo_push(&serial->regs, data, len);
    interrupt_update(serial, causes_before);
    return taken;
}

static uint8_t fifo_pop(struct serial_state *regs)
{
    if (regs->rx_count == 0)
        return 0;
    uint8_t byte = regs->rx[0];
    regs->rx_count--;
    memmove(regs->rx, regs->rx + 1, regs->rx_count);
    metric_inc(&metrics.uart.read_count);
    return byte;
}

/* One byte to the sink, now or never: a full pipe must not hold up the vCPU. */
static void output_byte(struct serial *serial, uint8_t byte)
{
    ssize_t done = -1;
    if (serial->limiter.limited && !rl_bucket_spend(&serial->limiter, 1, clock_mono_ns())) {
        metric_inc(&metrics.uart.rate_limiter_dropped_bytes);
        return;
    }
    if (serial->out_fd != FD_NONE) {
        do {
            done = write(serial->out_fd, &byte, 1);
        } while (done < 0 && errno == EINTR);
        if (done < 0 && errno != EAGAIN)
            metric_inc(&metrics.uart.error_count);
    }
    metric_inc(done == 1 ? &metrics.uart.write_count : &metrics.uart.missed_write_count);
}

static void transmit(struct serial *serial, uint8_t byte)
{
    struct serial_state *regs = &serial->regs;
    if ((regs->mcr & MCR_LOOP) == 0)
        output_byte(serial, byte);
    else if (fifo_push(regs, &byte, 1) == 0)
        regs->lsr_errors |= LSR_OE;

    /* The holding register was filled and is empty again: a new event, also when the last one is
     * unread. */
    bool already_told = causes_of(regs) & IER_THRI;
    regs->thre_pending = true;
    if (already_told)
        irq_raise(serial->irq);
}

/* A byte waits for no trigger level, so there is no character timeout. */
static uint8_t iir_read(struct serial_state *regs)
{
    uint32_t causes = causes_of(regs);
    uint8_t id = IIR_NONE;
    if ((causes & IER_RLSI) != 0) {
        id = IIR_RLSI;
    } else if ((causes & IER_RDI) != 0) {
        id = IIR_RDI;
    } else if ((causes & IER_THRI) != 0) {
        id = IIR_THRI;
        regs->thre_pending = false;
    }
    if ((regs->fcr & FCR_ENABLE) != 0)
        id |= IIR_FIFO_ON;
    return id;
}

static uint8_t lsr_read(struct serial *serial)
{
    struct serial_state *regs = &serial->regs;
    uint8_t lsr = LSR_THRE | LSR_TEMT | regs->lsr_errors;
    if (regs->rx_count > 0)
        lsr |= LSR_DR;
    regs->lsr_errors = 0;
    if (serial->poll_reads_count < POLL_READS_COUNT)
        serial->poll_reads_count++;
    return lsr;
}

/* Static modem lines; in loopback the modem outputs come back as inputs. */
static uint8_t msr_read(const struct serial_state *regs)
{
    if ((regs->mcr & MCR_LOOP) == 0)
        return MSR_DSR | MSR_CTS | MSR_DCD;
    uint8_t msr = 0;
    if ((regs->mcr & MCR_RTS) != 0)
        msr |= MSR_CTS;
    if ((regs->mcr & MCR_DTR) != 0)
        msr |= MSR_DSR;
    if ((regs->mcr & MCR_OUT1) != 0)
        msr |= MSR_RI;
    if ((regs->mcr & MCR_OUT2) != 0)
        msr |= MSR_DCD;
    return msr;
}

static uint8_t reg_read(struct serial *serial, uint64_t reg)
{
    struct serial_state *regs = &serial->regs;
    bool dlab = (regs->lcr & LCR_DLAB) != 0;
    switch (reg) {
    case REG_DATA:
        return dlab ? regs->dll : fifo_pop(regs);
    case REG_IER:
        return dlab ? regs->dlm : regs->ier;
    case REG_IIR_FCR:
        return iir_read(regs);
    case REG_LCR:
        return regs->lcr;
    case REG_MCR:
        return regs->mcr;
    case REG_LSR:
        return lsr_read(serial);
    case REG_MSR:
        return msr_read(regs);
    case REG_SCR:
        return regs->scr;
    default:
        return 0;
    }
}

static void ier_write(struct serial_state *regs, uint8_t value)
{
    value &= IER_MASK;
    /* Enabling the transmit interrupt while the transmitter is empty, as it always is, fires it. */
    if ((value & IER_THRI) != 0 && (regs->ier & IER_THRI) == 0)
        regs->thre_pending = true;
    regs->ier = value;
}

static void fcr_write(struct serial_state *regs, uint8_t value)
{
    if ((value & FCR_CLEAR_RX) != 0)
        regs->rx_count = 0;
    regs->fcr = value & FCR_KEEP_MASK;
}

static void reg_write(struct serial *serial, uint64_t reg, uint8_t value)
{
    struct serial_state *regs = &serial->regs;
    bool dlab = (regs->lcr & LCR_DLAB) != 0;
    switch (reg) {
    case REG_DATA:
        if (dlab)
            regs->dll = value;
        else
            transmit(serial, value);
        break;
    case REG_IER:
        if (dlab)
            regs->dlm = value;
        else
            ier_write(regs, value);
        break;
    case REG_IIR_FCR:
        fcr_write(regs, value);
        break;
    case REG_LCR:
        regs->lcr = value;
        break;
    case REG_MCR:
        regs->mcr = value & MCR_MASK;
        break;
    case REG_SCR:
        regs->scr = value;
        break;
    default: /* LSR and MSR are read-only */
        metric_inc(&metrics.uart.missed_write_count);
        break;
    }
}

static void on_bus_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
    struct serial *serial = ctx;
    memset(data, 0, len);
    if (len != 1 || off >= SERIAL_PORT_SIZE) {
        metric_inc(&metrics.uart.missed_read_count);
        log_guest_warn("serial: ignored a %u-byte read at offset %llu; one byte only", len,
                       (unsigned long long)off);
        return;
    }
    pthread_mutex_lock(&serial->lock);
    uint32_t causes_before = causes_of(&serial->regs);
    uint8_t value = reg_read(serial, off);
    if (off != REG_LSR)
        serial->poll_reads_count = 0;
    interrupt_update(serial, causes_before);
    serial_input_unpark(serial);
    pthread_mutex_unlock(&serial->lock);
    memcpy(data, &value, 1);
}

static void on_bus_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
    struct serial *serial = ctx;
    if (len != 1 || off >= SERIAL_PORT_SIZE) {
        metric_inc(&metrics.uart.missed_write_count);
        log_guest_warn("serial: ignored a %u-byte write at offset %llu; one byte only", len,
                       (unsigned long long)off);
        return;
    }
    uint8_t value;
    memcpy(&value, data, 1);
    pthread_mutex_lock(&serial->lock);
    uint32_t causes_before = causes_of(&serial->regs);
    reg_write(serial, off, value);
    serial->poll_reads_count = 0;
    interrupt_update(serial, causes_before);
    serial_input_unpark(serial);
    pthread_mutex_unlock(&serial->lock);
}

const struct bus_ops serial_bus_ops = {
    .read = on_bus_read,
    .write = on_bus_write,
};

int serial_create(const struct irq_line *irq, int out_fd, struct serial **ret_serial,
                  struct err *err)
{
    struct serial *serial = calloc(1, sizeof(*serial));
    if (serial == NULL)
        return err_set(err, -ENOMEM, "no memory for the serial port");
    int code = pthread_mutex_init(&serial->lock, NULL);
    if (code != 0) {
        free(serial);
        return err_set(err, -code, "the serial port's lock cannot be made: %s", err_name(code));
    }
    serial->irq = irq;
    serial->out_fd = out_fd;
    serial->input.fd = FD_NONE;
    serial->regs.lcr = LCR_8N1;
    serial->regs.mcr = MCR_OUT2;
    serial->regs.dll = DIVISOR_9600_BAUD;
    *ret_serial = serial;
    return 0;
}

void serial_free(struct serial *serial)
{
    if (serial == NULL)
        return;
    serial_detach_input(serial);
    pthread_mutex_destroy(&serial->lock);
    free(serial);
}

void serial_limit_output(struct serial *serial, const struct rl_bucket_config *config)
{
    pthread_mutex_lock(&serial->lock);
    rl_bucket_start(&serial->limiter, config, clock_mono_ns());
    pthread_mutex_unlock(&serial->lock);
}

void serial_save(struct serial *serial, struct serial_state *ret_state)
{
    pthread_mutex_lock(&serial->lock);
    *ret_state = serial->regs;
    pthread_mutex_unlock(&serial->lock);
}

int serial_restore(struct serial *serial, const struct serial_state *state, struct err *err)
{
    if (state->rx_count > SERIAL_FIFO_SIZE || (state->ier & ~IER_MASK) != 0 ||
        (state->mcr & ~MCR_MASK) != 0 || (state->fcr & ~FCR_KEEP_MASK) != 0 ||
        (state->lsr_errors & ~LSR_OE) != 0)
        return err_set(err, -EINVAL, "the serial port's registers have values that none has");
    pthread_mutex_lock(&serial->lock);
    serial->regs = *state;
    pthread_mutex_unlock(&serial->lock);
    return 0;
}

void serial_renotify(struct serial *serial)
{
    pthread_mutex_lock(&serial->lock);
    if (causes_of(&serial->regs) != 0)
        irq_raise(serial->irq);
    pthread_mutex_unlock(&serial->lock);
}

size_t serial_feed(struct serial *serial, const uint8_t *data, size_t len)
{
    size_t taken = 0;
    pthread_mutex_lock(&serial->lock);
    /* In loopback the receiver is cut off from the line. */
    if ((serial->regs.mcr & MCR_LOOP) == 0)
        taken = serial_receive(serial, data, len);
    pthread_mutex_unlock(&serial->lock);
    return taken;
}
