/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a driver that reads and writes any register of a virtio-mmio device of three queues,
 * at any offset, width and time, mostly along the legal path. The device pops what it can and gives
 * it back. The status machine may only go forward, and nothing is served outside of DRIVER_OK.
 * Input: operations of one byte and their choices. Single thread.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "base/log.h"
#include "devices/virtio/vmmio.h"
#include "tests/fuzz/fuzz_bytes.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/lib/vq_driver.h"

#define MEMORY_BASE 0x10000ull
#define MEMORY_SIZE 0x14000ull
#define OPS_MAX 600u
#define POPS_MAX 300u
#define STATUS_ALL 0xffu
#define QUEUES_COUNT 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_vmmio {
    struct virtio_dev dev;
    struct gmem *gmem;
    struct loop *loop;
    struct irq_line irq;
    struct vmmio *vmmio;
    struct vq_driver driver;
    struct fuzz_bytes in;
    struct vq_chain chain;
    bool activate_fails;
    bool is_active;
};

static struct fuzz_vmmio *world(void)
{
    static struct fuzz_vmmio fuzz;
    return &fuzz;
}

static int on_activate(struct virtio_dev *dev)
{
    struct fuzz_vmmio *fuzz = world();
    FUZZ_CHECK(dev->gmem && !fuzz->is_active);
    if (fuzz->activate_fails)
        return -ENODEV;
    fuzz->is_active = true;
    return 0;
}

static void on_reset(struct virtio_dev *dev)
{
    FUZZ_CHECK(dev->gmem);
    world()->is_active = false;
}

/* Gives every chain back with its own length. */
static void on_queue(struct virtio_dev *dev, uint32_t idx)
{
    struct fuzz_vmmio *fuzz = world();
    struct vq *vq = &dev->queues[idx];
    FUZZ_CHECK(idx < QUEUES_COUNT && fuzz->is_active && !dev->broken);
    for (uint32_t i = 0; i < POPS_MAX; i++) {
        int rc = vq_pop(vq, &fuzz->chain);
        if (rc == 0)
            break;
        if (rc < 0) {
            virtio_mark_broken(dev, "fuzzed queue", rc);
            return;
        }
        FUZZ_CHECK(fuzz->chain.bufs_count <= vq->setup.size);
        FUZZ_CHECK(fuzz->chain.readable_count <= fuzz->chain.bufs_count);
        FUZZ_CHECK(vq_in_flight_count(vq) == 1);
        vq_push_used(vq, fuzz->chain.head, (uint32_t)fuzz->chain.writable_len);
    }
    virtio_queue_flush(dev, idx);
}

static const struct virtio_dev_ops dev_ops = {on_activate, on_reset, on_queue};

static uint32_t reg_read(struct fuzz_vmmio *fuzz, uint32_t off)
{
    le32_t value = {0};
    vmmio_bus_ops.read(fuzz->vmmio, off, &value, sizeof(value));
    return le32_get(value);
}

static void reg_write(struct fuzz_vmmio *fuzz, uint32_t off, uint32_t value)
{
    le32_t wire = le32_put(value);
    vmmio_bus_ops.write(fuzz->vmmio, off, &wire, sizeof(wire));
}

/* The status only gains bits, in the legal order, unless a reset took all. */
static void status_write_checked(struct fuzz_vmmio *fuzz, uint32_t value)
{
    static const uint32_t path[] = {0, 1, 3, 11, 15};
    uint32_t sticky = VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET;
    uint32_t was = reg_read(fuzz, VIRTIO_MMIO_STATUS);
    reg_write(fuzz, VIRTIO_MMIO_STATUS, value);
    uint32_t now = reg_read(fuzz, VIRTIO_MMIO_STATUS);
    FUZZ_CHECK((now & was) == was || (value == 0 && now == 0));
    bool on_path = false;
    for (uint32_t i = 0; i < ARRAY_LEN(path); i++)
        on_path |= (now & ~sticky) == path[i];
    FUZZ_CHECK(on_path);
    FUZZ_CHECK(value != 0 || (!fuzz->is_active && !fuzz->dev.gmem && fuzz->dev.acked == 0));
}

static void queue_setup(struct fuzz_vmmio *fuzz, uint32_t idx, uint16_t size, uint64_t shift)
{
    const struct {
        uint32_t off;
        uint64_t value;
    } writes[] = {
        {VIRTIO_MMIO_QUEUE_SEL, idx},
        {VIRTIO_MMIO_QUEUE_NUM, size},
        {VIRTIO_MMIO_QUEUE_DESC_LOW, VQD_DESC + shift},
        {VIRTIO_MMIO_QUEUE_DESC_HIGH, 0},
        {VIRTIO_MMIO_QUEUE_AVAIL_LOW, VQD_AVAIL + shift},
        {VIRTIO_MMIO_QUEUE_USED_LOW, VQD_USED + shift},
        {VIRTIO_MMIO_QUEUE_READY, 1},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(writes); i++)
        reg_write(fuzz, writes[i].off, (uint32_t)writes[i].value);
}

/* The legal way to DRIVER_OK, cut off after some steps. */
static void op_bring_up(struct fuzz_vmmio *fuzz)
{
    uint32_t steps = fuzz_pick(&fuzz->in, 8);
    uint16_t size = (uint16_t)(1u << fuzz_pick(&fuzz->in, 10));
    uint64_t shift = fuzz_u16(&fuzz->in);
    fuzz->activate_fails = shift & 1;
    if (steps > 0)
        status_write_checked(fuzz, 1);
    if (steps > 1)
        status_write_checked(fuzz, 3);
    for (uint32_t word = 0; word < 2 && steps > 2; word++) {
        reg_write(fuzz, VIRTIO_MMIO_DEVICE_FEATURES_SEL, word);
        reg_write(fuzz, VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
        reg_write(fuzz, VIRTIO_MMIO_DRIVER_FEATURES, reg_read(fuzz, VIRTIO_MMIO_DEVICE_FEATURES));
    }
    if (steps > 3)
        status_write_checked(fuzz, 11);
    for (uint32_t idx = 0; idx < QUEUES_COUNT && steps > 4; idx++)
        queue_setup(fuzz, idx, size, (shift & ~1ull) * (steps == 5));
    vqd_init(&fuzz->driver, fuzz->gmem, size <= VQ_SIZE_MAX ? size : VQ_SIZE_MAX);
    if (steps > 5)
        status_write_checked(fuzz, 15);
}

static void op_write(struct fuzz_vmmio *fuzz)
{
    uint32_t off = fuzz_u8(&fuzz->in) * 4u;
    uint32_t value = fuzz_u32(&fuzz->in);
    if (off == VIRTIO_MMIO_STATUS)
        status_write_checked(fuzz, value & STATUS_ALL);
    else
        reg_write(fuzz, off, value);
}

/* Any width and alignment; what was not read is zero, and nothing beside it is touched. */
static void op_odd_access(struct fuzz_vmmio *fuzz)
{
    static const uint32_t lens[] = {1, 2, 4, 8};
    uint32_t off = fuzz_u16(&fuzz->in) % VMMIO_WINDOW_SIZE;
    uint8_t how = fuzz_u8(&fuzz->in);
    uint32_t len = lens[how & 3];
    uint8_t data[9];
    memset(data, 0xa5, sizeof(data));
    if (off + len > VMMIO_WINDOW_SIZE)
        return;
    if (how & 4)
        vmmio_bus_ops.write(fuzz->vmmio, off, data, len);
    else
        vmmio_bus_ops.read(fuzz->vmmio, off, data, len);
    FUZZ_CHECK(data[len] == 0xa5);
}

static void op_offer(struct fuzz_vmmio *fuzz)
{
    uint16_t idx = fuzz_u8(&fuzz->in);
    uint8_t flags = fuzz_u8(&fuzz->in);
    vqd_desc(&fuzz->driver, flags & 0x80 ? VQD_INDIRECT : VQD_DESC, idx,
             VQD_INDIRECT + (flags & 0x70), fuzz_u8(&fuzz->in) * 16u, flags & 7,
             fuzz_u8(&fuzz->in));
    vqd_offer(&fuzz->driver, idx);
}

static void op_notify(struct fuzz_vmmio *fuzz)
{
    reg_write(fuzz, VIRTIO_MMIO_QUEUE_NOTIFY, fuzz_pick(&fuzz->in, 5));
}

static void op_loop(struct fuzz_vmmio *fuzz)
{
    FUZZ_CHECK(loop_turn(fuzz->loop, 0) >= 0);
}

static void op_reset(struct fuzz_vmmio *fuzz)
{
    status_write_checked(fuzz, 0);
}

static void op_ack(struct fuzz_vmmio *fuzz)
{
    reg_write(fuzz, VIRTIO_MMIO_INTERRUPT_ACK, reg_read(fuzz, VIRTIO_MMIO_INTERRUPT_STATUS));
}

/* What must hold between any two accesses. */
static void check(struct fuzz_vmmio *fuzz)
{
    const struct virtio_dev *dev = &fuzz->dev;
    uint32_t status = reg_read(fuzz, VIRTIO_MMIO_STATUS);
    FUZZ_CHECK(!dev->active || (status & VIRTIO_CONFIG_S_DRIVER_OK));
    FUZZ_CHECK(dev->broken == !!(status & VIRTIO_CONFIG_S_NEEDS_RESET));
    FUZZ_CHECK((dev->acked & ~dev->offered) == 0);
    FUZZ_CHECK(dev->active == fuzz->is_active);
    FUZZ_CHECK(reg_read(fuzz, VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976);
    for (uint32_t i = 0; i < QUEUES_COUNT; i++) {
        FUZZ_CHECK(!dev->active || dev->queues[i].active);
        FUZZ_CHECK(dev->broken || vq_in_flight_count(&dev->queues[i]) == 0);
    }
}

static void world_make(struct fuzz_vmmio *fuzz)
{
    const struct gmem_range range = {gpa(MEMORY_BASE), MEMORY_SIZE};
    struct err err = ERR_INIT;
    struct log_settings settings = log_get();
    settings.level = LOG_LEVEL_OFF;
    log_set(&settings);
    FUZZ_CHECK(gmem_create(&range, 1, GMEM_BACKING_HEAP, true, &fuzz->gmem, &err) == 0);
    FUZZ_CHECK(loop_create(clock_real(), &fuzz->loop, &err) == 0);
    FUZZ_CHECK(irq_line_open(&fuzz->irq) == 0);
}

typedef void (*fuzz_op)(struct fuzz_vmmio *fuzz);

/* By operation byte, modulo; make_corpus.py knows the order. */
static const fuzz_op ops[] = {op_bring_up, op_write, op_odd_access, op_offer,
                              op_notify,   op_loop,  op_reset,      op_ack};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_vmmio *fuzz = world();
    struct err err = ERR_INIT;
    if (!fuzz->gmem)
        world_make(fuzz);
    FUZZ_CHECK(gmem_zero(fuzz->gmem, gpa(MEMORY_BASE), MEMORY_SIZE) == 0);
    vqd_init(&fuzz->driver, fuzz->gmem, 8);
    fuzz->in = (struct fuzz_bytes){data, size};
    fuzz->is_active = false;
    FUZZ_CHECK(virtio_dev_init(&fuzz->dev, &dev_ops, 2, QUEUES_COUNT) == 0);
    memcpy(fuzz->dev.config, "0123456789", 10);
    fuzz->dev.config_size = 10;
    FUZZ_CHECK(vmmio_create(&fuzz->dev, fuzz->gmem, &fuzz->irq, fuzz->loop, &fuzz->vmmio, &err) ==
               0);
    for (uint32_t i = 0; i < OPS_MAX && fuzz->in.left; i++) {
        fuzz_op op = ops[fuzz_pick(&fuzz->in, ARRAY_LEN(ops))];
        op(fuzz);
        check(fuzz);
    }
    vmmio_free(fuzz->vmmio);
    FUZZ_CHECK(!fuzz->is_active && fuzz->dev.gmem == NULL);
    virtio_dev_done(&fuzz->dev);
    return 0;
}
