/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COM1's input, from a source on the loop into the receive FIFO (devices.md 5). vmm thread, but for
 * serial_input_unpark.
 *
 * Input is read only while the guest listens: receive interrupts enabled, or a row of status reads
 * that can only be a poll for input. A driver that probes the port and flushes it therefore loses
 * nothing of what was typed or piped before. While the guest does not listen or the FIFO is full,
 * the input is parked: its source is not on the loop at all, because a hung-up pipe would report
 * itself for ever. Only the vmm thread touches the loop's sources; a vCPU thread that finds room
 * clears `input_parked` and posts `resume`, both under the lock, so a wake-up is never lost; one
 * too many parks again.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/legacy/serial_int.h"

/* Input goes on when the FIFO has drained to this. */
#define RESUME_AT_COUNT (SERIAL_FIFO_SIZE / 2)

void serial_input_unpark(struct serial *serial)
{
    if (!serial->input_parked || serial->regs.rx_count > RESUME_AT_COUNT ||
        !serial_guest_listens(serial))
        return;
    serial->input_parked = false;
    loop_post(serial->loop, &serial->resume);
}

static void input_lost(struct serial *serial)
{
    serial_detach_input(serial);
    log_warn("Detached the serial input due to peer close/error.");
}

static void on_input(struct loop_src *src, uint32_t revents)
{
    struct serial *serial = src->ctx;
    uint8_t data[SERIAL_FIFO_SIZE];
    (void)revents; /* whatever it is, read() tells */

    pthread_mutex_lock(&serial->lock);
    size_t room = SERIAL_FIFO_SIZE - serial->regs.rx_count;
    if (room == 0 || !serial_guest_listens(serial)) {
        serial->input_parked = true;
        pthread_mutex_unlock(&serial->lock);
        loop_remove(serial->loop, src);
        return;
    }
    ssize_t got = read(src->fd, data, room);
    int code = got < 0 ? -errno : 0;
    if (got > 0)
        (void)serial_receive(serial, data, (size_t)got); /* room was counted above */
    pthread_mutex_unlock(&serial->lock);

    if (got == 0 || (got < 0 && code != -EAGAIN && code != -EINTR))
        input_lost(serial);
}

static void on_resume(struct loop_post *post)
{
    struct serial *serial = post->ctx;
    if (serial->input.added)
        return;
    serial->input.events = serial->input_paused ? 0 : EPOLLIN;
    if (loop_add(serial->loop, &serial->input) < 0)
        input_lost(serial);
}

int serial_attach_input(struct serial *serial, struct loop *loop, int in_fd, struct err *err)
{
    if (serial->loop != NULL)
        return err_set(err, -EBUSY, "the serial port has an input already");
    serial->input = (struct loop_src){
        .fd = in_fd,
        .events = serial->input_paused ? 0 : EPOLLIN,
        .fn = on_input,
        .ctx = serial,
    };
    serial->resume = (struct loop_post){.fn = on_resume, .ctx = serial};
    serial->loop = loop;
    loop_post_add(loop, &serial->resume);
    int code = loop_add(loop, &serial->input);
    if (code < 0) {
        serial_detach_input(serial);
        return err_set(err, code, "fd %d cannot be watched as serial input: %s", in_fd,
                       err_name(code));
    }
    return 0;
}

void serial_pause_input(struct serial *serial, bool paused)
{
    serial->input_paused = paused;
    if (serial->loop == NULL || !serial->input.added)
        return;
    if (loop_modify(serial->loop, &serial->input, paused ? 0 : EPOLLIN) < 0)
        input_lost(serial);
}

void serial_detach_input(struct serial *serial)
{
    if (serial->loop == NULL)
        return;
    loop_remove(serial->loop, &serial->input);
    pthread_mutex_lock(&serial->lock);
    serial->input_parked = false; /* nobody posts from here on */
    pthread_mutex_unlock(&serial->lock);
    loop_post_remove(serial->loop, &serial->resume);
    serial->input.fd = FD_NONE;
    serial->loop = NULL;
}
