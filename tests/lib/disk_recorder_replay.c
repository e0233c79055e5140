/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replaying half: what survives is a prefix of the log, namely the writes before the latest
 * start of a flush that completed. First pass: find its end; second: apply it. Thread: any one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/ck.h"
#include "base/fd.h"
#include "tests/lib/disk_recorder.h"
#include "tests/lib/disk_recorder_int.h"

#define FLUSHES_MAX 256u
#define COPY_SIZE (64u * 1024u)

/* A flush that has started and not completed yet. */
struct open_flush {
    uint64_t id;
    uint64_t covers; /* bytes of log before its start */
};

struct replay {
    const char *log_path;
    int log_fd;
    int image_fd;
    struct open_flush flushes[FLUSHES_MAX];
    uint32_t flushes_count;
    uint64_t durable; /* bytes of log that a completed flush covers */
    uint64_t log_size;
    struct disk_recorder_counts counts;
};

/* Reads the head at `off`. Returns 1, 0 at the end or in a cut record, or -errno. */
static int read_head(const struct replay *replay, uint64_t off, struct record_head *ret_head)
{
    struct record_head head;
    ssize_t n = fd_pread_full(replay->log_fd, &head, sizeof(head), off);
    if (n < 0)
        return (int)n;
    if ((size_t)n < sizeof(head))
        return 0;
    if (head.magic != RECORD_MAGIC || head.kind < RECORD_WRITE || head.kind > RECORD_FLUSH_DONE ||
        head.len > RECORD_LEN_MAX || (head.kind != RECORD_WRITE && head.len))
        return -EBADMSG;
    if (!ck_range(off + sizeof(head), head.len, replay->log_size))
        return 0;
    *ret_head = head;
    return 1;
}

static int flush_started(struct replay *replay, uint64_t id, uint64_t off)
{
    if (replay->flushes_count == FLUSHES_MAX)
        return -ENOBUFS;
    replay->flushes[replay->flushes_count++] = (struct open_flush){.id = id, .covers = off};
    return 0;
}

static int flush_done(struct replay *replay, uint64_t id)
{
    /* From the back: an id is used again after its flush failed. */
    for (uint32_t i = replay->flushes_count; i-- > 0;) {
        if (replay->flushes[i].id != id)
            continue;
        if (replay->flushes[i].covers > replay->durable)
            replay->durable = replay->flushes[i].covers;
        replay->flushes[i] = replay->flushes[--replay->flushes_count];
        replay->counts.flushes++;
        return 0;
    }
    return -EBADMSG;
}

static int find_durable(struct replay *replay)
{
    struct record_head head;
    uint64_t off = 0;
    int rc;
    while ((rc = read_head(replay, off, &head)) == 1) {
        if (head.kind == RECORD_FLUSH_START)
            rc = flush_started(replay, head.off, off);
        else if (head.kind == RECORD_FLUSH_DONE)
            rc = flush_done(replay, head.off);
        if (rc < 0)
            return rc;
        off += sizeof(head) + head.len;
    }
    return rc;
}

static int apply_write(const struct replay *replay, uint64_t from, uint64_t to, uint64_t len,
                       char *buf)
{
    while (len) {
        size_t part = len < COPY_SIZE ? len : COPY_SIZE;
        ssize_t n = fd_pread_full(replay->log_fd, buf, part, from);
        if (n < 0)
            return (int)n;
        if ((size_t)n < part)
            return -EBADMSG;
        if (lseek(replay->image_fd, (off_t)to, SEEK_SET) < 0)
            return -errno;
        int rc = fd_write_full(replay->image_fd, buf, part);
        if (rc < 0)
            return rc;
        from += part;
        to += part;
        len -= part;
    }
    return 0;
}

static int apply_durable(struct replay *replay)
{
    char *buf = malloc(COPY_SIZE);
    if (!buf)
        return -ENOMEM;
    struct record_head head;
    uint64_t off = 0;
    int rc;
    while ((rc = read_head(replay, off, &head)) == 1) {
        uint64_t data_off = off + sizeof(head);
        if (head.kind == RECORD_WRITE && off < replay->durable) {
            rc = apply_write(replay, data_off, head.off, head.len, buf);
            if (rc < 0)
                break;
            replay->counts.writes_kept++;
            replay->counts.bytes_kept += head.len;
        } else if (head.kind == RECORD_WRITE) {
            replay->counts.writes_dropped++;
        }
        off = data_off + head.len;
    }
    free(buf);
    return rc;
}

static int replay_open(struct replay *replay, const char *image_path, struct err *err)
{
    replay->log_fd = open(replay->log_path, O_RDONLY | O_CLOEXEC);
    if (replay->log_fd < 0)
        return err_set(err, -errno, "%s %s", ERR_OS(errno), replay->log_path);
    off_t size = lseek(replay->log_fd, 0, SEEK_END);
    if (size < 0)
        return err_set(err, -errno, "%s %s", ERR_OS(errno), replay->log_path);
    replay->log_size = (uint64_t)size;
    replay->image_fd = open(image_path, O_WRONLY | O_CLOEXEC);
    if (replay->image_fd < 0)
        return err_set(err, -errno, "%s %s", ERR_OS(errno), image_path);
    return 0;
}

int disk_recorder_replay(const char *log_path, const char *image_path,
                         struct disk_recorder_counts *ret_counts, struct err *err)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    if (!replay)
        return err_set(err, -ENOMEM, "%s", ERR_OS(ENOMEM));
    replay->log_path = log_path;
    replay->log_fd = FD_NONE;
    replay->image_fd = FD_NONE;

    int rc = replay_open(replay, image_path, err);
    if (rc == 0) {
        rc = find_durable(replay);
        if (rc == 0)
            rc = apply_durable(replay);
        if (rc < 0)
            rc = err_set(err, rc, "Cannot replay %s to %s: %s, %s", log_path, image_path,
                         err_name(rc), ERR_OS(rc));
    }
    if (rc == 0)
        *ret_counts = replay->counts;
    fd_close(&replay->image_fd);
    fd_close(&replay->log_fd);
    free(replay);
    return rc;
}
