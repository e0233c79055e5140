/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file as a whole: header, checksum, sections (docs/snapshots.md). Single thread.
 */
#include "snapshots/format/snapf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "snapshots/format/snapf_int.h"

#define FOREIGN "unrecognised state file format (not created by this VMM)."
#define TAG(a, b, c, d)                                                                            \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

static const uint8_t magic[SNAPF_MAGIC_SIZE] = {'M', 'A', 'Y', 'F', 'L', 'Y', 'S', '1'};
/* The reference's, as x86-64 writes it (snapshot.md 1). */
static const uint8_t foreign_magic[SNAPF_MAGIC_SIZE] = {0x00, 0x00, 0x64, 0x86,
                                                        0x84, 0x19, 0x10, 0x07};

struct wire_header {
    uint8_t magic[SNAPF_MAGIC_SIZE];
    le32_t major;
    le32_t minor;
    le32_t patch;
    le32_t sections_count;
    le64_t file_len;
    uint8_t sum[CRYPTO_CHECKSUM_SIZE]; /* of the file, with these bytes zero */
};
static_assert(sizeof(struct wire_header) == 48, "no padding");

/* The file has these, in this order; vCPUs and devices as many as INFO says. */
enum section {
    SECTION_INFO,
    SECTION_CONFIG,
    SECTION_MEMORY,
    SECTION_VM,
    SECTION_LEGACY,
    SECTION_VCPU,
    SECTION_DEVICE,
    SECTION_SAMPLES,
    SECTION_BASES, /* not in files before 1.2 */
    SECTIONS_COUNT,
};

static const struct {
    uint32_t tag;
    uint32_t version; /* that is written; older ones are read */
    const char *name;
} sections[] = {
    [SECTION_INFO] = {TAG('I', 'N', 'F', 'O'), 1, "INFO"},
    [SECTION_CONFIG] = {TAG('C', 'O', 'N', 'F'), 1, "CONF"},
    [SECTION_MEMORY] = {TAG('M', 'E', 'M', 'O'), 1, "MEMO"},
    [SECTION_VM] = {TAG('V', 'M', ' ', ' '), 1, "VM"},
    [SECTION_LEGACY] = {TAG('L', 'E', 'G', 'A'), 1, "LEGA"},
    [SECTION_VCPU] = {TAG('V', 'C', 'P', 'U'), 1, "VCPU"},
    [SECTION_DEVICE] = {TAG('D', 'E', 'V', ' '), 1, "DEV"},
    [SECTION_SAMPLES] = {TAG('S', 'A', 'M', 'P'), 3,
                         "SAMP"}, /* 2: samples_fixed_count; 3: ids, memory_stamp */
    [SECTION_BASES] = {TAG('B', 'A', 'S', 'E'), 1, "BASE"},
};
static_assert(ARRAY_LEN(sections) == SECTIONS_COUNT, "a row for each");

void snapf_content_done(struct snapf_content *content)
{
    free(content->info.build);
    free(content->info.kernel);
    free(content->info.cpu);
    free(content->config);
    machine_state_done(&content->machine);
    memset(content, 0, sizeof(*content));
}

/* ------------------------------------------------------------------ what is in a section */

static void code_info(struct snapf_code *code, struct snapf_content *content)
{
    snapf_text(code, &content->info.build);
    snapf_text(code, &content->info.kernel);
    snapf_text(code, &content->info.cpu);
    /* How many sections of each are behind. */
    snapf_u32_max(code, &content->machine.vcpus_count, HV_VCPUS_MAX);
    snapf_u32_max(code, &content->machine.devices_count, MACHINE_STATE_DEVICES_MAX);
}

static void code_config(struct snapf_code *code, struct snapf_content *content)
{
    uint32_t len = (uint32_t)content->config_len;
    snapf_u32_max(code, &len, SNAPF_FILE_MAX_SIZE);
    if (!code->writes) {
        const uint8_t *bytes = snapf_take(code, len);
        content->config = bytes ? malloc(len + 1) : NULL;
        code->bad |= !content->config;
        content->config_len = code->bad ? 0 : len;
        if (!code->bad)
            memcpy(content->config, bytes, len);
        return;
    }
    snapf_bytes(code, content->config, len);
}

static void code_samples(struct snapf_code *code, struct snapf_content *content)
{
    snapf_u32_max(code, &content->samples_count, SNAPF_SAMPLES_MAX);
    if (code->version >= 2)
        snapf_u32_max(code, &content->samples_fixed_count, content->samples_count);
    else
        content->samples_fixed_count = content->samples_count;
    for (uint32_t i = 0; i < content->samples_count; i++) {
        snapf_u64(code, &content->samples[i].off);
        snapf_bytes(code, content->samples[i].sum, sizeof(content->samples[i].sum));
    }
    if (code->version < 3)
        return;
    snapf_bytes(code, content->id, sizeof(content->id));
    snapf_bytes(code, content->predecessor, sizeof(content->predecessor));
    snapf_u64(code, &content->memory_stamp.s);
    snapf_u32(code, &content->memory_stamp.ns);
}

/* Section number `idx` of its kind. */
static void code_section(struct snapf_code *code, enum section section, uint32_t idx,
                         struct snapf_content *content)
{
    switch (section) {
    case SECTION_INFO:
        code_info(code, content);
        break;
    case SECTION_CONFIG:
        code_config(code, content);
        break;
    case SECTION_MEMORY:
        snapf_code_memory(code, &content->machine);
        break;
    case SECTION_VM:
        snapf_code_vm(code, &content->machine.vm);
        break;
    case SECTION_LEGACY:
        snapf_code_legacy(code, &content->machine);
        break;
    case SECTION_VCPU:
        snapf_code_vcpu(code, &content->machine.vcpus[idx]);
        break;
    case SECTION_DEVICE:
        snapf_code_device(code, &content->machine.devices[idx]);
        break;
    case SECTION_SAMPLES:
        code_samples(code, content);
        break;
    case SECTION_BASES:
        snapf_code_bases(code, &content->bases);
        break;
    case SECTIONS_COUNT:
        break;
    }
}

/* How many sections of a kind there are. */
static uint32_t repeats(enum section section, const struct snapf_content *content)
{
    if (section == SECTION_VCPU)
        return content->machine.vcpus_count;
    return section == SECTION_DEVICE ? content->machine.devices_count : 1;
}

/* ------------------------------------------------------------------ writing */

static void write_section(struct snapf_code *file, enum section section, uint32_t idx,
                          struct snapf_content *content)
{
    uint32_t tag = sections[section].tag;
    uint32_t version = sections[section].version;
    uint64_t len = 0;
    snapf_u32(file, &tag);
    snapf_u32(file, &version);
    size_t len_off = file->off;
    snapf_u64(file, &len);
    file->version = version;
    code_section(file, section, idx, content);
    if (file->full)
        return;
    le64_t wire = le64_put(file->off - len_off - sizeof(len));
    memcpy(file->out + len_off, &wire, sizeof(wire));
}

static void seal(struct snapf_code *file, struct wire_header *header, uint32_t count)
{
    header->sections_count = le32_put(count);
    header->file_len = le64_put(file->off);
    memcpy(file->out, header, sizeof(*header));
    crypto_checksum(file->out, file->off, header->sum);
    memcpy(file->out, header, sizeof(*header));
}

int snapf_encode(const struct snapf_content *content, uint8_t **ret_bytes, size_t *ret_len,
                 struct err *err)
{
    struct wire_header header = {.major = le32_put(SNAPF_MAJOR),
                                 .minor = le32_put(SNAPF_MINOR),
                                 .patch = le32_put(SNAPF_PATCH)};
    /* The code reads values through the same pointers that it would set; written, they stay. */
    struct snapf_content *source = (struct snapf_content *)(uintptr_t)content;
    struct snapf_code file;
    uint32_t count = 0;

    memcpy(header.magic, magic, sizeof(magic));
    snapf_code_write(&file);
    snapf_bytes(&file, &header, sizeof(header));
    for (int section = 0; section < SECTIONS_COUNT; section++)
        for (uint32_t i = 0; i < repeats((enum section)section, content); i++, count++)
            write_section(&file, (enum section)section, i, source);
    int rc = snapf_code_written(&file, err);
    if (rc < 0) {
        snapf_code_done(&file);
        return err_prefix(err, "state file: ");
    }
    seal(&file, &header, count);
    *ret_bytes = file.out;
    *ret_len = file.off;
    return 0;
}

bool snapf_is_state(const uint8_t *bytes, size_t len)
{
    return len >= SNAPF_MAGIC_SIZE && (memcmp(bytes, magic, sizeof(magic)) == 0 ||
                                       memcmp(bytes, foreign_magic, sizeof(foreign_magic)) == 0);
}

/* ------------------------------------------------------------------ reading */

static int read_header(const uint8_t *bytes, size_t len, struct wire_header *ret_header,
                       struct err *err)
{
    if (len >= sizeof(foreign_magic) && memcmp(bytes, foreign_magic, sizeof(foreign_magic)) == 0)
        return err_set(err, -EINVAL,
                       FOREIGN " It is Firecracker's, which only Firecracker reads: take the "
                               "snapshot with this VMM");
    if (len < sizeof(*ret_header) || memcmp(bytes, magic, sizeof(magic)) != 0)
        return err_set(err, -EINVAL, FOREIGN);
    memcpy(ret_header, bytes, sizeof(*ret_header));
    return 0;
}

int snapf_version(const uint8_t *bytes, size_t len, uint32_t ret_version[static 3], struct err *err)
{
    struct wire_header header;
    int rc = read_header(bytes, len, &header, err);
    if (rc < 0)
        return rc;
    ret_version[0] = le32_get(header.major);
    ret_version[1] = le32_get(header.minor);
    ret_version[2] = le32_get(header.patch);
    return 0;
}

/* The header alone is believed when its file is whole. */
static int check_header(const uint8_t *bytes, size_t len, struct wire_header *ret_header,
                        struct err *err)
{
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
    int rc = read_header(bytes, len, ret_header, err);
    if (rc < 0)
        return rc;
    uint32_t major = le32_get(ret_header->major);
    uint32_t minor = le32_get(ret_header->minor);
    if (major != SNAPF_MAJOR || minor > SNAPF_MINOR)
        return err_set(err, -EINVAL,
                       "Invalid data version: the file has format v%u.%u.%u; this build reads "
                       "v%u.0 to v%u.%u",
                       major, minor, le32_get(ret_header->patch), SNAPF_MAJOR, SNAPF_MAJOR,
                       SNAPF_MINOR);
    if (le64_get(ret_header->file_len) != len)
        return err_set(err, -EINVAL,
                       "the file has %zu bytes and says that it has %llu: it was cut "
                       "off, or something was added",
                       len, (unsigned long long)le64_get(ret_header->file_len));
    struct wire_header summed = *ret_header;
    memset(summed.sum, 0, sizeof(summed.sum));
    crypto_checksum_both(&summed, sizeof(summed), bytes + sizeof(summed), len - sizeof(summed),
                         sum);
    if (memcmp(sum, ret_header->sum, sizeof(sum)) != 0)
        return err_set(err, -EINVAL,
                       "the file is damaged: its checksum is not the one that it "
                       "carries");
    return 0;
}

static int read_section(struct snapf_code *file, enum section section, uint32_t idx,
                        struct snapf_content *content, struct err *err)
{
    uint32_t tag = 0;
    uint32_t version = 0;
    uint64_t len = 0;
    size_t at = file->off;
    snapf_u32(file, &tag);
    snapf_u32(file, &version);
    snapf_u64(file, &len);
    if (file->bad || tag != sections[section].tag || version == 0 ||
        version > sections[section].version || len > file->in_len - file->off)
        return err_set(err, -EINVAL, "at byte %zu: expected section %s of at most version %u", at,
                       sections[section].name, sections[section].version);
    struct snapf_code code;
    snapf_code_read(&code, snapf_take(file, (size_t)len), (size_t)len, version);
    code_section(&code, section, idx, content);
    if (code.bad || code.off != code.in_len)
        return err_set(err, -EINVAL, "at byte %zu: section %s is not what its version %u has", at,
                       sections[section].name, version);
    return 0;
}

static int read_sections(struct snapf_code *file, uint32_t expected, struct snapf_content *content,
                         struct err *err)
{
    uint32_t count = 0;
    for (int section = 0; section < SECTIONS_COUNT; section++) {
        if (section == SECTION_BASES && file->off == file->in_len)
            break; /* an older file ends here */
        for (uint32_t i = 0; i < repeats((enum section)section, content); i++, count++) {
            int rc = read_section(file, (enum section)section, i, content, err);
            if (rc < 0)
                return rc;
        }
        if (section != SECTION_INFO)
            continue;
        content->machine.vcpus =
            calloc(content->machine.vcpus_count + 1, sizeof(*content->machine.vcpus));
        if (!content->machine.vcpus)
            return err_set(err, -ENOMEM, "no memory for the state of %u vCPUs",
                           content->machine.vcpus_count);
    }
    if (count != expected || file->off != file->in_len)
        return err_set(err, -EINVAL, "it has %u sections, expected %u", expected, count);
    return 0;
}

int snapf_decode(const uint8_t *bytes, size_t len, struct snapf_content *ret_content,
                 struct err *err)
{
    struct wire_header header;
    struct snapf_code file;
    memset(ret_content, 0, sizeof(*ret_content));
    int rc = check_header(bytes, len, &header, err);
    if (rc < 0)
        return rc;
    snapf_code_read(&file, bytes, len, 0);
    (void)snapf_take(&file, sizeof(header));
    rc = read_sections(&file, le32_get(header.sections_count), ret_content, err);
    if (rc < 0)
        snapf_content_done(ret_content);
    return rc;
}
