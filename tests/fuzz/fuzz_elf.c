/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as a kernel file. Whatever they are, the loader refuses them with a
 * sentence or yields a kernel that lies in RAM and for which boot structures and registers can be
 * made. Single thread.
 */
#include "tests/fuzz/fuzz_kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arch_kernel kernel = {0};
    struct fuzz_guest *guest = fuzz_guest();
    if (fuzz_load_kernel(guest, data, size, &kernel))
        fuzz_boot_kernel(guest, &kernel);
    return 0;
}
