/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: setup headers. The input's first 128 bytes are the setup header from offset 0x1f1 of
 * a bzImage that is otherwise in order (signature in place, code behind the setup part), the rest
 * is its code, so that nearly every input gets past the first checks. Single thread.
 */
#include "tests/fuzz/fuzz_kernel.h"

#define SETUP_HEADER_OFF 0x1f1u
#define SETUP_SIZE 1024u
#define CODE_MAX_SIZE 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t image[SETUP_SIZE + CODE_MAX_SIZE];
    static const uint8_t signature[] = {'H', 'd', 'r', 'S'};
    if (size < ARCH_SETUP_HEADER_SIZE || size - ARCH_SETUP_HEADER_SIZE > CODE_MAX_SIZE)
        return 0;
    size_t code_len = size - ARCH_SETUP_HEADER_SIZE;
    memcpy(image + SETUP_HEADER_OFF, data, ARCH_SETUP_HEADER_SIZE);
    memcpy(image + 0x202, signature, sizeof(signature));
    image[0x1fe] = 0x55;
    image[0x1ff] = 0xaa;
    memcpy(image + SETUP_SIZE, data + ARCH_SETUP_HEADER_SIZE, code_len);

    struct arch_kernel kernel = {0};
    struct fuzz_guest *guest = fuzz_guest();
    if (fuzz_load_kernel(guest, image, SETUP_SIZE + code_len, &kernel)) {
        FUZZ_CHECK(kernel.is_bzimage && kernel.entry == LAYOUT_HIMEM + 0x200);
        fuzz_boot_kernel(guest, &kernel);
    }
    return 0;
}
