/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field tables: what each API object consists of, as data (api.md 6, 7; devices.md 9.1). The
 * decoder and the renderer in api, the config-file loader and the interface description all read
 * these tables and nothing else. Any thread; constant data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"

#define CFG_FIELDS_MAX 32u    /* fields of one object */
#define CFG_NO_OFF UINT16_MAX /* "this field has no such member" */
#define CFG_NUL_ERROR                                                                              \
    (-EILSEQ) /* a string held a NUL and its field has a sentence of its own for that */

/* What a field holds, and in which C type. */
enum cfg_type {
    CFG_TYPE_BOOL,      /* bool */
    CFG_TYPE_U8,        /* uint8_t */
    CFG_TYPE_U16,       /* uint16_t */
    CFG_TYPE_U32,       /* uint32_t */
    CFG_TYPE_U64,       /* uint64_t */
    CFG_TYPE_USIZE,     /* uint64_t, called usize in sentences */
    CFG_TYPE_STRING,    /* char *, heap */
    CFG_TYPE_LOG_LEVEL, /* char *, heap; one of the level names, any case */
    CFG_TYPE_IPV4,      /* char *, heap; dotted quad */
    CFG_TYPE_TEXT_MAP,  /* char *, heap; compact JSON of an object of strings, sorted by key */
    CFG_TYPE_ENUM,      /* an enum (uint32_t) by its names */
    CFG_TYPE_MAC,       /* uint8_t[6] */
    CFG_TYPE_NUMBER32,  /* uint32_t from a string "0x.." or "0b.." */
    CFG_TYPE_REGISTER,  /* uint32_t from "eax".."edx": 0..3 */
    CFG_TYPE_BITMAP32,  /* struct cfg_bitmap32 from a string of 0, 1, x */
    CFG_TYPE_BITMAP64,  /* struct cfg_bitmap64 likewise */
    CFG_TYPE_OBJECT,    /* an embedded struct with its own table */
    CFG_TYPE_LIST,      /* an array, through struct cfg_list */
};
#define CFG_TYPES_COUNT (CFG_TYPE_LIST + 1)

enum cfg_field_flags {
    CFG_REQUIRED = 1u << 0, /* absence is an error */
    CFG_NULLABLE = 1u << 1, /* null means absent */
    CFG_SERDE_DEFAULT =
        1u << 2, /* may be missing from an object written as an array (api.md 4 emulation) */
    CFG_NO_RENDER = 1u << 3,    /* accepted, never shown */
    CFG_OMIT_DEFAULT = 1u << 4, /* shown only when set to something other than the default */
};

struct cfg_object;

/* An array inside an object. Elements stay the decoder's, which releases them: `add` copies what it
 * keeps. */
struct cfg_list {
    const struct cfg_object *object; /* table of an element; NULL: elements are strings */
    uint32_t max_count;
    /* Adds one element (const char * or the element struct) to the owner struct. 0, -EINVAL,
     * -ENOSPC, -ENOMEM. */
    int (*add)(void *owner, const void *elem, struct err *err);
    /* Frees what add stored; NULL: nothing to free. */
    void (*done)(void *owner);
    /* Strings only: element idx, or NULL behind the last; NULL: the list is never shown. */
    const char *(*text)(const void *owner, uint32_t idx);
};

struct cfg_field {
    const char *name;
    enum cfg_type type;
    uint32_t flags;           /* enum cfg_field_flags */
    uint16_t off;             /* bytes into the struct; a list: 0, the owner itself */
    uint16_t has_off;         /* bytes to the bool that says "was given", or CFG_NO_OFF */
    uint64_t default_value;   /* bool, integers, enums */
    const char *default_text; /* strings: shown when absent; NULL: null (or "" when not nullable) */
    uint64_t min;             /* accepted by the object's validation, for integers with a range */
    uint64_t max;             /* 0: the whole range of the type */
    const char *const *enum_names;   /* NULL-terminated, index = value */
    const struct cfg_object *object; /* CFG_TYPE_OBJECT */
    const struct cfg_list *list;     /* CFG_TYPE_LIST */
    const char *nul_text; /* the reference's sentence for a NUL in this string, which its object's
                           * category goes before; NULL: the decoder's */
};

struct cfg_object {
    const char *name; /* "MachineConfig", as sentences call it */
    const char *key; /* key of the object in config file and GET /vm/config; "" for inner objects */
    const char *category; /* before a field's nul_text; NULL: no field has one */
    /* A field that people look for here and that is somewhere else, and where; NULL: none. */
    const char *absent_name;
    const char *absent_text;
    bool strict;   /* unknown fields are refused */
    uint16_t size; /* bytes of the struct */
    uint16_t fields_count;
    const struct cfg_field *fields;
    /* The struct says nothing and is shown as null; NULL: always shown. */
    bool (*is_void)(const void *obj);
};

extern const struct cfg_object cfg_object_machine;
extern const struct cfg_object cfg_object_boot_source;
extern const struct cfg_object cfg_object_drive;
extern const struct cfg_object cfg_object_nic;
extern const struct cfg_object cfg_object_vsock;
extern const struct cfg_object cfg_object_mmds;
extern const struct cfg_object cfg_object_logger;
extern const struct cfg_object cfg_object_metrics;
extern const struct cfg_object cfg_object_rate_limiter;
extern const struct cfg_object cfg_object_bucket;
extern const struct cfg_object cfg_object_cpu_template;
extern const struct cfg_object cfg_object_cpuid_modifier;
extern const struct cfg_object cfg_object_register_modifier;
extern const struct cfg_object cfg_object_msr_modifier;

/* Bodies that only requests have. */
extern const struct cfg_object cfg_object_machine_patch;
extern const struct cfg_object cfg_object_drive_patch;
extern const struct cfg_object cfg_object_nic_patch;
extern const struct cfg_object cfg_object_serial;
extern const struct cfg_object cfg_object_action;
extern const struct cfg_object cfg_object_vm_patch;
extern const struct cfg_object cfg_object_snapshot_create;
extern const struct cfg_object cfg_object_snapshot_load;
extern const struct cfg_object cfg_object_mem_source;
extern const struct cfg_object cfg_object_nic_override;
extern const struct cfg_object cfg_object_drive_override;
extern const struct cfg_object cfg_object_vsock_override;

/* Bodies of requests for devices that are not in the model: all of struct cfg_excluded. */
extern const struct cfg_object cfg_object_balloon;
extern const struct cfg_object cfg_object_balloon_patch;
extern const struct cfg_object cfg_object_balloon_stats;
extern const struct cfg_object cfg_object_balloon_hinting;
extern const struct cfg_object cfg_object_entropy;
extern const struct cfg_object cfg_object_pmem;
extern const struct cfg_object cfg_object_pmem_patch;
extern const struct cfg_object cfg_object_hotplug;
extern const struct cfg_object cfg_object_hotplug_patch;

/* Every table above, NULL-terminated: for tests and the interface description. */
extern const struct cfg_object *const cfg_objects[];

/* "u8", "a boolean", "a string": what sentences say was expected. OBJECT and ENUM have texts of
 * their own. */
const char *cfg_type_text(enum cfg_type type);

/* Largest value of an integer type (CFG_TYPE_U8 .. CFG_TYPE_USIZE); 0 for the others. */
uint64_t cfg_type_max(enum cfg_type type);

/* Is a value of the type a text on the heap (char *)? */
bool cfg_type_is_text(enum cfg_type type);

/* Reads and writes the integer, bool or enum member of an object, by the width its type has. */
uint64_t cfg_field_load(const struct cfg_field *field, const void *obj);
void cfg_field_store(const struct cfg_field *field, void *obj, uint64_t value);

/* Is the field there? True when it has no "was given" member. */
bool cfg_field_has(const struct cfg_field *field, const void *obj);

/* The field of a name, or NULL. *ret_idx: its index in the table. */
const struct cfg_field *cfg_object_find(const struct cfg_object *object, const char *name,
                                        uint32_t *ret_idx);

/* Fills an object with its defaults; owns nothing afterwards. */
void cfg_object_init(const struct cfg_object *object, void *obj);

/* Frees what the object owns and leaves its defaults. */
void cfg_object_done(const struct cfg_object *object, void *obj);
