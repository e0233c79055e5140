/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines: one pass over the words, then relations and fallbacks (cli.md A.1).
 */
#include "base/cmdline.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "base/log.h"
#include "base/utf8.h"

static const struct cmdline_option *option_find(const struct cmdline *cmdline, const char *name)
{
    for (size_t i = 0; i < cmdline->count; i++)
        if (strcmp(cmdline->options[i].name, name) == 0)
            return &cmdline->options[i];
    return NULL;
}

static void *slot(void *values, const struct cmdline_option *option)
{
    return (char *)values + option->off;
}

static bool *flag_slot(void *values, const struct cmdline_option *option)
{
    return slot(values, option);
}

static const char **value_slot(void *values, const struct cmdline_option *option)
{
    return slot(values, option);
}

static struct cmdline_list *list_slot(void *values, const struct cmdline_option *option)
{
    return slot(values, option);
}

static bool given(void *values, const struct cmdline_option *option)
{
    switch (option->kind) {
    case CMDLINE_FLAG:
        return *flag_slot(values, option);
    case CMDLINE_VALUE:
        return *value_slot(values, option) != NULL;
    case CMDLINE_LIST:
        return list_slot(values, option)->count > 0;
    }
    return false;
}

static bool given_by_name(const struct cmdline *cmdline, void *values, const char *name)
{
    const struct cmdline_option *option = option_find(cmdline, name);
    return option && given(values, option);
}

static void set_flag(const struct cmdline *cmdline, void *values, const char *name)
{
    const struct cmdline_option *option = option_find(cmdline, name);
    if (option)
        *flag_slot(values, option) = true;
}

/* --help and --version short-circuit everything, faults included. */
static bool short_circuit(const struct cmdline *cmdline, int argc, char *const *argv, void *values)
{
    bool any = false;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        bool version = strcmp(argv[i], "--version") == 0;
        if (help || version)
            set_flag(cmdline, values, help ? "help" : "version");
        any |= help || version;
    }
    return any;
}

static int add_value(void *values, const struct cmdline_option *option, const char *value,
                     struct err *err)
{
    if (option->kind == CMDLINE_VALUE) {
        *value_slot(values, option) = value;
        return 0;
    }
    struct cmdline_list *list = list_slot(values, option);
    if (list->count == CMDLINE_LIST_MAX)
        return err_set(err, -EINVAL, "The argument '%s' was provided more than %u times.",
                       option->name, CMDLINE_LIST_MAX);
    list->values[list->count++] = value;
    return 0;
}

static int parse_one(const struct cmdline *cmdline, int argc, char *const *argv, int *idx,
                     void *values, struct err *err)
{
    const char *word = argv[*idx];
    bool dashed = strncmp(word, "--", 2) == 0;
    const struct cmdline_option *option = dashed ? option_find(cmdline, word + 2) : NULL;
    char quoted[128];

    if (!option) {
        const char *shown = dashed ? word + 2 : word;
        return err_set(err, -EINVAL,
                       "Found argument '%s' which wasn't expected, or isn't valid in this context.",
                       log_quote(shown, strlen(shown), quoted, sizeof(quoted)));
    }
    if (option->kind != CMDLINE_LIST && given(values, option))
        return err_set(err, -EINVAL, "The argument '%s' was provided more than once.",
                       option->name);
    if (option->kind == CMDLINE_FLAG) {
        *flag_slot(values, option) = true;
        return 0;
    }
    if (*idx + 1 >= argc || strncmp(argv[*idx + 1], "--", 2) == 0)
        return err_set(err, -EINVAL, "The argument '%s' requires a value, but none was supplied.",
                       option->name);
    return add_value(values, option, argv[++*idx], err);
}

/* Does an option that was given need this one, and no other? */
static bool is_needed(const struct cmdline *cmdline, void *values, const char *name)
{
    for (size_t i = 0; i < cmdline->count; i++) {
        const struct cmdline_option *option = &cmdline->options[i];
        if (option->requires && !option->or_else && given(values, option) &&
            strcmp(option->requires, name) == 0)
            return true;
    }
    return false;
}

/* Which of the two that would do is named: the one without which another option makes no sense. */
static const char *missing_name(const struct cmdline *cmdline, void *values,
                                const struct cmdline_option *option)
{
    bool is_other = option->or_else && is_needed(cmdline, values, option->or_else);
    return is_other ? option->or_else : option->requires;
}

static int check_relations(const struct cmdline *cmdline, void *values, struct err *err)
{
    for (size_t i = 0; i < cmdline->count; i++) {
        const struct cmdline_option *option = &cmdline->options[i];
        bool is_given = given(values, option);
        if (!is_given && option->is_required)
            return err_set(err, -EINVAL, "Argument '%s' required, but not found.", option->name);
        if (!is_given)
            continue;
        if (option->requires && !given_by_name(cmdline, values, option->requires) &&
            !(option->or_else && given_by_name(cmdline, values, option->or_else)))
            return err_set(err, -EINVAL, "Argument '%s' required, but not found.",
                           missing_name(cmdline, values, option));
        if (option->excludes && given_by_name(cmdline, values, option->excludes))
            return err_set(err, -EINVAL,
                           "Argument '%s' cannot be used together with argument '%s'.",
                           option->excludes, option->name);
    }
    return 0;
}

int cmdline_parse(const struct cmdline *cmdline, int argc, char *const *argv, void *values,
                  int *ret_rest, struct err *err)
{
    *ret_rest = argc;
    if (short_circuit(cmdline, argc, argv, values))
        return 0;
    int at = 1;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        int rc = parse_one(cmdline, argc, argv, &at, values, err);
        if (rc < 0)
            return rc;
    }
    int rc = check_relations(cmdline, values, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < cmdline->count; i++)
        if (cmdline->options[i].kind == CMDLINE_VALUE && !given(values, &cmdline->options[i]))
            *value_slot(values, &cmdline->options[i]) = cmdline->options[i].fallback;
    *ret_rest = at < argc ? at + 1 : argc;
    return 0;
}

bool cmdline_parse_u64(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *c = text + (*text == '+');
    if (!*c)
        return false;
    for (; *c; c++) {
        if (*c < '0' || *c > '9' || !ck_mul(value, 10, &value) ||
            !ck_add(value, (uint64_t)(*c - '0'), &value))
            return false;
    }
    if (ret_value)
        *ret_value = value;
    return true;
}

int cmdline_parse_fd(const char *text)
{
    enum { DIGITS_MAX = 6 }; /* the kernel's own limit is 1,048,576 */
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > DIGITS_MAX || text[len] != '\0')
        return -1;
    return (int)strtol(text, NULL, 10);
}

size_t cmdline_help(const struct cmdline *cmdline, char *buf, size_t size)
{
    size_t len = 0;
    const int name_width = 60;
    for (size_t i = 0; i < cmdline->count; i++) {
        const struct cmdline_option *option = &cmdline->options[i];
        char name[96];
        if (option->kind != CMDLINE_FLAG)
            (void)snprintf(name, sizeof(name), "--%s <%s>", option->name, option->name);
        else
            (void)snprintf(name, sizeof(name), "--%s", option->name);
        char *at = len < size ? buf + len : NULL;
        size_t left = len < size ? size - len : 0;
        int wrote =
            snprintf(at, left, "  %-*s%s%s%s%s\n", name_width, name, option->help,
                     option->fallback ? " [default: \"" : "",
                     option->fallback ? option->fallback : "", option->fallback ? "\"]" : "");
        len += wrote > 0 ? (size_t)wrote : 0;
    }
    return len;
}

const char *cmdline_program_name(const char *argv0, const char *fallback)
{
    if (!argv0 || !*argv0)
        return fallback;
    const char *slash = strrchr(argv0, '/');
    return slash ? slash + 1 : argv0;
}

int cmdline_check_id(const char *id, struct err *err)
{
    size_t len = strlen(id);
    if (len < 1 || len > LOG_ID_MAX_LEN)
        return err_set(
            err, -EINVAL,
            "Invalid instance ID: Invalid len (%zu);  the length must be between 1 and %u", len,
            LOG_ID_MAX_LEN);
    for (size_t off = 0, position = 0; off < len; position++) {
        uint32_t c = 0;
        int size = utf8_decode(id + off, len - off, &c);
        if (size <= 0)
            return err_set(err, -EINVAL,
                           "Invalid instance ID: Invalid char (\\x%02x) at position %zu: not UTF-8",
                           (unsigned char)id[off], position);
        if (!utf8_is_alphanumeric(c) && c != '-') {
            bool shown = (c >= ' ' && c < 0x7f) || c >= 0xa0;
            return err_set(err, -EINVAL, "Invalid instance ID: Invalid char (%.*s) at position %zu",
                           shown ? size : 1, shown ? id + off : "?", position);
        }
        off += (size_t)size;
    }
    return 0;
}
