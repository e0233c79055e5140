/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/arch/x86_64/boot.c and regs.c: what the guest finds at its first instruction.
 * The zero page is read back through Linux's own struct boot_params, page tables by walking them.
 */
#include "tests/unit/arch/arch_images.h"

#include <asm/bootparam.h>
#include <errno.h>

#define GIB (1024 * MIB)

static const struct arch_kernel linux_kernel = {
    .protocol = ARCH_PROTOCOL_LINUX64, .entry = 0x1000000, .end = 0x2000000};
static const struct arch_kernel pvh_kernel = {
    .protocol = ARCH_PROTOCOL_PVH, .entry = 0x1000040, .end = 0x2000000};
static const struct arch_initrd no_initrd = {0};
static const struct arch_initrd some_initrd = {.base = 0x3f00000, .size = 0xff123};

/* One boot written into a guest; fields a test does not set are the plainest. */
struct scene {
    struct gmem *gmem;
    struct arch_cmdline cmdline;
    struct arch_boot boot;
    uint8_t seed[ARCH_RNG_SEED_SIZE];
};

static void scene_init(struct scene *scene, uint64_t mib, const struct arch_kernel *kernel)
{
    struct err err = ERR_INIT;
    memset(scene, 0, sizeof(*scene));
    memset(scene->seed, 0x5e, sizeof(scene->seed));
    scene->gmem = guest_create(mib);
    assert_int_equal(arch_cmdline_init(&scene->cmdline, "console=ttyS0", &err), 0);
    scene->boot = (struct arch_boot){
        .kernel = kernel, .initrd = &no_initrd, .cmdline = &scene->cmdline, .rsdp = LAYOUT_RSDP};
}

static void scene_write(struct scene *scene)
{
    struct err err = ERR_INIT;
    int rc = arch_write_boot(scene->gmem, &scene->boot, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void peek(const struct scene *scene, uint64_t addr, void *dst, size_t len)
{
    assert_int_equal(unit_peek(scene->gmem, gpa(addr), dst, len), 0);
}

static uint64_t peek_u64(const struct scene *scene, uint64_t addr)
{
    uint64_t value;
    peek(scene, addr, &value, sizeof(value));
    return value;
}

static struct boot_params peek_zero_page(const struct scene *scene)
{
    struct boot_params params;
    static_assert(sizeof(params) == 4096, "zero page");
    peek(scene, 0x7000, &params, sizeof(params));
    return params;
}

static void test_arch_write_boot__elf__zero_page(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 64, &linux_kernel);
    scene.boot.initrd = &some_initrd;
    scene_write(&scene);
    struct boot_params params = peek_zero_page(&scene);
    assert_int_equal(params.hdr.boot_flag, 0xaa55);
    assert_int_equal(params.hdr.header, 0x53726448);
    assert_int_equal(params.hdr.type_of_loader, 0xff);
    assert_int_equal(params.hdr.kernel_alignment, 0x1000000);
    assert_int_equal(params.hdr.cmd_line_ptr, 0x20000);
    assert_int_equal(params.hdr.cmdline_size, scene.cmdline.len);
    assert_int_equal(params.hdr.ramdisk_image, 0x3f00000);
    assert_int_equal(params.hdr.ramdisk_size, 0xff123);
    assert_int_equal(params.hdr.setup_data, 0);
    assert_int_equal(params.acpi_rsdp_addr, 0xe0000);
    assert_int_equal(params.sentinel, 0);
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__no_initrd_no_acpi__zeroes(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 64, &linux_kernel);
    scene.boot.rsdp = 0;
    scene_write(&scene);
    struct boot_params params = peek_zero_page(&scene);
    assert_int_equal(params.hdr.ramdisk_image, 0);
    assert_int_equal(params.hdr.ramdisk_size, 0);
    assert_int_equal(params.acpi_rsdp_addr, 0);
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__any__command_line_with_nul(void **state)
{
    (void)state;
    struct scene scene;
    char got[64];
    scene_init(&scene, 64, &linux_kernel);
    /* What stood there before shows a missing NUL. */
    memset(got, 'x', sizeof(got));
    assert_int_equal(gmem_write(scene.gmem, gpa(0x20000), got, sizeof(got)), 0);
    scene_write(&scene);
    peek(&scene, 0x20000, got, sizeof(got));
    got[sizeof(got) - 1] = '\0';
    assert_string_equal(got, "console=ttyS0 pci=off");
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__rng_seed__in_setup_data(void **state)
{
    (void)state;
    struct scene scene;
    struct setup_data head;
    uint8_t seed[ARCH_RNG_SEED_SIZE];
    scene_init(&scene, 64, &linux_kernel);
    scene.boot.rng_seed = scene.seed;
    scene_write(&scene);
    struct boot_params params = peek_zero_page(&scene);
    assert_int_equal(params.hdr.setup_data, 0x3000);
    peek(&scene, 0x3000, &head, sizeof(head));
    assert_int_equal(head.next, 0);
    assert_int_equal(head.type, SETUP_RNG_SEED);
    assert_int_equal(head.len, ARCH_RNG_SEED_SIZE);
    peek(&scene, 0x3000 + offsetof(struct setup_data, data), seed, sizeof(seed));
    assert_memory_equal(seed, scene.seed, sizeof(seed));
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__bzimage__header_preserved(void **state)
{
    (void)state;
    struct scene scene;
    struct arch_kernel kernel = linux_kernel;
    struct err err = ERR_INIT;
    struct bz_image_file bz = bz_image_make();
    scene_init(&scene, 64, &kernel);
    assert_int_equal(load_bytes(scene.gmem, &bz, sizeof(bz), &kernel, &err), 0);
    scene_write(&scene);
    struct boot_params params = peek_zero_page(&scene);
    assert_int_equal(params.hdr.setup_sects, 1);
    assert_int_equal(params.hdr.version, 0x20f);
    assert_int_equal(params.hdr.pref_address, BZ_PREF_ADDRESS);
    assert_int_equal(params.hdr.init_size, BZ_INIT_SIZE);
    assert_int_equal(params.hdr.kernel_info_offset, 0x1234);
    assert_int_equal(params.hdr.kernel_alignment, 0x200000);
    assert_int_equal(params.hdr.cmdline_size, 2047);
    assert_int_equal(params.hdr.type_of_loader, 0xff);
    assert_int_equal(params.hdr.cmd_line_ptr, 0x20000);
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__bzimage_takes_shorter_command_line__refused(void **state)
{
    (void)state;
    struct scene scene;
    struct arch_kernel kernel = linux_kernel;
    struct err err = ERR_INIT;
    struct bz_image_file bz = bz_image_make();
    poke(&bz, 0x238, 20, 4);
    scene_init(&scene, 64, &kernel);
    assert_int_equal(load_bytes(scene.gmem, &bz, sizeof(bz), &kernel, &err), 0);
    assert_int_equal(arch_write_boot(scene.gmem, &scene.boot, &err), -E2BIG);
    assert_string_equal(err.msg,
                        "the kernel command line has 21 bytes, this kernel takes at most 20");
    gmem_free(scene.gmem);
}

/* The start of every guest's memory map. */
static const struct boot_e820_entry common_map[] = {
    {0, 0x9fc00, 1},
    {0x9fc00, 0x40400, 2},
    {0xEEC00000, 0x10000000, 2},
};

static void assert_e820(uint64_t mib, const struct boot_e820_entry *ram, uint32_t ram_count)
{
    struct scene scene;
    scene_init(&scene, mib, &linux_kernel);
    scene_write(&scene);
    struct boot_params params = peek_zero_page(&scene);
    assert_int_equal(params.e820_entries, ARRAY_LEN(common_map) + ram_count);
    assert_memory_equal(params.e820_table, common_map, sizeof(common_map));
    assert_memory_equal(&params.e820_table[ARRAY_LEN(common_map)], ram, ram_count * sizeof(*ram));
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__64_MiB__memory_map(void **state)
{
    (void)state;
    static const struct boot_e820_entry ram[] = {{0x100000, 63 * MIB, 1}};
    assert_e820(64, ram, ARRAY_LEN(ram));
}

static void test_arch_write_boot__1_MiB__no_high_ram(void **state)
{
    (void)state;
    assert_e820(1, NULL, 0);
}

static void test_arch_write_boot__4_GiB__memory_map_across_gap(void **state)
{
    (void)state;
    static const struct boot_e820_entry ram[] = {{0x100000, 0xc0000000 - 0x100000, 1},
                                                 {0x100000000, GIB, 1}};
    assert_e820(4096, ram, ARRAY_LEN(ram));
}

struct pvh_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist, cmdline, rsdp, memmap;
    uint32_t memmap_entries, reserved;
};

static void test_arch_write_boot__pvh__start_info(void **state)
{
    (void)state;
    struct scene scene;
    struct pvh_info info;
    scene_init(&scene, 64, &pvh_kernel);
    scene_write(&scene);
    peek(&scene, 0x6000, &info, sizeof(info));
    assert_int_equal(info.magic, 0x336ec578);
    assert_int_equal(info.version, 1);
    assert_int_equal(info.flags, 0);
    assert_int_equal(info.nr_modules, 0);
    assert_int_equal(info.modlist, 0);
    assert_int_equal(info.cmdline, 0x20000);
    assert_int_equal(info.rsdp, 0xe0000);
    assert_int_equal(info.memmap, 0x7000);
    assert_int_equal(info.memmap_entries, 4);
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__pvh__memory_map(void **state)
{
    (void)state;
    struct scene scene;
    struct {
        uint64_t addr, size;
        uint32_t type, reserved;
    } map[5];
    scene_init(&scene, 4096, &pvh_kernel);
    scene_write(&scene);
    peek(&scene, 0x7000, map, sizeof(map));
    for (size_t i = 0; i < ARRAY_LEN(common_map); i++) {
        assert_int_equal(map[i].addr, common_map[i].addr);
        assert_int_equal(map[i].size, common_map[i].size);
        assert_int_equal(map[i].type, common_map[i].type);
        assert_int_equal(map[i].reserved, 0);
    }
    assert_int_equal(map[3].addr, 0x100000);
    assert_int_equal(map[3].size, 0xc0000000 - 0x100000);
    assert_int_equal(map[4].addr, 0x100000000);
    assert_int_equal(map[4].size, GIB);
    assert_int_equal(map[4].type, 1);
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__pvh_with_initrd__one_module(void **state)
{
    (void)state;
    struct scene scene;
    struct pvh_info info;
    scene_init(&scene, 64, &pvh_kernel);
    scene.boot.initrd = &some_initrd;
    scene_write(&scene);
    peek(&scene, 0x6000, &info, sizeof(info));
    assert_int_equal(info.nr_modules, 1);
    assert_int_equal(info.modlist, 0x6040);
    assert_int_equal(peek_u64(&scene, 0x6040), some_initrd.base);
    assert_int_equal(peek_u64(&scene, 0x6048), some_initrd.size);
    assert_int_equal(peek_u64(&scene, 0x6050), 0);
    assert_int_equal(peek_u64(&scene, 0x6058), 0);
    gmem_free(scene.gmem);
}

/* Guest-physical address of a linear one, by the tables; UINT64_MAX when not mapped. */
static uint64_t translate(const struct scene *scene, uint64_t cr3, uint64_t addr)
{
    uint64_t table = cr3;
    for (int shift = 39; shift >= 21; shift -= 9) {
        uint64_t entry = peek_u64(scene, table + ((addr >> shift) & 511) * 8);
        if ((entry & 3) != 3)
            return UINT64_MAX;
        if (entry & 0x80)
            return shift == 21 ? (entry & ~0x1fffffull) + (addr & 0x1fffff) : UINT64_MAX;
        table = entry & ~0xfffull;
    }
    return UINT64_MAX;
}

static void assert_identity_up_to(uint64_t mib, uint64_t kernel_end, uint64_t mapped_end)
{
    struct scene scene;
    struct arch_kernel kernel = linux_kernel;
    struct kvm_regs regs;
    struct kvm_sregs sregs = {0};
    kernel.end = kernel_end;
    scene_init(&scene, mib, &kernel);
    scene_write(&scene);
    arch_boot_regs(&kernel, &regs, &sregs);
    for (uint64_t addr = 0x1234; addr < mapped_end; addr += 2 * MIB)
        assert_int_equal(translate(&scene, sregs.cr3, addr), addr);
    assert_int_equal(translate(&scene, sregs.cr3, mapped_end), UINT64_MAX);
    gmem_free(scene.gmem);
}

static void test_arch_write_boot__linux64__first_GiB_mapped(void **state)
{
    (void)state;
    assert_identity_up_to(64, 0x2000000, GIB);
}

static void test_arch_write_boot__kernel_above_1_GiB__more_mapped(void **state)
{
    (void)state;
    assert_identity_up_to(3072, GIB + 1, 2 * GIB);
    assert_identity_up_to(3072, 3 * GIB, 3 * GIB);
}

static void test_arch_write_boot__kernel_above_3_GiB__refused(void **state)
{
    (void)state;
    struct scene scene;
    struct arch_kernel kernel = linux_kernel;
    struct err err = ERR_INIT;
    kernel.end = 3 * GIB + 1;
    scene_init(&scene, 64, &kernel);
    assert_int_equal(arch_write_boot(scene.gmem, &scene.boot, &err), -EINVAL);
    assert_string_equal(err.msg, "the kernel ends at 0xc0000001, above 3 GiB");
    gmem_free(scene.gmem);
}

/* The descriptor that `seg` names in the guest's GDT must say the same as its hidden part. */
static void assert_descriptor_matches(const struct scene *scene, const struct kvm_sregs *sregs,
                                      const struct kvm_segment *seg)
{
    assert_true(seg->selector + 7u <= sregs->gdt.limit);
    uint64_t raw = peek_u64(scene, sregs->gdt.base + seg->selector);
    uint64_t base = ((raw >> 16) & 0xffffff) | ((raw >> 56) << 24);
    uint64_t limit = (raw & 0xffff) | ((raw >> 32) & 0xf0000);
    assert_int_equal(base, seg->base);
    assert_int_equal((limit << 12) | 0xfff, seg->limit);
    assert_int_equal((raw >> 40) & 0xf, seg->type);
    assert_int_equal((raw >> 44) & 1, seg->s);
    assert_int_equal((raw >> 45) & 3, seg->dpl);
    assert_int_equal((raw >> 47) & 1, seg->present);
    assert_int_equal((raw >> 53) & 1, seg->l);
    assert_int_equal((raw >> 54) & 1, seg->db);
    assert_int_equal((raw >> 55) & 1, seg->g);
}

static void assert_segments(const struct arch_kernel *kernel)
{
    struct scene scene;
    struct kvm_regs regs;
    struct kvm_sregs sregs = {.apic_base = 0xfee00900, .cr8 = 3};
    scene_init(&scene, 64, kernel);
    scene_write(&scene);
    arch_boot_regs(kernel, &regs, &sregs);
    const struct kvm_segment *segs[] = {&sregs.cs, &sregs.ds, &sregs.es,
                                        &sregs.fs, &sregs.gs, &sregs.ss};
    for (size_t i = 0; i < ARRAY_LEN(segs); i++)
        assert_descriptor_matches(&scene, &sregs, segs[i]);
    assert_int_equal(sregs.cs.selector, 0x10);
    assert_int_equal(sregs.ds.selector, 0x18);
    assert_int_equal(sregs.gdt.base, 0x500);
    assert_int_equal(sregs.idt.base, 0x520);
    assert_int_equal(sregs.apic_base, 0xfee00900);
    assert_int_equal(sregs.cr8, 3);
    gmem_free(scene.gmem);
}

static void test_arch_boot_regs__linux64__segments_as_in_gdt(void **state)
{
    (void)state;
    assert_segments(&linux_kernel);
}

static void test_arch_boot_regs__pvh__segments_as_in_gdt(void **state)
{
    (void)state;
    assert_segments(&pvh_kernel);
}

static void test_arch_boot_regs__linux64__long_mode(void **state)
{
    (void)state;
    struct kvm_regs regs;
    struct kvm_sregs sregs = {.cr0 = 0x60000010, .cr4 = 0x1000};
    arch_boot_regs(&linux_kernel, &regs, &sregs);
    assert_int_equal(regs.rip, 0x1000000);
    assert_int_equal(regs.rsi, 0x7000);
    assert_int_equal(regs.rsp, 0x8ff0);
    assert_int_equal(regs.rbp, 0x8ff0);
    assert_int_equal(regs.rflags, 2);
    assert_int_equal(regs.rbx, 0);
    assert_int_equal(sregs.cr0, 0x80000011);
    assert_int_equal(sregs.cr3, 0x9000);
    assert_int_equal(sregs.cr4, 0x20);
    assert_int_equal(sregs.efer, 0x500);
    assert_int_equal(sregs.cs.l, 1);
    assert_int_equal(sregs.cs.db, 0);
}

static void test_arch_boot_regs__pvh__protected_mode_without_paging(void **state)
{
    (void)state;
    struct kvm_regs regs;
    struct kvm_sregs sregs = {.cr0 = 0x60000010, .cr3 = 0x9000, .cr4 = 0x20, .efer = 0x500};
    arch_boot_regs(&pvh_kernel, &regs, &sregs);
    assert_int_equal(regs.rip, 0x1000040);
    assert_int_equal(regs.rbx, 0x6000);
    assert_int_equal(regs.rflags, 2);
    assert_int_equal(sregs.cr0, 0x11);
    assert_int_equal(sregs.cr3, 0);
    assert_int_equal(sregs.cr4, 0);
    assert_int_equal(sregs.efer, 0);
    assert_int_equal(sregs.cs.l, 0);
    assert_int_equal(sregs.cs.db, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_write_boot__elf__zero_page),
        cmocka_unit_test(test_arch_write_boot__no_initrd_no_acpi__zeroes),
        cmocka_unit_test(test_arch_write_boot__any__command_line_with_nul),
        cmocka_unit_test(test_arch_write_boot__rng_seed__in_setup_data),
        cmocka_unit_test(test_arch_write_boot__bzimage__header_preserved),
        cmocka_unit_test(test_arch_write_boot__bzimage_takes_shorter_command_line__refused),
        cmocka_unit_test(test_arch_write_boot__64_MiB__memory_map),
        cmocka_unit_test(test_arch_write_boot__1_MiB__no_high_ram),
        cmocka_unit_test(test_arch_write_boot__4_GiB__memory_map_across_gap),
        cmocka_unit_test(test_arch_write_boot__pvh__start_info),
        cmocka_unit_test(test_arch_write_boot__pvh__memory_map),
        cmocka_unit_test(test_arch_write_boot__pvh_with_initrd__one_module),
        cmocka_unit_test(test_arch_write_boot__linux64__first_GiB_mapped),
        cmocka_unit_test(test_arch_write_boot__kernel_above_1_GiB__more_mapped),
        cmocka_unit_test(test_arch_write_boot__kernel_above_3_GiB__refused),
        cmocka_unit_test(test_arch_boot_regs__linux64__segments_as_in_gdt),
        cmocka_unit_test(test_arch_boot_regs__pvh__segments_as_in_gdt),
        cmocka_unit_test(test_arch_boot_regs__linux64__long_mode),
        cmocka_unit_test(test_arch_boot_regs__pvh__protected_mode_without_paging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
