/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arch tests share: a guest of a chosen size, files in memory, and the smallest ELF and
 * bzImage kernels that the loaders accept; tests then break one thing. Single thread.
 */
#pragma once

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/peek.h"
#include "tests/unit/unit.h"
#include "vmm/arch/x86_64/arch.h"

#define MIB (1024ull * 1024)
#define NO_KERNEL "Kernel Loader: failed to load ELF kernel image: Kernel Loader: "
#define KERNEL_BASE 0x1000000ull
#define KERNEL_DATA_BASE 0x1200000ull
#define PVH_ENTRY (KERNEL_BASE + 0x40)

/* RAM of `mib` MiB, cut as the machine does it. The caller frees. */
static inline struct gmem *guest_create(uint64_t mib)
{
    struct gmem_range ranges[GMEM_REGIONS_MAX];
    uint32_t count = 0;
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(arch_memory_ranges(mib * MIB, ranges, &count, &err), 0);
    assert_int_equal(gmem_create(ranges, count, GMEM_BACKING_HEAP, false, &gmem, &err), 0);
    return gmem;
}

/* An unnamed file with these bytes. The caller closes. */
static inline int file_with(const void *bytes, size_t len)
{
    int fd = memfd_create("arch-test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, bytes, len), 0);
    return fd;
}

/* A file of `len` zero bytes that takes no memory. The caller closes. */
static inline int file_of_size(uint64_t len)
{
    int fd = memfd_create("arch-test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    return fd;
}

/* Changes one field of a file image. */
static inline void poke(void *image, size_t off, uint64_t value, size_t size)
{
    memcpy((uint8_t *)image + off, &value, size); /* little-endian host, as the guest is */
}

/* vmlinux in small: code, data with bss behind, and a note segment that holds the PVH entry. */
struct elf_image_file {
    Elf64_Ehdr ehdr;
    Elf64_Phdr phdrs[3];
    uint8_t pad1[0x200 - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
    struct {
        Elf64_Nhdr gnu; /* a note to step over */
        char gnu_name[4];
        uint8_t gnu_desc[8];
        Elf64_Nhdr xen;
        char xen_name[4];
        uint64_t xen_entry;
    } __attribute__((packed)) notes; /* 0x200 */
    uint8_t pad2[0xe00 - 48];
    uint8_t code[0x1000]; /* 0x1000 */
    uint8_t data[0x400];  /* 0x2000 */
};
static_assert(sizeof(struct elf_image_file) == 0x2400, "layout the tests count on");

static inline struct elf_image_file elf_image_make(void)
{
    struct elf_image_file elf = {
        .ehdr = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                 .e_type = ET_EXEC,
                 .e_machine = EM_X86_64,
                 .e_version = EV_CURRENT,
                 .e_entry = KERNEL_BASE,
                 .e_phoff = sizeof(Elf64_Ehdr),
                 .e_ehsize = sizeof(Elf64_Ehdr),
                 .e_phentsize = sizeof(Elf64_Phdr),
                 .e_phnum = 3},
        .phdrs =
            {{.p_type = PT_LOAD,
              .p_offset = 0x1000,
              .p_vaddr = 0xffffffff81000000,
              .p_paddr = KERNEL_BASE,
              .p_filesz = 0x1000,
              .p_memsz = 0x1000},
             {.p_type = PT_LOAD,
              .p_offset = 0x2000,
              .p_vaddr = 0xffffffff81200000,
              .p_paddr = KERNEL_DATA_BASE,
              .p_filesz = 0x400,
              .p_memsz = 0x10000},
             {.p_type = PT_NOTE, .p_offset = 0x200, .p_filesz = 48, .p_memsz = 48, .p_align = 4}},
        .notes = {.gnu = {4, 8, 3},
                  .gnu_name = "GNU",
                  .xen = {4, 8, 18},
                  .xen_name = "Xen",
                  .xen_entry = PVH_ENTRY},
    };
    memset(elf.code, 0xc0, sizeof(elf.code));
    memset(elf.data, 0xda, sizeof(elf.data));
    return elf;
}

/* bzImage in small: two sectors of setup, then 8 KiB of code. Fields by boot.rst offset. */
#define BZ_SETUP_SIZE 1024u
#define BZ_CODE_SIZE 8192u
#define BZ_PREF_ADDRESS 0x1000000ull
#define BZ_INIT_SIZE 0x1800000u

struct bz_image_file {
    uint8_t setup[BZ_SETUP_SIZE];
    uint8_t code[BZ_CODE_SIZE];
};

static inline struct bz_image_file bz_image_make(void)
{
    struct bz_image_file bz = {0};
    poke(&bz, 0x1f1, 1, 1);                 /* setup_sects */
    poke(&bz, 0x1f4, BZ_CODE_SIZE / 16, 4); /* syssize */
    poke(&bz, 0x1fe, 0xaa55, 2);            /* boot_flag */
    poke(&bz, 0x200, 0x6aeb, 2);            /* jump behind the header at 0x26c */
    poke(&bz, 0x202, 0x53726448, 4);        /* HdrS */
    poke(&bz, 0x206, 0x020f, 2);            /* version */
    poke(&bz, 0x211, 0x01, 1);              /* loadflags: LOADED_HIGH */
    poke(&bz, 0x214, 0x100000, 4);          /* code32_start */
    poke(&bz, 0x22c, 0x7fffffff, 4);        /* initrd_addr_max */
    poke(&bz, 0x230, 0x200000, 4);          /* kernel_alignment */
    poke(&bz, 0x234, 1, 1);                 /* relocatable_kernel */
    poke(&bz, 0x236, 0x3f, 2);              /* xloadflags */
    poke(&bz, 0x238, 2047, 4);              /* cmdline_size */
    poke(&bz, 0x258, BZ_PREF_ADDRESS, 8);   /* pref_address */
    poke(&bz, 0x260, BZ_INIT_SIZE, 4);      /* init_size */
    poke(&bz, 0x268, 0x1234, 4);            /* kernel_info_offset */
    memset(bz.code, 0xbc, sizeof(bz.code));
    return bz;
}

/* Loads `bytes` as a kernel into `gmem`; the result of arch_load_kernel. */
static inline int load_bytes(struct gmem *gmem, const void *bytes, size_t len,
                             struct arch_kernel *ret_kernel, struct err *err)
{
    int fd = file_with(bytes, len);
    int rc = arch_load_kernel(gmem, fd, ret_kernel, err);
    fd_close(&fd);
    return rc;
}

/* One field of an image replaced, and the sentence that must come of it. */
struct corruption {
    const char *name;
    size_t off;
    uint64_t value;
    size_t size; /* bytes of the field */
    int code;
    const char *sentence;
};

/* The image fails with row's code and sentence, no kernel comes out and no RAM is touched. */
static inline void assert_refused(const struct corruption *row, const void *bytes, size_t len,
                                  uint64_t probe_addr)
{
    struct gmem *gmem = guest_create(64);
    struct arch_kernel kernel = {.entry = 77};
    struct err err = ERR_INIT;
    uint64_t probe = 1;
    int rc = load_bytes(gmem, bytes, len, &kernel, &err);
    assert_string_equal(err.msg, row->sentence);
    assert_int_equal(rc, row->code);
    assert_int_equal(err.code, row->code);
    assert_int_equal(kernel.entry, 77);
    assert_int_equal(unit_peek(gmem, gpa(probe_addr), &probe, sizeof(probe)), 0);
    assert_int_equal(probe, 0);
    gmem_free(gmem);
}

/*
 * The image cut at each byte of its head, later at every 61st: refused with a sentence, which says
 * "truncated" as soon as the `magic_len` bytes that tell its kind are there.
 */
static inline void assert_cuts_refused(const void *bytes, size_t len, size_t head_len,
                                       size_t magic_len)
{
    struct gmem *gmem = guest_create(64);
    for (size_t cut = 1; cut < len; cut += cut < head_len ? 1 : 61) {
        struct arch_kernel kernel;
        struct err err = ERR_INIT;
        assert_true(load_bytes(gmem, bytes, cut, &kernel, &err) < 0);
        assert_true(strstr(err.msg, cut < magic_len ? "Invalid Elf magic" : "truncated: ") != NULL);
    }
    gmem_free(gmem);
}

/* One byte of the image changed: refused with a sentence, or a kernel that passes `check` and ends
 * in RAM. Returns whether it was refused. */
static inline bool load_flipped(struct gmem *gmem, uint8_t *bytes, size_t len, size_t off,
                                uint8_t flip, void (*check)(const struct arch_kernel *kernel))
{
    struct arch_kernel kernel = {0};
    struct err err = ERR_INIT;
    bytes[off] ^= flip;
    int rc = load_bytes(gmem, bytes, len, &kernel, &err);
    bytes[off] ^= flip;
    if (rc < 0) {
        assert_string_not_equal(err.msg, "");
        return true;
    }
    check(&kernel);
    assert_true(kernel.end <= 64 * MIB);
    return false;
}

/* load_flipped for each byte of [begin, end), three ways. Returns how many were refused. */
static inline unsigned flip_each_byte(void *bytes, size_t len, size_t begin, size_t end,
                                      void (*check)(const struct arch_kernel *kernel))
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    struct gmem *gmem = guest_create(64);
    unsigned refused = 0;
    for (size_t off = begin; off < end; off++)
        for (size_t i = 0; i < ARRAY_LEN(flips); i++)
            refused += load_flipped(gmem, bytes, len, off, flips[i], check);
    gmem_free(gmem);
    return refused;
}
