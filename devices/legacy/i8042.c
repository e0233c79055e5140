/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller (devices.md 6): the reset command, Ctrl+Alt+Del, and answers quick enough
 * that a driver's probe never waits for a timeout. vCPU threads and vmm, under the device's lock.
 *
 * The output buffer is a short queue. Keyboard bytes raise the interrupt, one edge when a key is
 * pushed and one for each byte that a read brings to the front; answers of the controller itself
 * are polled for, so they go to the head of the queue, silently. Keyboard commands with a parameter
 * need no state: command and parameter are each acknowledged.
 */
#include "devices/legacy/i8042.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

/* Offsets in the port range; 0x61 to 0x63 belong to other devices of a PC. */
#define OFF_DATA 0u
#define OFF_COMMAND (I8042_COMMAND_PORT - I8042_PORT_BASE)

enum i8042_command {
    CMD_READ_CONTROL = 0x20,
    CMD_WRITE_CONTROL = 0x60,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KEYBOARD_TEST = 0xab,
    CMD_KEYBOARD_DISABLE = 0xad,
    CMD_KEYBOARD_ENABLE = 0xae,
    CMD_READ_OUTPUT_PORT = 0xd0,
    CMD_WRITE_OUTPUT_PORT = 0xd1,
    CMD_RESET = 0xfe,
};

#define ANSWER_SELF_TEST_OK 0x55u
#define ANSWER_KEYBOARD_OK 0x00u
#define ANSWER_AUX_CLOCK_STUCK 0x01u /* no second port, said at once: nobody waits */

#define KEYBOARD_IDENTIFY 0xf2u
#define KEYBOARD_RESET 0xffu
#define KEYBOARD_ACK 0xfau
#define KEYBOARD_RESET_OK 0xaau
#define KEYBOARD_ID_FIRST 0xabu
#define KEYBOARD_ID_SECOND 0x83u

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_UNLOCKED 0x10u

#define CONTROL_KEYBOARD_INT 0x01u
#define CONTROL_SYSTEM_FLAG 0x04u
#define CONTROL_KEYBOARD_OFF 0x10u

#define OUTPUT_PORT_RUNNING 0x01u /* 0 would hold the CPU in reset */
#define OUTPUT_PORT_A20 0x02u

/* Make codes of scan code set 2; the high byte, if any, goes first. */
#define KEY_CTRL 0x0014u
#define KEY_ALT 0x0011u
#define KEY_DEL 0xe071u
#define CTRL_ALT_DEL_BYTES_COUNT 4u

#define QUEUE_SIZE 16u

struct i8042 {
    pthread_mutex_t lock; /* guards all below; a leaf lock */
    const struct irq_line *irq;
    void (*on_reset)(void *ctx);
    void *ctx;
    uint8_t control;
    uint8_t output_port;
    uint8_t pending_command; /* the command that takes the next data byte; 0: none */
    uint32_t queue_count;
    uint8_t queue[QUEUE_SIZE]; /* the next byte to read is the first */
};

static bool queue_push(struct i8042 *i8042, uint8_t byte)
{
    if (i8042->queue_count >= QUEUE_SIZE) {
        metric_inc(&metrics.i8042.error_count);
        return false;
    }
    i8042->queue[i8042->queue_count++] = byte;
    return true;
}

/* Puts an answer of the controller before whatever the keyboard has queued. */
static void answer(struct i8042 *i8042, uint8_t byte)
{
    if (!queue_push(i8042, byte))
        return;
    memmove(i8042->queue + 1, i8042->queue, i8042->queue_count - 1);
    i8042->queue[0] = byte;
}

static void keyboard_interrupt(const struct i8042 *i8042)
{
    if ((i8042->control & CONTROL_KEYBOARD_INT) != 0)
        irq_raise(i8042->irq);
}

static uint8_t data_read(struct i8042 *i8042)
{
    if (i8042->queue_count == 0) {
        metric_inc(&metrics.i8042.missed_read_count);
        return 0;
    }
    uint8_t byte = i8042->queue[0];
    i8042->queue_count--;
    memmove(i8042->queue, i8042->queue + 1, i8042->queue_count);
    metric_inc(&metrics.i8042.read_count);
    if (i8042->queue_count > 0)
        keyboard_interrupt(i8042);
    return byte;
}

static uint8_t status_read(const struct i8042 *i8042)
{
    metric_inc(&metrics.i8042.read_count);
    return i8042->queue_count > 0 ? STATUS_UNLOCKED | STATUS_OUTPUT_FULL : STATUS_UNLOCKED;
}

/* A byte for the keyboard itself. */
static void keyboard_write(struct i8042 *i8042, uint8_t value)
{
    bool acked = queue_push(i8042, KEYBOARD_ACK);
    if (acked && value == KEYBOARD_RESET)
        (void)queue_push(i8042, KEYBOARD_RESET_OK); /* a full queue is counted */
    if (acked && value == KEYBOARD_IDENTIFY && queue_push(i8042, KEYBOARD_ID_FIRST))
        (void)queue_push(i8042, KEYBOARD_ID_SECOND); /* a full queue is counted */
    keyboard_interrupt(i8042);
}

static void data_write(struct i8042 *i8042, uint8_t value)
{
    uint8_t command = i8042->pending_command;
    i8042->pending_command = 0;
    if (command == CMD_WRITE_CONTROL)
        i8042->control = value;
    else if (command == CMD_WRITE_OUTPUT_PORT)
        i8042->output_port = value;
    else
        keyboard_write(i8042, value);
    metric_inc(&metrics.i8042.write_count);
}

/* Runs a command; true when it asks for the reset. */
static bool command_write(struct i8042 *i8042, uint8_t value)
{
    i8042->pending_command = 0;
    switch (value) {
    case CMD_READ_CONTROL:
        answer(i8042, i8042->control);
        break;
    case CMD_READ_OUTPUT_PORT:
        answer(i8042, i8042->output_port);
        break;
    case CMD_WRITE_CONTROL:
    case CMD_WRITE_OUTPUT_PORT:
        i8042->pending_command = value;
        break;
    case CMD_SELF_TEST:
        answer(i8042, ANSWER_SELF_TEST_OK);
        break;
    case CMD_KEYBOARD_TEST:
        answer(i8042, ANSWER_KEYBOARD_OK);
        break;
    case CMD_AUX_TEST:
        answer(i8042, ANSWER_AUX_CLOCK_STUCK);
        break;
    case CMD_KEYBOARD_DISABLE:
        i8042->control |= CONTROL_KEYBOARD_OFF;
        break;
    case CMD_KEYBOARD_ENABLE:
        i8042->control &= (uint8_t)~CONTROL_KEYBOARD_OFF;
        break;
    case CMD_RESET:
        metric_inc(&metrics.i8042.reset_count);
        metric_inc(&metrics.i8042.write_count);
        return true;
    default:
        metric_inc(&metrics.i8042.missed_write_count);
        return false;
    }
    metric_inc(&metrics.i8042.write_count);
    return false;
}

static void on_bus_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
    struct i8042 *i8042 = ctx;
    memset(data, 0, len);
    if (len != 1 || (off != OFF_DATA && off != OFF_COMMAND)) {
        metric_inc(&metrics.i8042.missed_read_count);
        if (len != 1)
            log_guest_warn("i8042: ignored a %u-byte read; its ports are one byte wide", len);
        return;
    }
    pthread_mutex_lock(&i8042->lock);
    uint8_t value = off == OFF_DATA ? data_read(i8042) : status_read(i8042);
    pthread_mutex_unlock(&i8042->lock);
    memcpy(data, &value, 1);
}

static void on_bus_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
    struct i8042 *i8042 = ctx;
    if (len != 1 || (off != OFF_DATA && off != OFF_COMMAND)) {
        metric_inc(&metrics.i8042.missed_write_count);
        if (len != 1)
            log_guest_warn("i8042: ignored a %u-byte write; its ports are one byte wide", len);
        return;
    }
    uint8_t value;
    memcpy(&value, data, 1);
    bool reset = false;
    pthread_mutex_lock(&i8042->lock);
    if (off == OFF_DATA)
        data_write(i8042, value);
    else
        reset = command_write(i8042, value);
    pthread_mutex_unlock(&i8042->lock);
    if (reset)
        i8042->on_reset(i8042->ctx);
}

const struct bus_ops i8042_bus_ops = {
    .read = on_bus_read,
    .write = on_bus_write,
};

int i8042_create(const struct irq_line *irq, void (*on_reset)(void *ctx), void *ctx,
                 struct i8042 **ret_i8042, struct err *err)
{
    struct i8042 *i8042 = calloc(1, sizeof(*i8042));
    if (i8042 == NULL)
        return err_set(err, -ENOMEM, "no memory for the keyboard controller");
    int code = pthread_mutex_init(&i8042->lock, NULL);
    if (code != 0) {
        free(i8042);
        return err_set(err, -code, "the keyboard controller's lock cannot be made: %s",
                       err_name(code));
    }
    i8042->irq = irq;
    i8042->on_reset = on_reset;
    i8042->ctx = ctx;
    i8042->control = CONTROL_KEYBOARD_INT | CONTROL_SYSTEM_FLAG;
    i8042->output_port = OUTPUT_PORT_RUNNING | OUTPUT_PORT_A20;
    *ret_i8042 = i8042;
    return 0;
}

void i8042_free(struct i8042 *i8042)
{
    if (i8042 == NULL)
        return;
    pthread_mutex_destroy(&i8042->lock);
    free(i8042);
}

static void press_key(struct i8042 *i8042, uint16_t make_code)
{
    if ((make_code >> 8) != 0)
        (void)queue_push(i8042, (uint8_t)(make_code >> 8)); /* the caller made sure of room */
    (void)queue_push(i8042, (uint8_t)make_code);            /* the caller made sure of room */
    keyboard_interrupt(i8042);
}

int i8042_ctrl_alt_del(struct i8042 *i8042, struct err *err)
{
    pthread_mutex_lock(&i8042->lock);
    bool room = QUEUE_SIZE - i8042->queue_count >= CTRL_ALT_DEL_BYTES_COUNT;
    if (room) {
        press_key(i8042, KEY_CTRL);
        press_key(i8042, KEY_ALT);
        press_key(i8042, KEY_DEL);
    }
    pthread_mutex_unlock(&i8042->lock);
    if (!room)
        return err_set(err, -ENOSPC, "i8042 internal buffer full.");
    return 0;
}
