/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF64 vmlinux: checks the headers against file and RAM, picks PVH when the note is there and it
 * is not Linux, else the 64-bit boot protocol at e_entry (a physical address in vmlinux), then
 * moves the segments straight into guest memory. A segment's bss is not written: guest RAM is fresh
 * anonymous memory at boot, and segments may not overlap. Thread: vmm, before the guest runs.
 * devices.md 8.2; ELF-64 and the Xen PVH note.
 */
#include "vmm/arch/x86_64/load_int.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "base/fd.h"
#include "base/le.h"

#define ELF_SEGMENTS_MAX 64u
#define ELF_NOTES_MAX_SIZE (64u * 1024)
#define ELF_NOTE_XEN_PHYS32_ENTRY 18u

struct elf_header {
    uint8_t ident[EI_NIDENT];
    le16_t type;
    le16_t machine;
    le32_t version;
    le64_t entry;
    le64_t phoff;
    le64_t shoff;
    le32_t flags;
    le16_t ehsize;
    le16_t phentsize;
    le16_t phnum;
    le16_t shentsize;
    le16_t shnum;
    le16_t shstrndx;
};
static_assert(sizeof(struct elf_header) == 64, "Elf64_Ehdr");

struct elf_phdr {
    le32_t type;
    le32_t flags;
    le64_t offset;
    le64_t vaddr;
    le64_t paddr;
    le64_t filesz;
    le64_t memsz;
    le64_t align;
};
static_assert(sizeof(struct elf_phdr) == 56, "Elf64_Phdr");

struct elf_note {
    le32_t namesz;
    le32_t descsz;
    le32_t type;
};
static_assert(sizeof(struct elf_note) == 12, "Elf64_Nhdr");

/* One program header in host integers; end fields are wrap-checked sums. */
struct segment {
    uint32_t idx; /* in the program header table, for sentences */
    uint64_t off;
    uint64_t filesz;
    uint64_t paddr;
    uint64_t end; /* paddr + memsz */
};

struct elf_image {
    const struct arch_file *file;
    uint64_t entry;
    uint32_t phdrs_count;
    struct elf_phdr phdrs[ELF_SEGMENTS_MAX];
    uint32_t loads_count; /* PT_LOAD with memory */
    struct segment loads[ELF_SEGMENTS_MAX];
};

bool arch_elf_is(const struct arch_file *file)
{
    return file->head_len >= SELFMAG && memcmp(file->head, ELFMAG, SELFMAG) == 0;
}

static int check_ident(const struct elf_header *header, struct err *err)
{
    if (header->ident[EI_CLASS] != ELFCLASS64)
        return err_set(err, -ENOEXEC, "the ELF kernel is not 64-bit (class %u)",
                       (unsigned)header->ident[EI_CLASS]);
    if (header->ident[EI_DATA] != ELFDATA2LSB)
        return err_set(err, -ENOEXEC, "the ELF kernel is not little-endian (data encoding %u)",
                       (unsigned)header->ident[EI_DATA]);
    if (header->ident[EI_VERSION] != EV_CURRENT || le32_get(header->version) != EV_CURRENT)
        return err_set(err, -ENOEXEC, "the ELF kernel's version is not 1");
    if (le16_get(header->machine) != EM_X86_64)
        return err_set(err, -ENOEXEC, "the ELF kernel is not for x86-64 (machine %u)",
                       (unsigned)le16_get(header->machine));
    if (le16_get(header->type) != ET_EXEC && le16_get(header->type) != ET_DYN)
        return err_set(err, -ENOEXEC, "the ELF file is not an executable (type %u)",
                       (unsigned)le16_get(header->type));
    return 0;
}

/* The program header table, from the head already read or, where it lies elsewhere, the file. */
static int read_phdrs(struct elf_image *image, const struct elf_header *header, struct err *err)
{
    const struct arch_file *file = image->file;
    uint32_t count = le16_get(header->phnum);
    if (le16_get(header->phentsize) != sizeof(struct elf_phdr))
        return err_set(err, -ENOEXEC, "the ELF kernel's program headers have %u bytes, not %zu",
                       (unsigned)le16_get(header->phentsize), sizeof(struct elf_phdr));
    if (count == 0)
        return err_set(err, -ENOEXEC, "the ELF kernel has no program headers");
    if (count > ELF_SEGMENTS_MAX)
        return err_set(err, -ENOEXEC, "the ELF kernel has %u program headers, at most %u are read",
                       count, ELF_SEGMENTS_MAX);

    uint64_t off = le64_get(header->phoff);
    size_t size = count * sizeof(struct elf_phdr);
    if (!ck_range(off, size, file->size))
        return err_set(
            err, -ENOEXEC,
            "the kernel is truncated: %u program headers at byte %llu, the file has %llu", count,
            (unsigned long long)off, (unsigned long long)file->size);
    image->phdrs_count = count;
    if (ck_range(off, size, file->head_len)) {
        memcpy(image->phdrs, file->head + off, size);
        return 0;
    }
    ssize_t got = fd_pread_full(file->fd, image->phdrs, size, off);
    if (got < 0)
        return err_set(err, (int)got, "the kernel file cannot be read: %s", ERR_OS((int)got));
    if ((size_t)got < size)
        return err_set(err, -ENODATA, "the kernel file became shorter while it was read");
    return 0;
}

/* Are the file bytes of program header `idx` all there? */
static int check_file_part(const struct elf_image *image, uint32_t idx, struct err *err)
{
    const struct elf_phdr *phdr = &image->phdrs[idx];
    uint64_t off = le64_get(phdr->offset);
    uint64_t end;
    if (!ck_add(off, le64_get(phdr->filesz), &end))
        return err_set(err, -ENOEXEC, "segment %u of the ELF kernel wraps around in the file", idx);
    if (end > image->file->size)
        return err_set(err, -ENOEXEC,
                       "the kernel is truncated: segment %u ends at byte %llu, the file has %llu",
                       idx, (unsigned long long)end, (unsigned long long)image->file->size);
    return 0;
}

static int check_load(struct elf_image *image, uint32_t idx, struct err *err)
{
    const struct elf_phdr *phdr = &image->phdrs[idx];
    struct segment seg = {
        .idx = idx,
        .off = le64_get(phdr->offset),
        .filesz = le64_get(phdr->filesz),
        .paddr = le64_get(phdr->paddr),
    };
    uint64_t memsz = le64_get(phdr->memsz);

    int rc = check_file_part(image, idx, err);
    if (rc < 0)
        return rc;
    if (seg.filesz > memsz)
        return err_set(err, -ENOEXEC,
                       "segment %u of the ELF kernel has %llu bytes in the file, %llu in memory",
                       idx, (unsigned long long)seg.filesz, (unsigned long long)memsz);
    if (memsz == 0)
        return 0;
    if (seg.paddr < LAYOUT_HIMEM)
        return err_set(err, -ENOEXEC, "segment %u of the ELF kernel loads at 0x%llx, below 1 MiB",
                       idx, (unsigned long long)seg.paddr);
    if (!ck_add(seg.paddr, memsz, &seg.end))
        return err_set(err, -ENOEXEC, "segment %u of the ELF kernel wraps around in memory", idx);
    for (uint32_t i = 0; i < image->loads_count; i++) {
        const struct segment *other = &image->loads[i];
        if (seg.paddr < other->end && other->paddr < seg.end)
            return err_set(err, -ENOEXEC, "segments %u and %u of the ELF kernel overlap in memory",
                           other->idx, idx);
    }
    image->loads[image->loads_count++] = seg;
    return 0;
}

/* Every PT_LOAD against file and RAM; ret_end: first byte behind the highest. */
static int check_loads(struct elf_image *image, const struct gmem *gmem, uint64_t *ret_end,
                       struct err *err)
{
    uint64_t end = 0;
    uint64_t file_bytes = 0; /* cannot wrap: segments lie apart in RAM and are larger there */
    for (uint32_t i = 0; i < image->phdrs_count; i++) {
        if (le32_get(image->phdrs[i].type) != PT_LOAD)
            continue;
        int rc = check_load(image, i, err);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < image->loads_count; i++) {
        file_bytes += image->loads[i].filesz;
        if (image->loads[i].end > end)
            end = image->loads[i].end;
    }
    if (file_bytes == 0)
        return err_set(err, -ENOEXEC, "the ELF kernel has no segment to load");
    *ret_end = end;
    return arch_check_kernel_end(gmem, end, err);
}

/* Does guest address `addr` lie in bytes that come from the file? */
static bool is_loaded(const struct elf_image *image, uint64_t addr)
{
    for (uint32_t i = 0; i < image->loads_count; i++) {
        const struct segment *seg = &image->loads[i];
        if (addr >= seg->paddr && addr - seg->paddr < seg->filesz)
            return true;
    }
    return false;
}

/* What a kernel's notes say. */
struct kernel_notes {
    bool has_pvh;
    bool is_linux;
    uint64_t pvh_entry;
};

static bool note_is_of(const uint8_t *owner, uint64_t namesz, const char *name)
{
    size_t size = strlen(name) + 1;
    return namesz == size && memcmp(owner, name, size) == 0;
}

/*
 * Walks the notes of one segment. align: 4, or 8 for the newer kind. Adds to *found; the first PVH
 * note counts. Returns 0, or -ENOEXEC when a note leaves the segment.
 */
static int walk_notes(const uint8_t *notes, uint64_t size, uint64_t align,
                      struct kernel_notes *found)
{
    uint64_t off = 0;
    while (size - off >= sizeof(struct elf_note)) {
        struct elf_note note;
        memcpy(&note, notes + off, sizeof(note));
        uint64_t namesz = le32_get(note.namesz);
        uint64_t descsz = le32_get(note.descsz);
        uint64_t name = off + sizeof(note);
        uint64_t desc;
        uint64_t next;
        /* 32-bit sizes on an offset below ELF_NOTES_MAX_SIZE: no sum here can wrap. */
        if (!ck_align_up(name + namesz, align, &desc) ||
            !ck_align_up(desc + descsz, align, &next) || !ck_range(name, namesz, size) ||
            !ck_range(desc, descsz, size))
            return -ENOEXEC;
        found->is_linux |= note_is_of(notes + name, namesz, "Linux");
        if (!found->has_pvh && le32_get(note.type) == ELF_NOTE_XEN_PHYS32_ENTRY &&
            note_is_of(notes + name, namesz, "Xen")) {
            le64_t entry = {0}; /* the low half is enough for both sizes in use */
            if (descsz != 4 && descsz != 8)
                return -ENOEXEC;
            memcpy(&entry, notes + desc, (size_t)descsz);
            found->has_pvh = true;
            found->pvh_entry = le64_get(entry);
        }
        off = next < size ? next : size;
    }
    return 0;
}

/* The notes of program header `idx`: results of walk_notes, with sentences. */
static int read_notes(const struct elf_image *image, uint32_t idx, struct kernel_notes *found,
                      struct err *err)
{
    const struct elf_phdr *phdr = &image->phdrs[idx];
    uint64_t size = le64_get(phdr->filesz);
    int rc = check_file_part(image, idx, err);
    if (rc < 0 || size == 0)
        return rc;
    if (size > ELF_NOTES_MAX_SIZE)
        return err_set(err, -ENOEXEC,
                       "note segment %u of the ELF kernel has %llu bytes, at most %u"
                       " are read",
                       idx, (unsigned long long)size, ELF_NOTES_MAX_SIZE);

    uint8_t *notes = malloc((size_t)size);
    if (!notes)
        return err_set(err, -ENOMEM, "no memory for the kernel's notes (%llu bytes)",
                       (unsigned long long)size);
    ssize_t got = fd_pread_full(image->file->fd, notes, (size_t)size, le64_get(phdr->offset));
    if (got < 0)
        rc = err_set(err, (int)got, "the kernel file cannot be read: %s", ERR_OS((int)got));
    else if ((uint64_t)got < size)
        rc = err_set(err, -ENODATA, "the kernel file became shorter while it was read");
    else
        rc = walk_notes(notes, size, le64_get(phdr->align) == 8 ? 8 : 4, found);
    free(notes);
    if (rc == -ENOEXEC)
        return err_set(err, rc, "a note in segment %u of the ELF kernel is malformed", idx);
    return rc;
}

/*
 * Chooses the protocol and the entry address: PVH when its note is there, but for Linux, which says
 * so in a note of its own. Linux enters quicker by its 64-bit protocol: by PVH it looks for Xen
 * first, 255 CPUID exits, and it gets no RNG seed.
 */
static int choose_entry(const struct elf_image *image, struct arch_kernel *kernel, struct err *err)
{
    struct kernel_notes found = {0};
    for (uint32_t i = 0; i < image->phdrs_count; i++) {
        if (le32_get(image->phdrs[i].type) != PT_NOTE)
            continue;
        int rc = read_notes(image, i, &found, err);
        if (rc < 0)
            return rc;
    }
    bool pvh = found.has_pvh && !found.is_linux;
    kernel->protocol = pvh ? ARCH_PROTOCOL_PVH : ARCH_PROTOCOL_LINUX64;
    kernel->entry = pvh ? found.pvh_entry : image->entry;
    if (!is_loaded(image, kernel->entry))
        return err_set(err, -ENOEXEC, "the ELF kernel's %s entry 0x%llx lies outside its segments",
                       pvh ? "PVH" : "64-bit", (unsigned long long)kernel->entry);
    return 0;
}

int arch_elf_load(struct gmem *gmem, const struct arch_file *file, struct arch_kernel *ret_kernel,
                  struct err *err)
{
    struct elf_header header;
    if (file->head_len < sizeof(header))
        return err_set(
            err, -ENOEXEC,
            "the kernel is truncated: the ELF header ends at byte %zu, the file has %llu",
            sizeof(header), (unsigned long long)file->size);
    memcpy(&header, file->head, sizeof(header));
    int rc = check_ident(&header, err);
    if (rc < 0)
        return rc;

    struct elf_image image = {.file = file, .entry = le64_get(header.entry)};
    struct arch_kernel kernel = {0};
    rc = read_phdrs(&image, &header, err);
    if (rc == 0)
        rc = check_loads(&image, gmem, &kernel.end, err);
    if (rc == 0)
        rc = choose_entry(&image, &kernel, err);
    for (uint32_t i = 0; rc == 0 && i < image.loads_count; i++) {
        const struct segment *seg = &image.loads[i];
        if (seg->filesz > 0)
            rc = arch_load_bytes(gmem, seg->paddr, file->fd, seg->off, seg->filesz, "kernel", err);
    }
    if (rc < 0)
        return rc;
    *ret_kernel = kernel;
    return 0;
}
