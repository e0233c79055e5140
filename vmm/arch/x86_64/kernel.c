/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a guest kernel: what kind of file it is, and what the ELF and bzImage loaders share
 * (devices.md 8.2). Thread: vmm, before the guest runs.
 */
#include "vmm/arch/x86_64/arch.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/ck.h"
#include "base/fd.h"
#include "vmm/arch/x86_64/load_int.h"

/* The reference's sentences for what is no kernel at all: clients compare them. */
#define NO_KERNEL "Kernel Loader: failed to load ELF kernel image: Kernel Loader: "

int arch_file_size(int fd, const char *what, uint64_t max_size, uint64_t *ret_size, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int rc = -errno;
        return err_set(err, rc, "the %s file cannot be examined: %s", what, ERR_OS(rc));
    }
    if (S_ISDIR(st.st_mode))
        return err_set(err, -EISDIR, "the %s is a directory, not a file", what);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "the %s is not a regular file", what);

    uint64_t size = (uint64_t)st.st_size;
    if (size > max_size)
        return err_set(err, -EFBIG, "the %s file has %llu bytes, at most %llu are accepted", what,
                       (unsigned long long)size, (unsigned long long)max_size);
    *ret_size = size;
    return 0;
}

uint64_t arch_low_ram_end(const struct gmem *gmem)
{
    struct gmem_region_view low = gmem_region_at(gmem, 0);
    return low.base.v + low.size;
}

int arch_check_kernel_end(const struct gmem *gmem, uint64_t end, struct err *err)
{
    if (end > LAYOUT_MMIO_GAP_BASE)
        return err_set(err, -ENOMEM,
                       "the kernel reaches guest address 0x%llx, memory for it ends at 0x%llx",
                       (unsigned long long)end, LAYOUT_MMIO_GAP_BASE);
    uint64_t ram_end = arch_low_ram_end(gmem);
    if (end > ram_end)
        return err_set(err, -ENOMEM,
                       "the kernel needs %llu MiB, the guest has %llu MiB: raise mem_size_mib",
                       (unsigned long long)((end + ARCH_MIB - 1) / ARCH_MIB),
                       (unsigned long long)(ram_end / ARCH_MIB));
    return 0;
}

int arch_load_bytes(struct gmem *gmem, uint64_t addr, int fd, uint64_t off, uint64_t len,
                    const char *what, struct err *err)
{
    int rc = gmem_read_file(gmem, gpa(addr), fd, off, len);
    if (rc == -ENODATA)
        return err_set(err, rc, "the %s file became shorter while it was read", what);
    if (rc == -EFAULT)
        return err_set(err, rc, "the %s does not fit guest memory at 0x%llx (%llu bytes)", what,
                       (unsigned long long)addr, (unsigned long long)len);
    if (rc == -ENOMEM)
        return err_set(err, rc,
                       "the host has no memory left for the %s: %s. With huge_pages 2M its pool "
                       "(vm.nr_hugepages) must hold the guest's memory",
                       what, ERR_OS(rc));
    if (rc < 0)
        return err_set(err, rc, "the %s file cannot be read: %s", what, ERR_OS(rc));
    return 0;
}

int arch_load_kernel(struct gmem *gmem, int fd, struct arch_kernel *ret_kernel, struct err *err)
{
    struct arch_file file = {.fd = fd};
    int rc = arch_file_size(fd, "kernel", ARCH_KERNEL_SIZE_MAX, &file.size, err);
    if (rc < 0)
        return rc;
    if (file.size == 0)
        return err_set(err, -EINVAL, NO_KERNEL "Unable to read elf header");

    size_t want = file.size < sizeof(file.head) ? (size_t)file.size : sizeof(file.head);
    ssize_t got = fd_pread_full(fd, file.head, want, 0);
    if (got < 0)
        return err_set(err, (int)got, "the kernel file cannot be read: %s", ERR_OS((int)got));
    file.head_len = (uint32_t)got;

    if (arch_elf_is(&file))
        return arch_elf_load(gmem, &file, ret_kernel, err);
    if (arch_bzimage_is(&file))
        return arch_bzimage_load(gmem, &file, ret_kernel, err);
    return err_set(err, -ENOEXEC, NO_KERNEL "Invalid Elf magic number");
}
