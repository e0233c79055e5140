/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's command line: the user's text split at the first " -- ", and words of ours put behind
 * its first half (devices.md 8.3). The sentences are the detail part; callers put their context
 * before them. Thread: vmm, before the guest runs. Pure.
 */
#include "vmm/arch/x86_64/arch.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config/cfg_text.h"

#define CMDLINE_SEPARATOR " -- "
#define CMDLINE_SEPARATOR_LEN (sizeof(CMDLINE_SEPARATOR) - 1)

static int say_too_long(struct err *err)
{
    return err_set(err, -E2BIG, "Inserting string would make command line too long.");
}

/* What the reference trims; text of more than ASCII is the guest's affair. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Narrows [*text, *text + *len) past blanks at both ends. */
static void trim(const char **text, size_t *len)
{
    while (*len > 0 && is_blank((*text)[0])) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && is_blank((*text)[*len - 1]))
        (*len)--;
}

int arch_cmdline_init(struct arch_cmdline *ret_cmdline, const char *boot_args, struct err *err)
{
    const char *first = boot_args ? boot_args : ARCH_CMDLINE_DEFAULT;
    const char *separator = strstr(first, CMDLINE_SEPARATOR);
    const char *rest = separator ? separator + CMDLINE_SEPARATOR_LEN : "";
    size_t first_len = separator ? (size_t)(separator - first) : strlen(first);
    size_t rest_len = strlen(rest);
    trim(&first, &first_len);
    trim(&rest, &rest_len);
    size_t separator_len = rest_len ? CMDLINE_SEPARATOR_LEN : 0;

    struct arch_cmdline cmdline = {0};
    /* Both halves come from one string in memory: the sum cannot wrap. */
    size_t len = first_len + separator_len + rest_len;
    if (len >= sizeof(cmdline.text))
        return say_too_long(err);
    memcpy(cmdline.text, first, first_len);
    memcpy(cmdline.text + first_len, CMDLINE_SEPARATOR, separator_len);
    memcpy(cmdline.text + first_len + separator_len, rest, rest_len);
    cmdline.len = (uint32_t)len;
    cmdline.insert_at = (uint32_t)first_len;

    int rc = arch_cmdline_append(&cmdline, err, "pci=off");
    if (rc < 0)
        return rc;
    *ret_cmdline = cmdline;
    return 0;
}

int arch_cmdline_append(struct arch_cmdline *cmdline, struct err *err, const char *fmt, ...)
{
    /* Room for the space before the word; vsnprintf bounds the rest. */
    char word[CFG_CMDLINE_MAX_SIZE];
    size_t start = cmdline->insert_at > 0 ? 1 : 0;
    word[0] = ' ';
    va_list args;
    va_start(args, fmt);
    int printed = vsnprintf(word + start, sizeof(word) - start, fmt, args);
    va_end(args);
    if (printed <= 0)
        return err_set(err, -EINVAL, "a word of the command line is empty or cannot be formatted");
    if ((size_t)printed >= sizeof(word) - start)
        return say_too_long(err);
    int rc = cfg_printable_check(word + start, err);
    if (rc < 0)
        return rc;

    size_t word_len = start + (size_t)printed;
    if (word_len >= sizeof(cmdline->text) - cmdline->len)
        return say_too_long(err);
    char *at = cmdline->text + cmdline->insert_at;
    memmove(at + word_len, at, cmdline->len - cmdline->insert_at + 1);
    memcpy(at, word, word_len);
    cmdline->len += (uint32_t)word_len;
    cmdline->insert_at += (uint32_t)word_len;
    return 0;
}
