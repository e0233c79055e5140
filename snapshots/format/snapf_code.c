/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values to bytes and back. Single thread.
 */
#include "snapshots/format/snapf_code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

#define OUT_STEP_SIZE 16384u

void snapf_code_write(struct snapf_code *ret_code)
{
    *ret_code = (struct snapf_code){.writes = true};
}

void snapf_code_read(struct snapf_code *ret_code, const void *bytes, size_t len, uint32_t version)
{
    *ret_code = (struct snapf_code){.in = bytes, .in_len = len, .version = version};
}

int snapf_code_written(const struct snapf_code *code, struct err *err)
{
    if (code->full)
        return err_set(err, -ENOMEM, "no memory for it, or it is larger than %u bytes",
                       SNAPF_FILE_MAX_SIZE);
    if (code->bad)
        return err_set(err, -EINVAL,
                       "the VM has a value that no snapshot may have; please report "
                       "this");
    return 0;
}

void snapf_code_done(struct snapf_code *code)
{
    free(code->out);
    *code = (struct snapf_code){0};
}

static bool reserve(struct snapf_code *code, size_t len)
{
    size_t size = code->off + len;
    if (code->full || len > SNAPF_FILE_MAX_SIZE || size > SNAPF_FILE_MAX_SIZE)
        return false;
    if (size <= code->out_size)
        return true;
    size += size / 2 + OUT_STEP_SIZE;
    uint8_t *out = realloc(code->out, size);
    if (!out)
        return false;
    code->out = out;
    code->out_size = size;
    return true;
}

const uint8_t *snapf_take(struct snapf_code *code, size_t len)
{
    if (code->bad || len > code->in_len - code->off) {
        code->bad = true;
        return NULL;
    }
    const uint8_t *bytes = code->in + code->off;
    code->off += len;
    return bytes;
}

void snapf_bytes(struct snapf_code *code, void *bytes, size_t len)
{
    if (!code->writes) {
        const uint8_t *from = snapf_take(code, len);
        if (from)
            memcpy(bytes, from, len);
        else
            memset(bytes, 0, len);
        return;
    }
    if (!reserve(code, len)) {
        code->full = true;
        return;
    }
    if (len > 0)
        memcpy(code->out + code->off, bytes, len);
    code->off += len;
}

void snapf_u8(struct snapf_code *code, uint8_t *value)
{
    snapf_bytes(code, value, sizeof(*value));
}

void snapf_u16(struct snapf_code *code, uint16_t *value)
{
    le16_t wire = le16_put(*value);
    snapf_bytes(code, &wire, sizeof(wire));
    *value = le16_get(wire);
}

void snapf_u32(struct snapf_code *code, uint32_t *value)
{
    le32_t wire = le32_put(*value);
    snapf_bytes(code, &wire, sizeof(wire));
    *value = le32_get(wire);
}

void snapf_u64(struct snapf_code *code, uint64_t *value)
{
    le64_t wire = le64_put(*value);
    snapf_bytes(code, &wire, sizeof(wire));
    *value = le64_get(wire);
}

void snapf_bool(struct snapf_code *code, bool *value)
{
    uint8_t byte = *value;
    snapf_u8(code, &byte);
    code->bad |= byte > 1;
    *value = byte == 1;
}

void snapf_u32_max(struct snapf_code *code, uint32_t *value, uint32_t max)
{
    snapf_u32(code, value);
    if (*value <= max)
        return;
    code->bad = true;
    if (!code->writes)
        *value = 0;
}

void snapf_bytes_trimmed(struct snapf_code *code, void *bytes, size_t len)
{
    uint8_t *all = bytes;
    uint32_t kept = 0;
    for (size_t i = 0; code->writes && i < len; i++)
        if (all[i] != 0)
            kept = (uint32_t)i + 1;
    snapf_u32_max(code, &kept, (uint32_t)len);
    snapf_bytes(code, all, kept);
    if (!code->writes)
        memset(all + kept, 0, len - kept);
}

static char *text_read(struct snapf_code *code, uint32_t len)
{
    const uint8_t *bytes = snapf_take(code, len);
    if (!bytes || memchr(bytes, '\0', len)) {
        code->bad = true;
        return NULL;
    }
    char *text = strndup((const char *)bytes, len);
    code->bad |= !text;
    return text;
}

void snapf_text(struct snapf_code *code, char **text)
{
    bool is_there = *text != NULL;
    uint32_t len = code->writes && is_there ? (uint32_t)strnlen(*text, SNAPF_TEXT_MAX_LEN + 1) : 0;
    snapf_bool(code, &is_there);
    if (!code->writes)
        *text = NULL;
    if (!is_there)
        return;
    code->full |= len > SNAPF_TEXT_MAX_LEN;
    snapf_u32_max(code, &len, SNAPF_TEXT_MAX_LEN);
    if (code->writes)
        snapf_bytes(code, *text, len);
    else if (!code->bad)
        *text = text_read(code, len);
}
