/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueue, device side (virtio 1.2, 2.7). Runs under the owning device's lock, on the
 * thread that serves the queue. The three rings are windows; ring layout: descriptor table 16
 * bytes an entry, avail { flags, idx, ring[], used_event }, used { flags, idx, ring[],
 * avail_event }.
 */
#include "devices/virtio/queue.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

#include "base/ck.h"
#include "base/le.h"

#define RING_FLAGS_OFF 0u
#define RING_IDX_OFF 2u
#define RING_ENTRIES_OFF 4u
#define AVAIL_ENTRY_SIZE 2u
#define USED_ENTRY_SIZE 8u
#define DESC_SIZE 16u
#define DESC_ALIGN 16u
#define AVAIL_ALIGN 2u
#define USED_ALIGN 4u

/* virtio 1.2, 2.7.5. */
struct wire_desc {
    le64_t addr;
    le32_t len;
    le16_t flags;
    le16_t next;
};
static_assert(sizeof(struct wire_desc) == DESC_SIZE, "virtio 1.2, 2.7.5");

struct wire_used {
    le32_t id;
    le32_t len;
};
static_assert(sizeof(struct wire_used) == USED_ENTRY_SIZE, "virtio 1.2, 2.7.8");

void vq_reset(struct vq *vq)
{
    *vq = (struct vq){0};
}

int vq_activate(struct vq *vq, struct gmem *gmem, bool event_idx, bool indirect)
{
    const struct vq_setup *setup = &vq->setup;
    uint64_t size = setup->size;
    if (!setup->ready || size == 0 || size > VQ_SIZE_MAX || (size & (size - 1)))
        return -EINVAL;

    /* Both rings end in one 16-bit event index, negotiated or not (virtio 1.2, 2.7.6, 2.7.8). */
    int rc = gmem_window_open(gmem, gpa(setup->desc), size * DESC_SIZE, DESC_ALIGN, &vq->desc);
    if (rc == 0)
        rc = gmem_window_open(gmem, gpa(setup->avail),
                              RING_ENTRIES_OFF + size * AVAIL_ENTRY_SIZE + 2, AVAIL_ALIGN,
                              &vq->avail);
    if (rc == 0)
        rc = gmem_window_open(gmem, gpa(setup->used), RING_ENTRIES_OFF + size * USED_ENTRY_SIZE + 2,
                              USED_ALIGN, &vq->used);
    if (rc < 0)
        return rc;
    vq->gmem = gmem;
    vq->event_idx = event_idx;
    vq->indirect = indirect;
    vq->active = true;
    return 0;
}

static bool head_test_set(struct vq *vq, uint16_t head, bool value)
{
    uint64_t bit = 1ull << (head % 64);
    uint64_t *word = &vq->in_flight[head / 64];
    bool was = *word & bit;
    *word = value ? *word | bit : *word & ~bit;
    return was;
}

/* Adds one descriptor to the chain: order (readable before writable) and total length are checked
 * here. */
static int chain_add(struct vq_chain *chain, const struct wire_desc *desc, uint16_t flags,
                     uint32_t budget)
{
    bool writable = flags & VRING_DESC_F_WRITE;
    uint32_t len = le32_get(desc->len);

    if (chain->bufs_count >= budget || (!writable && chain->bufs_count > chain->readable_count))
        return -EPROTO;
    uint64_t *sum = writable ? &chain->writable_len : &chain->readable_len;
    *sum += len; /* at most 256 times 2^32: fits 64 bits */
    if (chain->readable_len + chain->writable_len > UINT32_MAX)
        return -EPROTO;
    chain->bufs[chain->bufs_count++] = (struct vq_buf){gpa(le64_get(desc->addr)), len, writable};
    if (!writable)
        chain->readable_count = chain->bufs_count;
    return 0;
}

/* Walks an indirect table: its descriptors must end inside it (virtio 1.2, 2.7.5.3). */
static int walk_indirect(const struct vq *vq, const struct wire_desc *table, struct vq_chain *chain)
{
    uint32_t table_len = le32_get(table->len);
    uint32_t count = table_len / DESC_SIZE;
    uint64_t base = le64_get(table->addr);
    uint32_t budget = vq->setup.size;
    uint32_t idx = 0;

    if (table_len % DESC_SIZE || count == 0 || count > UINT16_MAX + 1u)
        return -EPROTO;
    if (!gmem_contains(vq->gmem, gpa(base), table_len))
        return -EFAULT;
    for (uint32_t step = 0; step < budget; step++) {
        struct wire_desc desc;
        int rc = gmem_read(vq->gmem, gpa(base + (uint64_t)idx * DESC_SIZE), &desc, sizeof(desc));
        if (rc < 0)
            return rc;
        uint16_t flags = le16_get(desc.flags);
        if (flags & VRING_DESC_F_INDIRECT)
            return -EPROTO;
        rc = chain_add(chain, &desc, flags, budget);
        if (rc < 0)
            return rc;
        if (!(flags & VRING_DESC_F_NEXT))
            return 0;
        if (!ck_index(le16_get(desc.next), count, &idx))
            return -EPROTO;
    }
    return -EPROTO; /* longer than the queue, or a loop */
}

static int walk(const struct vq *vq, uint16_t head, struct vq_chain *chain)
{
    uint32_t budget = vq->setup.size;
    uint32_t idx = head;

    for (uint32_t step = 0; step < budget; step++) {
        struct wire_desc desc;
        gmem_window_read(&vq->desc, (uint64_t)idx * DESC_SIZE, &desc, sizeof(desc));
        uint16_t flags = le16_get(desc.flags);
        if (flags & VRING_DESC_F_INDIRECT) {
            if (!vq->indirect || (flags & VRING_DESC_F_NEXT))
                return -EPROTO;
            return walk_indirect(vq, &desc, chain);
        }
        int rc = chain_add(chain, &desc, flags, budget);
        if (rc < 0)
            return rc;
        if (!(flags & VRING_DESC_F_NEXT))
            return 0;
        if (!ck_index(le16_get(desc.next), vq->setup.size, &idx))
            return -EPROTO;
    }
    return -EPROTO; /* longer than the queue, or a loop */
}

/* Looks at the avail index when the last look is used up. Returns 1, 0 or -EPROTO. */
static int avail_look(struct vq *vq)
{
    if (vq->seen_avail != vq->next_avail)
        return 1;
    /* Acquire: pairs with the driver's release of idx after filling entry and descriptors. */
    vq->seen_avail = gmem_window_load_u16_acquire(&vq->avail, RING_IDX_OFF);
    uint16_t ahead = (uint16_t)(vq->seen_avail - vq->next_avail);
    if (ahead > vq->setup.size)
        return -EPROTO;
    return ahead != 0;
}

int vq_pop(struct vq *vq, struct vq_chain *ret_chain)
{
    int rc = avail_look(vq);
    if (rc <= 0)
        return rc;
    uint32_t slot = vq->next_avail & (vq->setup.size - 1u);
    uint32_t head;
    uint16_t raw = gmem_window_load_u16_relaxed(&vq->avail, RING_ENTRIES_OFF +
                                                                (uint64_t)slot * AVAIL_ENTRY_SIZE);
    if (!ck_index(raw, vq->setup.size, &head) || head_test_set(vq, (uint16_t)head, true))
        return -EPROTO;

    ret_chain->head = (uint16_t)head;
    ret_chain->readable_count = 0;
    ret_chain->bufs_count = 0;
    ret_chain->readable_len = 0;
    ret_chain->writable_len = 0;
    rc = walk(vq, (uint16_t)head, ret_chain);
    if (rc < 0)
        return rc;
    vq->next_avail++;
    return 1;
}

void vq_unpop(struct vq *vq, uint16_t head)
{
    bool was = head_test_set(vq, head, false);
    assert(was);
    (void)was; /* only looked at by the assert */
    vq->next_avail--;
}

void vq_push_used(struct vq *vq, uint16_t head, uint32_t len)
{
    bool was = head_test_set(vq, head, false);
    assert(was);
    (void)was; /* only looked at by the assert */
    struct wire_used entry = {le32_put(head), le32_put(len)};
    uint32_t slot = vq->next_used & (vq->setup.size - 1u);
    gmem_window_write(&vq->used, RING_ENTRIES_OFF + (uint64_t)slot * USED_ENTRY_SIZE, &entry,
                      sizeof(entry));
    vq->next_used++;
}

void vq_publish(struct vq *vq)
{
    if (vq->published == vq->next_used)
        return;
    /* Release: entries before index, against the driver's acquire of idx. */
    gmem_window_store_u16_release(&vq->used, RING_IDX_OFF, vq->next_used);
    vq->published = vq->next_used;
}

bool vq_needs_kick(struct vq *vq)
{
    uint16_t old = vq->signalled;
    if (vq->published == old)
        return false;
    vq->signalled = vq->published;
    /* Full fence: our store of used idx before our load of used_event or flags; the driver stores
     * those and then loads used idx. One of the two must see the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!vq->event_idx)
        return !(gmem_window_load_u16_relaxed(&vq->avail, RING_FLAGS_OFF) &
                 VRING_AVAIL_F_NO_INTERRUPT);
    uint16_t event = gmem_window_load_u16_relaxed(
        &vq->avail, RING_ENTRIES_OFF + (uint64_t)vq->setup.size * AVAIL_ENTRY_SIZE);
    return vring_need_event(event, vq->published, old);
}

void vq_notify_off(struct vq *vq)
{
    /* With EVENT_IDX the driver is silent until avail_event moves: nothing to do. */
    if (!vq->event_idx)
        gmem_window_store_u16_release(&vq->used, RING_FLAGS_OFF, VRING_USED_F_NO_NOTIFY);
}

/* Asks for a notification when the driver's avail index goes beyond `idx`. Returns the index as it
 * is after that. */
static uint16_t notify_beyond(struct vq *vq, uint16_t idx)
{
    if (vq->event_idx)
        gmem_window_store_u16_release(
            &vq->used, RING_ENTRIES_OFF + (uint64_t)vq->setup.size * USED_ENTRY_SIZE, idx);
    else
        gmem_window_store_u16_release(&vq->used, RING_FLAGS_OFF, 0);
    /* Full fence: our store of avail_event or flags before our load of avail idx; the driver
     * stores idx and then loads those. One of the two must see the other. */
    atomic_thread_fence(memory_order_seq_cst);
    return gmem_window_load_u16_acquire(&vq->avail, RING_IDX_OFF);
}

bool vq_notify_on(struct vq *vq)
{
    return notify_beyond(vq, vq->next_avail) != vq->next_avail;
}

uint16_t vq_notify_next(struct vq *vq)
{
    return notify_beyond(vq, gmem_window_load_u16_acquire(&vq->avail, RING_IDX_OFF));
}

uint32_t vq_in_flight_count(const struct vq *vq)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(vq->in_flight); i++)
        count += (uint32_t)__builtin_popcountll(vq->in_flight[i]);
    return count;
}

/* One part of a chain as a run of bufs. */
struct part {
    const struct vq_buf *bufs;
    uint32_t count;
    uint64_t len;
};

static struct part chain_part(const struct vq_chain *chain, bool writable)
{
    uint32_t readable = chain->readable_count;
    if (!writable)
        return (struct part){chain->bufs, readable, chain->readable_len};
    return (struct part){chain->bufs + readable, chain->bufs_count - readable, chain->writable_len};
}

/*
 * Steps through [off, off + len) of a part piece by piece. Starts with idx = 0, in_buf = off;
 * returns true with the next piece while some is left. Bounded by the number of bufs.
 */
struct cursor {
    struct part part;
    uint64_t skip;
    uint64_t left;
    uint32_t idx;
};

static bool cursor_next(struct cursor *cursor, gpa_t *ret_addr, uint64_t *ret_len)
{
    while (cursor->left && cursor->idx < cursor->part.count) {
        const struct vq_buf *buf = &cursor->part.bufs[cursor->idx];
        if (cursor->skip >= buf->len) {
            cursor->skip -= buf->len;
            cursor->idx++;
            continue;
        }
        uint64_t piece = buf->len - cursor->skip;
        if (piece > cursor->left)
            piece = cursor->left;
        /* A wrapping address yields a range that no region holds. */
        *ret_addr = gpa(buf->addr.v + cursor->skip);
        if (ret_addr->v < buf->addr.v)
            *ret_addr = gpa(UINT64_MAX);
        *ret_len = piece;
        cursor->left -= piece;
        cursor->skip += piece;
        return true;
    }
    return false;
}

static MUST_CHECK int cursor_open(const struct vq_chain *chain, bool writable, uint64_t off,
                                  uint64_t len, struct cursor *ret_cursor)
{
    struct part part = chain_part(chain, writable);
    if (!ck_range(off, len, part.len))
        return -ENODATA;
    *ret_cursor = (struct cursor){part, off, len, 0};
    return 0;
}

int vq_chain_read(const struct gmem *gmem, const struct vq_chain *chain, uint64_t off, void *dst,
                  size_t len)
{
    struct cursor cursor;
    uint8_t *out = dst;
    gpa_t addr;
    uint64_t piece;
    int rc = cursor_open(chain, false, off, len, &cursor);
    while (rc == 0 && cursor_next(&cursor, &addr, &piece)) {
        rc = gmem_read(gmem, addr, out, piece);
        out += piece;
    }
    return rc;
}

int vq_chain_write(struct gmem *gmem, const struct vq_chain *chain, uint64_t off, const void *src,
                   size_t len)
{
    struct cursor cursor;
    const uint8_t *in = src;
    gpa_t addr;
    uint64_t piece;
    int rc = cursor_open(chain, true, off, len, &cursor);
    while (rc == 0 && cursor_next(&cursor, &addr, &piece)) {
        rc = gmem_write(gmem, addr, in, piece);
        in += piece;
    }
    return rc;
}

int vq_chain_iov(struct gmem *gmem, const struct vq_chain *chain, bool writable, uint64_t off,
                 uint64_t len, struct iovec *ret_iov, uint32_t iov_max)
{
    struct cursor cursor;
    gpa_t addr;
    uint64_t piece;
    uint32_t count = 0;
    int rc = cursor_open(chain, writable, off, len, &cursor);
    if (rc < 0)
        return rc;
    while (cursor_next(&cursor, &addr, &piece)) {
        if (count == iov_max)
            return -E2BIG;
        rc = gmem_iov(gmem, addr, piece, writable, &ret_iov[count]);
        if (rc < 0)
            return rc;
        count++;
    }
    return (int)count;
}
