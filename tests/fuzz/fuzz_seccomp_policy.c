/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy of system calls in JSON -> a filter file (docs/seccomp.md): what is compiled says how
 * long it is. Single thread.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jailer/seccomp/custom.h"
#include "jailer/seccomp/tool/policy.h"
#include "tests/fuzz/fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sec_file_head head;
    char *file = NULL;
    size_t file_size = 0;
    struct err err = ERR_INIT;
    if (sectool_compile((const char *)data, size, &file, &file_size, &err) < 0) {
        FUZZ_CHECK(err.msg[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(file_size > sizeof(head) && file_size <= SEC_FILE_SIZE_MAX);
    memcpy(&head, file, sizeof(head));
    FUZZ_CHECK(le64_get(head.size) == file_size && le32_get(head.filters_count) >= 3);
    free(file);
    return 0;
}
