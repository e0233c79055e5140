/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small AML encoder (ACPI 6.5, chapter 20) and the DSDT made with it. Bytes go to the caller's
 * buffer; what does not fit sets `full`, looked at once at the end. Thread: vmm, before the guest
 * runs. All of it is pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "vmm/arch/x86_64/acpi.h"

struct acpi_aml {
    uint8_t *bytes; /* borrowed */
    uint32_t size;
    uint32_t len;
    bool full; /* something did not fit; bytes are then useless */
};

/* Terms that carry their own length. */
enum acpi_aml_block {
    ACPI_AML_SCOPE,
    ACPI_AML_DEVICE,
    ACPI_AML_METHOD,
    ACPI_AML_PACKAGE,
    ACPI_AML_IF,
    ACPI_AML_BUFFER,
};

#define ACPI_AML_NOTIFY_OP 0x86u
#define ACPI_AML_EQUAL_OP 0x93u
#define ACPI_AML_ARG0_OP 0x68u

/* A method's flags: number of arguments, and whether calls are serialized. */
#define ACPI_AML_METHOD_SERIALIZED 0x08u

/* An empty encoder over `size` bytes, which are borrowed. */
void acpi_aml_init(struct acpi_aml *ret_aml, uint8_t *bytes, uint32_t size);

/* Bytes as they are. What does not fit whole is left out, and sets `full`. */
void acpi_aml_put_bytes(struct acpi_aml *aml, const void *bytes, uint32_t len);
void acpi_aml_put_byte(struct acpi_aml *aml, uint8_t byte);

/* Smallest constant that holds the value. */
void acpi_aml_put_integer(struct acpi_aml *aml, uint64_t value);
void acpi_aml_put_string(struct acpi_aml *aml, const char *text);

/* "_HID", "\\_SB_", "\\_SB_.VGEN": optional backslash, then segments of exactly four characters. */
void acpi_aml_put_path(struct acpi_aml *aml, const char *path);

/* A compressed "PNP0501"-style id: three capitals, four hex digits. */
void acpi_aml_put_eisa_id(struct acpi_aml *aml, const char *id);

/* Name (path, ...): the object's own bytes follow. */
void acpi_aml_put_name(struct acpi_aml *aml, const char *path);
void acpi_aml_put_name_integer(struct acpi_aml *aml, const char *path, uint64_t value);
void acpi_aml_put_name_string(struct acpi_aml *aml, const char *path, const char *text);

/* Opens a block; end patches its length in. Returns the mark that end wants. */
uint32_t acpi_aml_begin(struct acpi_aml *aml, enum acpi_aml_block block);
void acpi_aml_end(struct acpi_aml *aml, uint32_t mark);

/* A resource template: begin, descriptors, end (which adds the end tag and the buffer's size). */
uint32_t acpi_aml_begin_resources(struct acpi_aml *aml);
void acpi_aml_end_resources(struct acpi_aml *aml, uint32_t mark);

/* Descriptors (ACPI 6.5, 6.4). Interrupts are edge, active high, exclusive. */
void acpi_aml_put_memory32(struct acpi_aml *aml, uint32_t base, uint32_t size);
void acpi_aml_put_memory64_readonly(struct acpi_aml *aml, uint64_t base, uint64_t size);
void acpi_aml_put_interrupt(struct acpi_aml *aml, uint32_t gsi);
void acpi_aml_put_io(struct acpi_aml *aml, uint16_t port, uint8_t count);

/* The body of the DSDT behind its table header: \_SB and its devices, \_S5. */
void acpi_put_dsdt(struct acpi_aml *aml, const struct acpi_config *config);
