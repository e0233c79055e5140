/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of vmm/arch/x86_64/initrd.c: where the initrd goes and when it is refused. */
#include "tests/unit/arch/arch_images.h"

#include <errno.h>
#include <fcntl.h>

#define KERNEL_END 0x2000000ull

static const struct arch_kernel elf_kernel = {.entry = KERNEL_BASE, .end = KERNEL_END};

/* A bzImage kernel whose header allows an initrd up to and including byte `last`. */
static struct arch_kernel bz_kernel(uint32_t last)
{
    struct arch_kernel kernel = {.end = KERNEL_END, .is_bzimage = true};
    poke(kernel.setup_header, 0x22c - 0x1f1, last, 4);
    return kernel;
}

static void assert_placed(uint64_t mib, const struct arch_kernel *kernel, uint64_t size,
                          uint64_t base)
{
    struct gmem *gmem = guest_create(mib);
    struct arch_initrd initrd = {0};
    struct err err = ERR_INIT;
    int fd = file_of_size(size);
    int rc = arch_load_initrd(gmem, fd, kernel, &initrd, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    assert_int_equal(initrd.base, base);
    assert_int_equal(initrd.size, size);
    fd_close(&fd);
    gmem_free(gmem);
}

static void assert_fd_refused(uint64_t mib, const struct arch_kernel *kernel, int fd, int code,
                              const char *sentence)
{
    struct gmem *gmem = guest_create(mib);
    struct arch_initrd initrd = {.base = 77};
    struct err err = ERR_INIT;
    int rc = arch_load_initrd(gmem, fd, kernel, &initrd, &err);
    assert_string_equal(err.msg, sentence);
    assert_int_equal(rc, code);
    assert_int_equal(initrd.base, 77);
    fd_close(&fd);
    gmem_free(gmem);
}

static void test_arch_load_initrd__bytes__in_place(void **state)
{
    (void)state;
    static const uint8_t bytes[5] = {1, 2, 3, 4, 5};
    uint8_t got[6];
    struct gmem *gmem = guest_create(64);
    struct arch_initrd initrd;
    struct err err = ERR_INIT;
    int fd = file_with(bytes, sizeof(bytes));
    assert_int_equal(arch_load_initrd(gmem, fd, &elf_kernel, &initrd, &err), 0);
    assert_int_equal(initrd.base, 64 * MIB - 4096);
    assert_int_equal(unit_peek(gmem, gpa(initrd.base), got, sizeof(got)), 0);
    assert_memory_equal(got, bytes, sizeof(bytes));
    assert_int_equal(got[5], 0);
    fd_close(&fd);
    gmem_free(gmem);
}

static void test_arch_load_initrd__whole_pages__ends_at_end_of_ram(void **state)
{
    (void)state;
    assert_placed(64, &elf_kernel, 3 * MIB, 61 * MIB);
}

static void test_arch_load_initrd__guest_of_4_GiB__ends_at_3_GiB(void **state)
{
    (void)state;
    assert_placed(4096, &elf_kernel, 4097, 0xc0000000 - 8192);
}

static void test_arch_load_initrd__bzimage_with_limit__ends_there(void **state)
{
    (void)state;
    struct arch_kernel kernel = bz_kernel(0x7fffffff);
    assert_placed(4096, &kernel, 4096, 0x80000000 - 4096);
}

static void test_arch_load_initrd__bzimage_without_limit__ends_at_3_GiB(void **state)
{
    (void)state;
    struct arch_kernel kernel = bz_kernel(0xffffffff);
    assert_placed(4096, &kernel, 4096, 0xc0000000 - 4096);
}

static void test_arch_load_initrd__all_room_behind_kernel__fits(void **state)
{
    (void)state;
    assert_placed(64, &elf_kernel, 32 * MIB, KERNEL_END);
}

static void test_arch_load_initrd__one_byte_more__refused(void **state)
{
    (void)state;
    assert_fd_refused(64, &elf_kernel, file_of_size(32 * MIB + 1), -ENOMEM,
                      "the initrd has 33554433 bytes, behind the kernel (up to 0x2000000) 33554432"
                      " are free: raise mem_size_mib or shrink the initrd");
}

static void test_arch_load_initrd__larger_than_all_ram__refused(void **state)
{
    (void)state;
    assert_fd_refused(64, &elf_kernel, file_of_size(65 * MIB), -ENOMEM,
                      "the initrd has 68157440 bytes, behind the kernel (up to 0x2000000) 33554432"
                      " are free: raise mem_size_mib or shrink the initrd");
}

static void test_arch_load_initrd__limit_inside_kernel__refused(void **state)
{
    (void)state;
    struct arch_kernel kernel = bz_kernel(0x1ffffff);
    assert_fd_refused(64, &kernel, file_of_size(1), -ENOMEM,
                      "the initrd has 1 bytes, behind the kernel (up to 0x2000000) 0 are free:"
                      " raise mem_size_mib or shrink the initrd");
}

static void test_arch_load_initrd__limit_0__refused(void **state)
{
    (void)state;
    struct arch_kernel kernel = bz_kernel(0);
    assert_fd_refused(64, &kernel, file_of_size(1), -ENOMEM,
                      "the initrd has 1 bytes, behind the kernel (up to 0x2000000) 0 are free:"
                      " raise mem_size_mib or shrink the initrd");
}

static void test_arch_load_initrd__empty_file__refused(void **state)
{
    (void)state;
    assert_fd_refused(64, &elf_kernel, file_of_size(0), -EINVAL, "the initrd file is empty");
}

static void test_arch_load_initrd__oversized_file__refused(void **state)
{
    (void)state;
    assert_fd_refused(64, &elf_kernel, file_of_size(ARCH_INITRD_SIZE_MAX + 1), -EFBIG,
                      "the initrd file has 4294967297 bytes, at most 4294967296 are accepted");
}

static void test_arch_load_initrd__directory__refused(void **state)
{
    (void)state;
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_fd_refused(64, &elf_kernel, fd, -EISDIR, "the initrd is a directory, not a file");
}

static void test_arch_load_initrd__unreadable_fd__refused(void **state)
{
    (void)state;
    int fd = open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, "x", 1), 0);
    assert_fd_refused(64, &elf_kernel, fd, -EBADF,
                      "the initrd file cannot be read: Bad file descriptor (os error 9)");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_load_initrd__bytes__in_place),
        cmocka_unit_test(test_arch_load_initrd__whole_pages__ends_at_end_of_ram),
        cmocka_unit_test(test_arch_load_initrd__guest_of_4_GiB__ends_at_3_GiB),
        cmocka_unit_test(test_arch_load_initrd__bzimage_with_limit__ends_there),
        cmocka_unit_test(test_arch_load_initrd__bzimage_without_limit__ends_at_3_GiB),
        cmocka_unit_test(test_arch_load_initrd__all_room_behind_kernel__fits),
        cmocka_unit_test(test_arch_load_initrd__one_byte_more__refused),
        cmocka_unit_test(test_arch_load_initrd__larger_than_all_ram__refused),
        cmocka_unit_test(test_arch_load_initrd__limit_inside_kernel__refused),
        cmocka_unit_test(test_arch_load_initrd__limit_0__refused),
        cmocka_unit_test(test_arch_load_initrd__empty_file__refused),
        cmocka_unit_test(test_arch_load_initrd__oversized_file__refused),
        cmocka_unit_test(test_arch_load_initrd__directory__refused),
        cmocka_unit_test(test_arch_load_initrd__unreadable_fd__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
