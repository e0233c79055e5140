/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AML encoder: names, constants, length-carrying blocks and resource descriptors (ACPI 6.5,
 * 20.2 and 6.4). Thread: vmm, before the guest runs.
 */
#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "vmm/arch/x86_64/acpi_int.h"

/* Opcodes and prefixes (ACPI 6.5, 20.3). */
#define OP_ZERO 0x00u
#define OP_ONE 0x01u
#define OP_NAME 0x08u
#define OP_BYTE_CONST 0x0au
#define OP_WORD_CONST 0x0bu
#define OP_DWORD_CONST 0x0cu
#define OP_STRING 0x0du
#define OP_QWORD_CONST 0x0eu
#define OP_SCOPE 0x10u
#define OP_BUFFER 0x11u
#define OP_PACKAGE 0x12u
#define OP_METHOD 0x14u
#define PREFIX_DUAL_NAME 0x2eu
#define PREFIX_MULTI_NAME 0x2fu
#define PREFIX_EXT_OP 0x5bu
#define EXT_OP_DEVICE 0x82u
#define OP_IF 0xa0u

#define SEGMENT_LEN 4u

/* Lengths that fit 1, 2 and 3 bytes of PkgLength, which counts itself. */
#define PKG_LEN_1_MAX 0x3fu
#define PKG_LEN_2_MAX 0xfffu
#define PKG_LEN_3_MAX 0xfffffu

/* Resource descriptor tags. */
#define TAG_IO 0x47u
#define TAG_END 0x79u
#define TAG_MEMORY32_FIXED 0x86u
#define TAG_INTERRUPT 0x89u
#define TAG_QWORD_ADDRESS 0x8au

#define INTERRUPT_CONSUMER 0x01u
#define INTERRUPT_EDGE 0x02u /* active high and exclusive are zero bits */
#define IO_DECODE_16 0x01u
#define MEMORY32_READ_WRITE 0x01u
#define ADDRESS_CONSUMER 0x01u
#define ADDRESS_MIN_MAX_FIXED 0x0cu
#define ADDRESS_MEMORY_CACHEABLE 0x02u /* bit 0 clear: read-only */

void acpi_aml_init(struct acpi_aml *ret_aml, uint8_t *bytes, uint32_t size)
{
    *ret_aml = (struct acpi_aml){.bytes = bytes, .size = size};
}

void acpi_aml_put_bytes(struct acpi_aml *aml, const void *bytes, uint32_t len)
{
    if (len > aml->size - aml->len) {
        aml->full = true;
        return;
    }
    memcpy(aml->bytes + aml->len, bytes, len);
    aml->len += len;
}

void acpi_aml_put_byte(struct acpi_aml *aml, uint8_t byte)
{
    acpi_aml_put_bytes(aml, &byte, 1);
}

static void put_u16(struct acpi_aml *aml, uint16_t value)
{
    le16_t le = le16_put(value);
    acpi_aml_put_bytes(aml, &le, sizeof(le));
}

static void put_u32(struct acpi_aml *aml, uint32_t value)
{
    le32_t le = le32_put(value);
    acpi_aml_put_bytes(aml, &le, sizeof(le));
}

static void put_u64(struct acpi_aml *aml, uint64_t value)
{
    le64_t le = le64_put(value);
    acpi_aml_put_bytes(aml, &le, sizeof(le));
}

/* Moves what stands at `at` and behind by `len` bytes and writes `bytes` into the gap. */
static void insert_bytes(struct acpi_aml *aml, uint32_t at, const uint8_t *bytes, uint32_t len)
{
    if (aml->full || len > aml->size - aml->len) {
        aml->full = true;
        return;
    }
    memmove(aml->bytes + at + len, aml->bytes + at, aml->len - at);
    memcpy(aml->bytes + at, bytes, len);
    aml->len += len;
}

void acpi_aml_put_integer(struct acpi_aml *aml, uint64_t value)
{
    if (value <= 1) {
        acpi_aml_put_byte(aml, value == 0 ? OP_ZERO : OP_ONE);
    } else if (value <= UINT8_MAX) {
        acpi_aml_put_byte(aml, OP_BYTE_CONST);
        acpi_aml_put_byte(aml, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        acpi_aml_put_byte(aml, OP_WORD_CONST);
        put_u16(aml, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        acpi_aml_put_byte(aml, OP_DWORD_CONST);
        put_u32(aml, (uint32_t)value);
    } else {
        acpi_aml_put_byte(aml, OP_QWORD_CONST);
        put_u64(aml, value);
    }
}

void acpi_aml_put_string(struct acpi_aml *aml, const char *text)
{
    acpi_aml_put_byte(aml, OP_STRING);
    acpi_aml_put_bytes(aml, text, (uint32_t)strlen(text) + 1);
}

void acpi_aml_put_path(struct acpi_aml *aml, const char *path)
{
    if (*path == '\\') {
        acpi_aml_put_byte(aml, '\\');
        path++;
    }
    uint32_t segments = ((uint32_t)strlen(path) + 1) / (SEGMENT_LEN + 1);
    assert(segments >= 1 && strlen(path) == segments * (SEGMENT_LEN + 1) - 1);
    if (segments == 2) {
        acpi_aml_put_byte(aml, PREFIX_DUAL_NAME);
    } else if (segments > 2) {
        acpi_aml_put_byte(aml, PREFIX_MULTI_NAME);
        acpi_aml_put_byte(aml, (uint8_t)segments);
    }
    for (uint32_t i = 0; i < segments; i++)
        acpi_aml_put_bytes(aml, path + i * (SEGMENT_LEN + 1), SEGMENT_LEN);
}

static uint32_t hex_digit(char c)
{
    return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

void acpi_aml_put_eisa_id(struct acpi_aml *aml, const char *id)
{
    assert(strlen(id) == 7);
    uint32_t letters = 0;
    for (uint32_t i = 0; i < 3; i++)
        letters = (letters << 5) | (uint32_t)(id[i] - '@');
    uint32_t number = 0;
    for (uint32_t i = 3; i < 7; i++)
        number = (number << 4) | hex_digit(id[i]);
    /* The id is a big-endian number (ACPI 6.5, 19.6.36). */
    acpi_aml_put_byte(aml, OP_DWORD_CONST);
    put_u32(aml, __builtin_bswap32((letters << 16) | number));
}

void acpi_aml_put_name(struct acpi_aml *aml, const char *path)
{
    acpi_aml_put_byte(aml, OP_NAME);
    acpi_aml_put_path(aml, path);
}

void acpi_aml_put_name_integer(struct acpi_aml *aml, const char *path, uint64_t value)
{
    acpi_aml_put_name(aml, path);
    acpi_aml_put_integer(aml, value);
}

void acpi_aml_put_name_string(struct acpi_aml *aml, const char *path, const char *text)
{
    acpi_aml_put_name(aml, path);
    acpi_aml_put_string(aml, text);
}

uint32_t acpi_aml_begin(struct acpi_aml *aml, enum acpi_aml_block block)
{
    switch (block) {
    case ACPI_AML_SCOPE:
        acpi_aml_put_byte(aml, OP_SCOPE);
        break;
    case ACPI_AML_DEVICE:
        acpi_aml_put_byte(aml, PREFIX_EXT_OP);
        acpi_aml_put_byte(aml, EXT_OP_DEVICE);
        break;
    case ACPI_AML_METHOD:
        acpi_aml_put_byte(aml, OP_METHOD);
        break;
    case ACPI_AML_PACKAGE:
        acpi_aml_put_byte(aml, OP_PACKAGE);
        break;
    case ACPI_AML_IF:
        acpi_aml_put_byte(aml, OP_IF);
        break;
    case ACPI_AML_BUFFER:
        acpi_aml_put_byte(aml, OP_BUFFER);
        break;
    }
    return aml->len;
}

void acpi_aml_end(struct acpi_aml *aml, uint32_t mark)
{
    uint32_t body = aml->len - mark;
    uint32_t extra = 0; /* bytes behind the first */
    if (body + 1 > PKG_LEN_1_MAX)
        extra = 1;
    if (extra == 1 && body + 2 > PKG_LEN_2_MAX)
        extra = 2;
    if (extra == 2 && body + 3 > PKG_LEN_3_MAX)
        extra = 3;
    uint32_t len = body + 1 + extra;
    uint8_t bytes[4];
    bytes[0] = (uint8_t)len;
    if (extra > 0) {
        bytes[0] = (uint8_t)((extra << 6) | (len & 0xf));
        for (uint32_t i = 1; i <= extra; i++)
            bytes[i] = (uint8_t)(len >> (8 * i - 4));
    }
    insert_bytes(aml, mark, bytes, 1 + extra);
}

uint32_t acpi_aml_begin_resources(struct acpi_aml *aml)
{
    return acpi_aml_begin(aml, ACPI_AML_BUFFER);
}

void acpi_aml_end_resources(struct acpi_aml *aml, uint32_t mark)
{
    acpi_aml_put_byte(aml, TAG_END);
    acpi_aml_put_byte(aml, 0); /* a zero checksum counts as right */

    uint8_t bytes[16];
    struct acpi_aml size;
    acpi_aml_init(&size, bytes, sizeof(bytes));
    acpi_aml_put_integer(&size, aml->len - mark);
    insert_bytes(aml, mark, bytes, size.len);
    acpi_aml_end(aml, mark);
}

void acpi_aml_put_memory32(struct acpi_aml *aml, uint32_t base, uint32_t size)
{
    acpi_aml_put_byte(aml, TAG_MEMORY32_FIXED);
    put_u16(aml, 1 + 4 + 4);
    acpi_aml_put_byte(aml, MEMORY32_READ_WRITE);
    put_u32(aml, base);
    put_u32(aml, size);
}

void acpi_aml_put_memory64_readonly(struct acpi_aml *aml, uint64_t base, uint64_t size)
{
    acpi_aml_put_byte(aml, TAG_QWORD_ADDRESS);
    put_u16(aml, 3 + 5 * 8);
    acpi_aml_put_byte(aml, 0); /* memory */
    acpi_aml_put_byte(aml, ADDRESS_CONSUMER | ADDRESS_MIN_MAX_FIXED);
    acpi_aml_put_byte(aml, ADDRESS_MEMORY_CACHEABLE);
    put_u64(aml, 0); /* granularity */
    put_u64(aml, base);
    put_u64(aml, base + size - 1);
    put_u64(aml, 0); /* translation */
    put_u64(aml, size);
}

void acpi_aml_put_interrupt(struct acpi_aml *aml, uint32_t gsi)
{
    acpi_aml_put_byte(aml, TAG_INTERRUPT);
    put_u16(aml, 2 + 4);
    acpi_aml_put_byte(aml, INTERRUPT_CONSUMER | INTERRUPT_EDGE);
    acpi_aml_put_byte(aml, 1); /* one interrupt */
    put_u32(aml, gsi);
}

void acpi_aml_put_io(struct acpi_aml *aml, uint16_t port, uint8_t count)
{
    acpi_aml_put_byte(aml, TAG_IO);
    acpi_aml_put_byte(aml, IO_DECODE_16);
    put_u16(aml, port);        /* lowest */
    put_u16(aml, port);        /* highest */
    acpi_aml_put_byte(aml, 1); /* alignment */
    acpi_aml_put_byte(aml, count);
}
