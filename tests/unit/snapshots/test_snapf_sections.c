/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of a state file whose checksum is right: what is in them is looked at all the same.
 * Single thread.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/snapshots/snapf_fixture.h"
#include "vmm/machine/machine_int.h"

/* A section's head. */
#define VERSION_OFF 4u
#define LEN_OFF 8u
#define HEAD_SIZE 16u

/* Order of the sections in a file with two vCPUs and three devices. */
enum { INFO, CONF, MEMO, VM, LEGA, VCPU_0, VCPU_1, DEV_0, DEV_1, DEV_2, SAMP, BASE, COUNT };

static struct snapf_content content;

/* Where section `idx` begins; COUNT: the end. */
static size_t section_off(const struct bytes *file, uint32_t idx)
{
    size_t off = FILE_HEADER_SIZE;
    for (uint32_t i = 0; i < idx; i++)
        off += HEAD_SIZE + (size_t)file_u64(file, off + LEN_OFF);
    return off;
}

/* Puts `len` bytes, which are not the file's, into it. */
static void insert(struct bytes *file, size_t off, const void *bytes, size_t len)
{
    file->data = realloc(file->data, file->len + len);
    assert_non_null(file->data);
    memmove(file->data + off + len, file->data + off, file->len - off);
    memcpy(file->data + off, bytes, len);
    file->len += len;
}

static void cut_out(struct bytes *file, size_t off, size_t len)
{
    memmove(file->data + off, file->data + off + len, file->len - off - len);
    file->len -= len;
}

static int setup(void **state)
{
    static struct bytes file;
    file = file_make(HV_IRQCHIP_SPLIT);
    *state = &file;
    return 0;
}

static int teardown(void **state)
{
    struct bytes *file = *state;
    free(file->data);
    return 0;
}

/* Sealed, it is refused with a sentence that has this part. */
static void expect_refused(struct bytes *file, const char *part)
{
    struct err err = ERR_INIT;
    file_seal(file);
    assert_int_equal(snapf_decode(file->data, file->len, &content, &err), -EINVAL);
    if (!strstr(err.msg, part))
        fail_msg("'%s' has no '%s'", err.msg, part);
}

static void test_snapf_decode__sealed_again__read(void **state)
{
    struct bytes *file = *state;
    struct err err = ERR_INIT;
    assert_int_equal(section_off(file, COUNT), file->len);
    assert_int_equal(file_u32(file, FILE_SECTIONS_COUNT_OFF), COUNT);
    file_seal(file);
    assert_int_equal(snapf_decode(file->data, file->len, &content, &err), 0);
    snapf_content_done(&content);
}

static void test_snapf_decode__section_of_newer_version__refused(void **state)
{
    struct bytes *file = *state;
    for (uint32_t i = 0; i < COUNT; i++) {
        size_t off = section_off(file, i) + VERSION_OFF;
        file_put_u32(file, off, file_u32(file, off) + 1);
        expect_refused(file, i == SAMP ? "of at most version 3" : "of at most version 1");
        file_put_u32(file, off, file_u32(file, off) - 1);
    }
}

static void test_snapf_decode__section_of_version_0__refused(void **state)
{
    struct bytes *file = *state;
    file_put_u32(file, section_off(file, LEGA) + VERSION_OFF, 0);
    expect_refused(file, "expected section LEGA");
}

static void test_snapf_decode__unknown_tag__refused(void **state)
{
    struct bytes *file = *state;
    static const char *const names[COUNT] = {
        [INFO] = "INFO", [CONF] = "CONF",   [MEMO] = "MEMO",   [VM] = "VM",
        [LEGA] = "LEGA", [VCPU_0] = "VCPU", [VCPU_1] = "VCPU", [DEV_0] = "DEV",
        [DEV_1] = "DEV", [DEV_2] = "DEV",   [SAMP] = "SAMP",   [BASE] = "BASE",
    };
    for (uint32_t i = 0; i < COUNT; i++) {
        char sentence[64];
        size_t off = section_off(file, i);
        (void)snprintf(sentence, sizeof(sentence), "at byte %zu: expected section %s", off,
                       names[i]);
        file->data[off] ^= 0x20;
        expect_refused(file, sentence);
        file->data[off] ^= 0x20;
    }
}

/* The length says one byte more, or less, than the section's content has. */
static void test_snapf_decode__section_of_another_length__refused(void **state)
{
    struct bytes *file = *state;
    for (uint32_t i = 0; i < COUNT; i++) {
        size_t off = section_off(file, i);
        size_t end = section_off(file, i + 1);
        uint64_t len = file_u64(file, off + LEN_OFF);
        uint8_t last = file->data[end - 1];
        file_put_u64(file, off + LEN_OFF, len + 1);
        insert(file, end, "", 1);
        expect_refused(file, "is not what its version ");
        file_put_u64(file, off + LEN_OFF, len - 1);
        cut_out(file, end - 1, 2);
        expect_refused(file, "is not what its version ");
        file_put_u64(file, off + LEN_OFF, len);
        insert(file, end - 1, &last, 1);
    }
}

static void test_snapf_decode__section_longer_than_the_file__refused(void **state)
{
    struct bytes *file = *state;
    static const uint64_t lens[] = {SNAPF_FILE_MAX_SIZE, UINT64_MAX, UINT64_MAX - 15, 1ull << 63};
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        file_put_u64(file, section_off(file, VCPU_1) + LEN_OFF, lens[i]);
        expect_refused(file, "expected section VCPU");
    }
}

static void test_snapf_decode__duplicated_section__refused(void **state)
{
    struct bytes *file = *state;
    for (uint32_t i = 0; i < COUNT; i++) {
        size_t off = section_off(file, i);
        size_t len = section_off(file, i + 1) - off;
        uint8_t *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, file->data + off, len);
        insert(file, off, copy, len);
        file_put_u32(file, FILE_SECTIONS_COUNT_OFF, COUNT + 1);
        expect_refused(file, i == BASE ? "sections, expected" : "expected section");
        cut_out(file, off, len);
        free(copy);
    }
}

static void test_snapf_decode__missing_section__refused(void **state)
{
    struct bytes *file = *state;
    for (uint32_t i = 0; i < BASE; i++) { /* older files have no BASE */
        size_t off = section_off(file, i);
        size_t len = section_off(file, i + 1) - off;
        struct bytes less = {malloc(file->len), file->len};
        assert_non_null(less.data);
        memcpy(less.data, file->data, file->len);
        cut_out(&less, off, len);
        file_put_u32(&less, FILE_SECTIONS_COUNT_OFF, COUNT - 1);
        expect_refused(&less, "expected section");
        free(less.data);
    }
}

static void test_snapf_decode__file_from_before_bases__has_none(void **state)
{
    struct bytes *file = *state;
    struct err err = ERR_INIT;
    size_t off = section_off(file, BASE);
    cut_out(file, off, file->len - off);
    file_seal(file);
    assert_int_equal(snapf_decode(file->data, file->len, &content, &err), -EINVAL);
    assert_string_equal(err.msg, "it has 12 sections, expected 11");
    file_put_u32(file, FILE_SECTIONS_COUNT_OFF, COUNT - 1);
    file_seal(file);
    assert_int_equal(snapf_decode(file->data, file->len, &content, &err), 0);
    assert_int_equal(content.bases.count, 0);
    snapf_content_done(&content);
}

static void test_snapf_decode__impossible_bases__refused(void **state)
{
    struct bytes *file = *state;
    size_t off = section_off(file, BASE) + HEAD_SIZE;
    file_put_u32(file, off, SNAPF_BASES_MAX + 1);
    expect_refused(file, "section BASE is not");
    file_put_u32(file, off, 2);
    file_put_u32(file, off + 4, SNAPF_BASES_MAX); /* the drive of the first */
    expect_refused(file, "section BASE is not");
}

static void test_snapf_decode__other_count_of_sections__refused(void **state)
{
    struct bytes *file = *state;
    file_put_u32(file, FILE_SECTIONS_COUNT_OFF, COUNT + 1);
    expect_refused(file, "it has 13 sections, expected 12");
}

/* The counts are the last 8 bytes of INFO. */
static void test_snapf_decode__more_vcpus_or_devices_than_any__refused(void **state)
{
    struct bytes *file = *state;
    size_t off = section_off(file, CONF) - 8;
    file_put_u32(file, off, HV_VCPUS_MAX + 1);
    expect_refused(file, "section INFO is not");
    file_put_u32(file, off, 2);
    file_put_u32(file, off + 4, MACHINE_STATE_DEVICES_MAX + 1);
    expect_refused(file, "section INFO is not");
}

static void test_snapf_decode__text_with_a_nul__refused(void **state)
{
    struct bytes *file = *state;
    file->data[section_off(file, INFO) + HEAD_SIZE + 1 + 4] = '\0';
    expect_refused(file, "section INFO is not");
}

static void test_snapf_decode__unknown_device_kind__refused(void **state)
{
    struct bytes *file = *state;
    static const uint32_t kinds[] = {0, MACHINE_DEVICE_VSOCK + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        file_put_u32(file, section_off(file, DEV_1) + HEAD_SIZE, kinds[i]);
        expect_refused(file, "section DEV is not");
    }
}

/* Of a kind that the format does not know no file could be read. */
static void test_snapf_decode__device_of_every_class__read(void **state)
{
    struct bytes *file = *state;
    for (uint32_t i = 0; i < MACHINE_CLASSES_COUNT; i++) {
        struct bytes one = {0};
        struct err err = ERR_INIT;
        assert_int_equal(snapf_decode(file->data, file->len, &content, &err), 0);
        content.machine.devices_count = 1;
        content.machine.devices[0].kind = machine_classes[i].kind;
        memset(&content.machine.devices[0].u, 0, sizeof(content.machine.devices[0].u));
        assert_int_equal(snapf_encode(&content, &one.data, &one.len, &err), 0);
        snapf_content_done(&content);
        assert_int_equal(snapf_decode(one.data, one.len, &content, &err), 0);
        assert_int_equal(content.machine.devices[0].kind, machine_classes[i].kind);
        snapf_content_done(&content);
        free(one.data);
    }
}

static void test_snapf_decode__unknown_irqchip__refused(void **state)
{
    struct bytes *file = *state;
    file_put_u32(file, section_off(file, VM) + HEAD_SIZE, HV_IRQCHIP_FULL + 1);
    expect_refused(file, "section VM is not");
}

static void test_snapf_decode__bool_that_is_neither__refused(void **state)
{
    struct bytes *file = *state;
    file->data[section_off(file, DEV_0 + 1) - 1] = 2; /* read_only is a drive's last */
    expect_refused(file, "section DEV is not");
}

static void test_snapf_decode__more_samples_than_any__refused(void **state)
{
    struct bytes *file = *state;
    file_put_u32(file, section_off(file, SAMP) + HEAD_SIZE, SNAPF_SAMPLES_MAX + 1);
    expect_refused(file, "section SAMP is not");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snapf_decode__sealed_again__read),
        TEST(test_snapf_decode__section_of_newer_version__refused),
        TEST(test_snapf_decode__section_of_version_0__refused),
        TEST(test_snapf_decode__unknown_tag__refused),
        TEST(test_snapf_decode__section_of_another_length__refused),
        TEST(test_snapf_decode__section_longer_than_the_file__refused),
        TEST(test_snapf_decode__duplicated_section__refused),
        TEST(test_snapf_decode__missing_section__refused),
        TEST(test_snapf_decode__other_count_of_sections__refused),
        TEST(test_snapf_decode__more_vcpus_or_devices_than_any__refused),
        TEST(test_snapf_decode__text_with_a_nul__refused),
        TEST(test_snapf_decode__unknown_device_kind__refused),
        TEST(test_snapf_decode__device_of_every_class__read),
        TEST(test_snapf_decode__unknown_irqchip__refused),
        TEST(test_snapf_decode__bool_that_is_neither__refused),
        TEST(test_snapf_decode__more_samples_than_any__refused),
        TEST(test_snapf_decode__file_from_before_bases__has_none),
        TEST(test_snapf_decode__impossible_bases__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
