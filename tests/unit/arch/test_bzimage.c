/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of vmm/arch/x86_64/kernel_bzimage.c: every refusal by its sentence; what is loaded. */
#include "tests/unit/arch/arch_images.h"

#include <errno.h>

static const struct corruption corruptions[] = {
    {"boot_flag", 0x1fe, 0xaa54, 2, -ENOEXEC, NO_KERNEL "Invalid Elf magic number"},
    {"magic", 0x202, 0, 4, -ENOEXEC, NO_KERNEL "Invalid Elf magic number"},
    {"version_2_11", 0x206, 0x020b, 2, -ENOEXEC,
     "the bzImage kernel speaks boot protocol 2.11, 2.12 or later is needed"},
    {"version_0", 0x206, 0, 2, -ENOEXEC,
     "the bzImage kernel speaks boot protocol 0.00, 2.12 or later is needed"},
    {"short_header", 0x201, 0x65, 1, -ENOEXEC,
     "the bzImage kernel's setup header is too short (118 bytes)"},
    {"no_64_bit_entry", 0x236, 0x3e, 2, -ENOEXEC,
     "the bzImage kernel has no 64-bit entry (XLF_KERNEL_64)"},
    {"zimage", 0x211, 0, 1, -ENOEXEC, "the kernel is a zImage (LOADED_HIGH is not set)"},
    {"syssize_0", 0x1f4, 0, 4, -ENOEXEC,
     "the bzImage kernel's syssize is too small (0 bytes of code)"},
    {"syssize_ends_at_entry", 0x1f4, 32, 4, -ENOEXEC,
     "the bzImage kernel's syssize is too small (512 bytes of code)"},
    {"syssize_one_more", 0x1f4, BZ_CODE_SIZE / 16 + 1, 4, -ENOEXEC,
     "the kernel is truncated: its code ends at byte 9232, the file has 9216"},
    {"syssize_largest", 0x1f4, UINT32_MAX, 4, -ENOEXEC,
     "the kernel is truncated: its code ends at byte 68719477744, the file has 9216"},
    {"setup_sects_one_more", 0x1f1, 2, 1, -ENOEXEC,
     "the kernel is truncated: its code ends at byte 9728, the file has 9216"},
    {"setup_sects_0_means_4", 0x1f1, 0, 1, -ENOEXEC,
     "the kernel is truncated: its code ends at byte 10752, the file has 9216"},
    {"init_size_0", 0x260, 0, 4, -ENOEXEC, "the bzImage kernel's init_size is 0"},
    {"init_size_too_large", 0x260, 0x3000001, 4, -ENOMEM,
     "the kernel needs 65 MiB, the guest has 64 MiB: raise mem_size_mib"},
    {"init_size_largest", 0x260, UINT32_MAX, 4, -ENOMEM,
     "the kernel reaches guest address 0x101000000, memory for it ends at 0xc0000000"},
    {"pref_address_low", 0x258, 0xfffff, 8, -ENOEXEC,
     "the bzImage kernel's pref_address 0xfffff is below 1 MiB"},
    {"pref_address_behind_ram", 0x258, 0x8000000, 8, -ENOMEM,
     "the kernel needs 152 MiB, the guest has 64 MiB: raise mem_size_mib"},
    {"pref_address_wraps", 0x258, UINT64_MAX - 4095, 8, -ENOEXEC,
     "the bzImage kernel wraps around in memory"},
    {"alignment_0", 0x230, 0, 4, -ENOEXEC,
     "the bzImage kernel's kernel_alignment 0x0 is not a power of two from 4 KiB to 1 GiB"},
    {"alignment_odd", 0x230, 0x300000, 4, -ENOEXEC,
     "the bzImage kernel's kernel_alignment 0x300000 is not a power of two from 4 KiB to 1 GiB"},
    {"alignment_2_GiB", 0x230, 0x80000000, 4, -ENOEXEC,
     "the bzImage kernel's kernel_alignment 0x80000000 is not a power of two from 4 KiB to 1 GiB"},
    {"alignment_1_GiB", 0x230, 0x40000000, 4, -ENOMEM,
     "the kernel needs 1048 MiB, the guest has 64 MiB: raise mem_size_mib"},
};

static void test_arch_load_kernel__one_setup_field_broken__sentence(void **state)
{
    const struct corruption *row = *state;
    struct bz_image_file bz = bz_image_make();
    poke(&bz, row->off, row->value, row->size);
    assert_refused(row, &bz, sizeof(bz), LAYOUT_HIMEM);
}

static struct arch_kernel load_good(const struct bz_image_file *bz, struct gmem **ret_gmem)
{
    struct arch_kernel kernel = {0};
    struct err err = ERR_INIT;
    *ret_gmem = guest_create(64);
    int rc = load_bytes(*ret_gmem, bz, sizeof(*bz), &kernel, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    return kernel;
}

static void test_arch_load_kernel__bzimage__code_at_1_MiB(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    struct gmem *gmem;
    uint8_t got[BZ_CODE_SIZE + 1];
    struct arch_kernel kernel = load_good(&bz, &gmem);
    assert_int_equal(kernel.protocol, ARCH_PROTOCOL_LINUX64);
    assert_int_equal(kernel.entry, 0x100200);
    assert_int_equal(kernel.end, BZ_PREF_ADDRESS + BZ_INIT_SIZE);
    assert_true(kernel.is_bzimage);
    assert_int_equal(unit_peek(gmem, gpa(LAYOUT_HIMEM), got, sizeof(got)), 0);
    assert_memory_equal(got, bz.code, sizeof(bz.code));
    assert_int_equal(got[BZ_CODE_SIZE], 0);
    gmem_free(gmem);
}

static void test_arch_load_kernel__bzimage__header_kept_up_to_its_end(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    struct gmem *gmem;
    uint8_t zero[5] = {0};
    memset(bz.setup + 0x26c, 0xee, 16); /* behind the header: not kept */
    struct arch_kernel kernel = load_good(&bz, &gmem);
    assert_memory_equal(kernel.setup_header, bz.setup + 0x1f1, 0x26c - 0x1f1);
    assert_memory_equal(kernel.setup_header + (0x26c - 0x1f1), zero, sizeof(zero));
    gmem_free(gmem);
}

static void test_arch_load_kernel__bzimage_header_longer_than_known__cut(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    struct gmem *gmem;
    bz.setup[0x201] = 0xff;
    memset(bz.setup + 0x26c, 0xee, 0x100);
    struct arch_kernel kernel = load_good(&bz, &gmem);
    assert_memory_equal(kernel.setup_header, bz.setup + 0x1f1, ARCH_SETUP_HEADER_SIZE);
    gmem_free(gmem);
}

static void assert_end_is(const struct bz_image_file *bz, uint64_t end)
{
    struct gmem *gmem;
    struct arch_kernel kernel = load_good(bz, &gmem);
    assert_int_equal(kernel.end, end);
    gmem_free(gmem);
}

static void test_arch_load_kernel__bzimage_low_pref_address__aligned_load_counts(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    poke(&bz, 0x258, 0x100000, 8);
    assert_end_is(&bz, 0x200000 + BZ_INIT_SIZE);
}

static void test_arch_load_kernel__bzimage_not_relocatable__pref_address_counts(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    poke(&bz, 0x234, 0, 1);
    poke(&bz, 0x230, 3, 4); /* alignment is then nobody's business */
    poke(&bz, 0x258, 0x100000, 8);
    assert_end_is(&bz, 0x100000 + BZ_INIT_SIZE);
}

static void test_arch_load_kernel__bzimage_small_init_size__loaded_part_counts(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    poke(&bz, 0x230, 0x1000, 4);
    poke(&bz, 0x258, 0x100000, 8);
    poke(&bz, 0x260, 1, 4);
    assert_end_is(&bz, 0x100000 + BZ_CODE_SIZE);
}

static void test_arch_load_kernel__bzimage_exact_fit__loads(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    poke(&bz, 0x260, 0x3000000, 4);
    assert_end_is(&bz, 64 * MIB);
}

static void test_arch_load_kernel__bzimage_signature_behind__ignored(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    struct gmem *gmem;
    uint8_t got[2];
    poke(&bz, 0x1f4, BZ_CODE_SIZE / 16 - 1, 4);
    (void)load_good(&bz, &gmem);
    assert_int_equal(unit_peek(gmem, gpa(LAYOUT_HIMEM + BZ_CODE_SIZE - 17), got, 2), 0);
    assert_int_equal(got[0], 0xbc);
    assert_int_equal(got[1], 0);
    gmem_free(gmem);
}

static void test_arch_load_kernel__bzimage_header_cut__refused(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    static const struct corruption row = {
        .code = -ENOEXEC,
        .sentence = "the kernel is truncated: the setup header ends at byte 616, the file has 615"};
    assert_refused(&row, &bz, 615, LAYOUT_HIMEM);
}

static void test_arch_load_kernel__bzimage_cut_anywhere__refused(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    assert_cuts_refused(&bz, sizeof(bz), 0x280, 0x206);
}

static void check_is_whole(const struct arch_kernel *kernel)
{
    assert_int_equal(kernel->entry, 0x100200);
    assert_true(kernel->end >= LAYOUT_HIMEM + BZ_CODE_SIZE - 0x1000);
}

/* Whatever one byte of the header is: refused with a sentence, or a kernel that fits RAM. */
static void test_arch_load_kernel__any_setup_byte_changed__safe(void **state)
{
    (void)state;
    struct bz_image_file bz = bz_image_make();
    assert_true(flip_each_byte(&bz, sizeof(bz), 0x1f1, 0x280, check_is_whole) > 20);
}

static const struct CMUnitTest single_tests[] = {
    cmocka_unit_test(test_arch_load_kernel__bzimage__code_at_1_MiB),
    cmocka_unit_test(test_arch_load_kernel__bzimage__header_kept_up_to_its_end),
    cmocka_unit_test(test_arch_load_kernel__bzimage_header_longer_than_known__cut),
    cmocka_unit_test(test_arch_load_kernel__bzimage_low_pref_address__aligned_load_counts),
    cmocka_unit_test(test_arch_load_kernel__bzimage_not_relocatable__pref_address_counts),
    cmocka_unit_test(test_arch_load_kernel__bzimage_small_init_size__loaded_part_counts),
    cmocka_unit_test(test_arch_load_kernel__bzimage_exact_fit__loads),
    cmocka_unit_test(test_arch_load_kernel__bzimage_signature_behind__ignored),
    cmocka_unit_test(test_arch_load_kernel__bzimage_header_cut__refused),
    cmocka_unit_test(test_arch_load_kernel__bzimage_cut_anywhere__refused),
    cmocka_unit_test(test_arch_load_kernel__any_setup_byte_changed__safe),
};

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(single_tests) + ARRAY_LEN(corruptions)];
    memcpy(tests, single_tests, sizeof(single_tests));
    for (size_t i = 0; i < ARRAY_LEN(corruptions); i++)
        tests[ARRAY_LEN(single_tests) + i] = (struct CMUnitTest){
            .name = corruptions[i].name,
            .test_func = test_arch_load_kernel__one_setup_field_broken__sentence,
            .initial_state = (void *)(uintptr_t)&corruptions[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
