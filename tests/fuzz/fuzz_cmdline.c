/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: boot arguments and appended words. The input is strings, each ended by a zero byte:
 * the first is boot_args, the others are appended. The command line stays in bounds and
 * in one piece, a refused word changes nothing, and what follows " -- " is never moved or lost.
 * Single thread.
 */
#include <stdint.h>
#include <string.h>

#include "tests/fuzz/fuzz_check.h"
#include "vmm/arch/x86_64/arch.h"

#define INPUT_MAX_SIZE 8192u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct arch_cmdline *cmdline)
{
    FUZZ_CHECK(cmdline->len < CFG_CMDLINE_MAX_SIZE);
    FUZZ_CHECK(strnlen(cmdline->text, CFG_CMDLINE_MAX_SIZE) == cmdline->len);
    FUZZ_CHECK(cmdline->insert_at <= cmdline->len);
    const char *rest = cmdline->text + cmdline->insert_at;
    FUZZ_CHECK(*rest == '\0' || strncmp(rest, " -- ", 4) == 0);
}

static void append(struct arch_cmdline *cmdline, const char *word)
{
    struct arch_cmdline before = *cmdline;
    struct err err = ERR_INIT;
    int rc = arch_cmdline_append(cmdline, &err, "%s", word);
    if (rc < 0) {
        FUZZ_CHECK(err.code == rc && err.msg[0] != '\0');
        FUZZ_CHECK(memcmp(&before, cmdline, sizeof(before)) == 0);
        return;
    }
    FUZZ_CHECK(cmdline->len > before.len && cmdline->len < CFG_CMDLINE_MAX_SIZE);
    FUZZ_CHECK(strcmp(cmdline->text + cmdline->insert_at, before.text + before.insert_at) == 0);
    FUZZ_CHECK(memcmp(cmdline->text, before.text, before.insert_at) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[INPUT_MAX_SIZE + 1];
    if (size > INPUT_MAX_SIZE)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';

    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    int rc = arch_cmdline_init(&cmdline, text, &err);
    if (rc < 0) {
        FUZZ_CHECK(err.code == rc && err.msg[0] != '\0');
        return 0;
    }
    check_line(&cmdline);
    for (size_t at = strlen(text) + 1; at < size; at += strlen(text + at) + 1)
        append(&cmdline, text + at);
    check_line(&cmdline);
    return 0;
}
