/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file as a whole: what goes in comes out, and what is damaged or another's is refused
 * before a section is read. Single thread.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/snapshots/snapf_fixture.h"

#define FLIPS_COUNT 5000u
#define FLIPS_SEED 0x2026u
#define FOREIGN "unrecognised state file format (not created by this VMM)."

/* A few hundred kilobytes each: too large for a stack. */
static struct snapf_content before;
static struct snapf_content after;

/* Refused with a sentence, and nothing is held then (the leak checker looks). */
static void expect_refused(const struct bytes *file, const char *what, uint64_t where)
{
    struct err err = ERR_INIT;
    int rc = snapf_decode(file->data, file->len, &after, &err);
    if (rc != -EINVAL || err.code != rc || err.msg[0] == '\0')
        fail_msg("%s %llu: result %d, sentence '%s'", what, (unsigned long long)where, rc, err.msg);
}

static void expect_sentence(const struct bytes *file, const char *sentence)
{
    struct err err = ERR_INIT;
    assert_int_equal(snapf_decode(file->data, file->len, &after, &err), -EINVAL);
    assert_string_equal(err.msg, sentence);
}

static void expect_same_content(void)
{
    struct machine_state *machine = &after.machine;
    assert_string_equal(after.info.build, before.info.build);
    assert_string_equal(after.info.kernel, before.info.kernel);
    assert_string_equal(after.info.cpu, before.info.cpu);
    assert_int_equal(after.config_len, before.config_len);
    assert_memory_equal(after.config, before.config, before.config_len);
    assert_int_equal(after.samples_count, before.samples_count);
    assert_memory_equal(after.samples, before.samples, sizeof(before.samples));
    assert_memory_equal(after.id, before.id, sizeof(before.id));
    assert_memory_equal(after.predecessor, before.predecessor, sizeof(before.predecessor));
    assert_int_equal(after.memory_stamp.s, before.memory_stamp.s);
    assert_int_equal(after.memory_stamp.ns, before.memory_stamp.ns);
    assert_memory_equal(&after.bases, &before.bases, sizeof(before.bases));
    assert_int_equal(machine->vcpus_count, before.machine.vcpus_count);
    for (uint32_t i = 0; i < machine->vcpus_count; i++)
        assert_memory_equal(&machine->vcpus[i], &before.machine.vcpus[i], sizeof(*machine->vcpus));
    struct hv_vcpu_state *vcpus = machine->vcpus;
    machine->vcpus = before.machine.vcpus; /* the pointer alone may differ */
    assert_memory_equal(machine, &before.machine, sizeof(*machine));
    machine->vcpus = vcpus;
}

static void expect_survives(enum hv_irqchip irqchip)
{
    struct bytes file = {0};
    struct err err = ERR_INIT;
    content_fill(irqchip, &before);
    assert_int_equal(snapf_encode(&before, &file.data, &file.len, &err), 0);
    assert_int_equal(snapf_decode(file.data, file.len, &after, &err), 0);
    expect_same_content();
    snapf_content_done(&before);
    snapf_content_done(&after);
    free(file.data);
}

static void test_snapf_decode__encoded_with_full_irqchip__every_member_is_back(void **state)
{
    (void)state;
    expect_survives(HV_IRQCHIP_FULL);
}

static void test_snapf_decode__encoded_with_split_irqchip__every_member_is_back(void **state)
{
    (void)state;
    expect_survives(HV_IRQCHIP_SPLIT);
}

static void test_snapf_encode__larger_than_any_file__refused(void **state)
{
    (void)state;
    struct bytes file = {0};
    struct err err = ERR_INIT;
    content_fill(HV_IRQCHIP_SPLIT, &before);
    free(before.config);
    before.config_len = SNAPF_FILE_MAX_SIZE;
    before.config = calloc(1, before.config_len);
    assert_non_null(before.config);
    assert_int_equal(snapf_encode(&before, &file.data, &file.len, &err), -ENOMEM);
    assert_non_null(strstr(err.msg, "10000000"));
    assert_null(file.data);
    snapf_content_done(&before);
}

static void test_snapf_decode__cut_off_anywhere__refused(void **state)
{
    (void)state;
    struct bytes file = file_make(HV_IRQCHIP_FULL);
    for (size_t len = 0; len < file.len; len += 64) {
        /* Of its own size, so that a read behind its end is seen. */
        struct bytes part = {malloc(len + 1), len};
        assert_non_null(part.data);
        memcpy(part.data, file.data, len);
        expect_refused(&part, "cut off at byte", len);
        free(part.data);
    }
    free(file.data);
}

static void test_snapf_decode__one_bit_flipped__refused(void **state)
{
    (void)state;
    struct bytes file = file_make(HV_IRQCHIP_SPLIT);
    struct distinct random = {FLIPS_SEED};
    char what[64];
    (void)snprintf(what, sizeof(what), "seed 0x%x, flipped bit", FLIPS_SEED);
    for (uint32_t i = 0; i < FLIPS_COUNT; i++) {
        uint64_t bit = distinct_next(&random) % (file.len * 8);
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_refused(&file, what, bit);
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(file.data);
}

static void test_snapf_decode__foreign_file__not_ours(void **state)
{
    (void)state;
    uint8_t text[200];
    memset(text, 'x', sizeof(text));
    const struct bytes nothing = {text, 0};
    const struct bytes foreign = {text, sizeof(text)};
    expect_sentence(&nothing, FOREIGN);
    expect_sentence(&foreign, FOREIGN);
}

static void test_snapf_decode__firecracker_file__not_ours(void **state)
{
    (void)state;
    uint8_t text[200] = {0};
    struct bytes file = {text, sizeof(text)};
    file_put_u64(&file, 0, 0x0710198486640000);
    expect_sentence(&file, FOREIGN " It is Firecracker's, which only Firecracker reads: take the "
                                   "snapshot with this VMM");
}

static void test_snapf_decode__other_major_version__names_both(void **state)
{
    (void)state;
    struct bytes file = file_make(HV_IRQCHIP_SPLIT);
    file_put_u32(&file, FILE_MAJOR_OFF, SNAPF_MAJOR + 1);
    file_seal(&file);
    expect_sentence(&file, "Invalid data version: the file has format v2.2.0; this build reads "
                           "v1.0 to v1.2");
    free(file.data);
}

static void test_snapf_decode__newer_minor_version__names_both(void **state)
{
    (void)state;
    struct bytes file = file_make(HV_IRQCHIP_SPLIT);
    file_put_u32(&file, FILE_MINOR_OFF, SNAPF_MINOR + 1);
    file_seal(&file);
    expect_sentence(&file, "Invalid data version: the file has format v1.3.0; this build reads "
                           "v1.0 to v1.2");
    free(file.data);
}

static void test_snapf_decode__bytes_behind_the_end__refused(void **state)
{
    (void)state;
    struct bytes file = file_make(HV_IRQCHIP_SPLIT);
    file.data = realloc(file.data, file.len + 1);
    assert_non_null(file.data);
    file.data[file.len++] = 0;
    expect_refused(&file, "longer than it says, bytes", file.len);
    free(file.data);
}

static void test_snapf_version__file_of_ours__its_three_numbers(void **state)
{
    (void)state;
    struct bytes file = file_make(HV_IRQCHIP_SPLIT);
    uint32_t version[3] = {9, 9, 9};
    struct err err = ERR_INIT;
    assert_int_equal(snapf_version(file.data, file.len, version, &err), 0);
    assert_int_equal(version[0], SNAPF_MAJOR);
    assert_int_equal(version[1], SNAPF_MINOR);
    assert_int_equal(version[2], SNAPF_PATCH);
    assert_int_equal(snapf_version(file.data, FILE_HEADER_SIZE - 1, version, &err), -EINVAL);
    assert_string_equal(err.msg, FOREIGN);
    free(file.data);
}

static void test_snapf_is_state__magic__ours_or_the_references(void **state)
{
    (void)state;
    const uint8_t foreign[] = {0x00, 0x00, 0x64, 0x86, 0x84, 0x19, 0x10, 0x07, 0xff};
    const uint8_t json[] = "{\"snapshot_path\": 1}";
    struct bytes file = file_make(HV_IRQCHIP_SPLIT);
    assert_true(snapf_is_state(file.data, file.len));
    assert_true(snapf_is_state(foreign, sizeof(foreign)));
    assert_false(snapf_is_state(foreign, SNAPF_MAGIC_SIZE - 1));
    assert_false(snapf_is_state(json, sizeof(json)));
    free(file.data);
}

static void test_snapf_encode__value_that_cannot_be_read__refused_and_unchanged(void **state)
{
    (void)state;
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;
    content_fill(HV_IRQCHIP_SPLIT, &before);
    before.samples_fixed_count = before.samples_count + 1;
    assert_int_equal(snapf_encode(&before, &bytes, &len, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "a value that no snapshot may have"));
    assert_null(bytes);
    assert_int_equal(before.samples_fixed_count, before.samples_count + 1);
    snapf_content_done(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapf_decode__encoded_with_full_irqchip__every_member_is_back),
        cmocka_unit_test(test_snapf_decode__encoded_with_split_irqchip__every_member_is_back),
        cmocka_unit_test(test_snapf_encode__larger_than_any_file__refused),
        cmocka_unit_test(test_snapf_encode__value_that_cannot_be_read__refused_and_unchanged),
        cmocka_unit_test(test_snapf_decode__cut_off_anywhere__refused),
        cmocka_unit_test(test_snapf_decode__one_bit_flipped__refused),
        cmocka_unit_test(test_snapf_decode__foreign_file__not_ours),
        cmocka_unit_test(test_snapf_decode__firecracker_file__not_ours),
        cmocka_unit_test(test_snapf_decode__other_major_version__names_both),
        cmocka_unit_test(test_snapf_decode__newer_minor_version__names_both),
        cmocka_unit_test(test_snapf_decode__bytes_behind_the_end__refused),
        cmocka_unit_test(test_snapf_version__file_of_ours__its_three_numbers),
        cmocka_unit_test(test_snapf_is_state__magic__ours_or_the_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
