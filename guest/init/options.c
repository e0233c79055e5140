/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the kernel command line and /etc/mayfly/options for mayfly-init; form in options.h.
 * Pure but for options_read. One thread.
 */
#include "guest/init/options.h"

#include "guest/init/sys.h"
#include "guest/init/text.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Takes the next word from *text: it ends at a blank outside double quotes, and the double quotes
 * themselves are dropped. NULL at the end.
 */
static char *next_word(char **text)
{
    char *in = *text;
    char *word;
    char *out;
    bool quoted = false;

    while (is_blank(*in))
        in++;
    if (!*in)
        return NULL;
    word = out = in;
    for (; *in && (quoted || !is_blank(*in)); in++) {
        if (*in == '"')
            quoted = !quoted;
        else
            *out++ = *in;
    }
    *text = *in ? in + 1 : in;
    *out = 0;
    return word;
}

/* One byte of a run value: decodes %XX. -EINVAL for %00, else the byte; *value moves on. */
static int next_byte(const char **value)
{
    const char *in = *value;
    int high = in[0] == '%' ? text_hex(in[1]) : -1;
    int low = high >= 0 ? text_hex(in[2]) : -1;

    if (low < 0) {
        *value = in + 1;
        return (unsigned char)in[0];
    }
    *value = in + 3;
    return high + low ? high * 16 + low : -EINVAL;
}

static int put_byte(struct options *opt, size_t *len, int c)
{
    if (*len >= OPT_RUN_MAX)
        return -E2BIG;
    opt->run[(*len)++] = (char)c;
    return 0;
}

/* Where options_split_run stands. */
struct split {
    size_t len;
    size_t argc;
    char quote; /* the quote that is open, or 0 */
    bool in_word;
};

static int begin_word(struct options *opt, struct split *at)
{
    if (at->in_word)
        return 0;
    if (at->argc == OPT_ARGV_MAX || at->len >= OPT_RUN_MAX)
        return -E2BIG;
    opt->run_argv[at->argc++] = &opt->run[at->len];
    opt->run_argv[at->argc] = NULL;
    at->in_word = true;
    return 0;
}

static int end_word(struct options *opt, struct split *at)
{
    bool was_in_word = at->in_word;

    at->in_word = false;
    return was_in_word ? put_byte(opt, &at->len, 0) : 0;
}

int options_split_run(struct options *opt, const char *value)
{
    struct split at = {.quote = 0};
    int err = 0;

    opt->run_argv[0] = NULL;
    while (*value && !err) {
        int c = next_byte(&value);

        if (c < 0)
            return c;
        if (!at.quote && is_blank((char)c)) {
            err = end_word(opt, &at);
            continue;
        }
        err = begin_word(opt, &at);
        if (err)
            return err;
        if (at.quote ? c == at.quote : (c == '\'' || c == '"')) {
            at.quote = at.quote ? 0 : (char)c;
            continue;
        }
        if (c == '\\' && at.quote != '\'') {
            c = *value ? next_byte(&value) : -EINVAL;
            if (c < 0)
                return c;
        }
        err = put_byte(opt, &at.len, c);
    }
    if (!err && at.quote)
        err = -EINVAL;
    return err ? err : end_word(opt, &at);
}

static void set_run(struct options *opt, const char *value)
{
    int err;

    if (opt->has_run)
        return;
    err = options_split_run(opt, value);
    if (!err && !opt->run_argv[0])
        err = -EINVAL;
    if (err) {
        text_report("cannot read mayfly.run=", value, err, "Check its quotes and %XX codes.");
        opt->run_argv[0] = NULL;
    }
    /* A bad command counts as given: the VM then ends with status 127 instead of idling. */
    opt->has_run = true;
}

static void set_end(struct options *opt, const char *value)
{
    static const char *const names[] = {
        [OPT_END_REBOOT] = "reboot", [OPT_END_POWEROFF] = "poweroff", [OPT_END_HALT] = "halt",
        [OPT_END_PANIC] = "panic",   [OPT_END_TRIPLE] = "triple",
    };

    if (opt->has_end)
        return;
    opt->has_end = true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (text_equal(value, names[i])) {
            opt->end = (enum opt_end)i;
            return;
        }
    }
    text_report("unknown mayfly.end=", value, 0,
                "Use reboot, poweroff, halt, panic or triple; taking reboot.");
}

static void set_value(char *dst, const char *name, const char *value)
{
    if (dst[0])
        return;
    if (!text_copy(dst, OPT_VALUE_MAX, value, text_len(value)))
        text_report("too long a value for ", name, 0, "Use at most 255 bytes.");
}

/* The words that the kernel defines count on its own command line only. */
static void parse_kernel_word(struct options *opt, const char *word, const char *value)
{
    if (text_equal(word, "root"))
        set_value(opt->root, word, value);
    else if (text_equal(word, "rootfstype"))
        set_value(opt->root_type, word, value);
    else if (text_equal(word, "rootflags"))
        set_value(opt->root_flags, word, value);
    else if (text_equal(word, "init"))
        set_value(opt->init, word, value);
    else if (text_equal(word, "rw") || text_equal(word, "ro"))
        opt->root_rw = word[1] == 'w';
}

static void parse_word(struct options *opt, char *word, bool from_kernel)
{
    char *value = word;

    while (*value && *value != '=')
        value++;
    if (*value)
        *value++ = 0;

    if (text_equal(word, "mayfly.run")) {
        set_run(opt, value);
    } else if (text_equal(word, "mayfly.end")) {
        set_end(opt, value);
    } else if (text_equal(word, "mayfly.boot_timer")) {
        opt->boot_timer = true;
    } else if (text_equal(word, "mayfly.init_exit")) {
        opt->init_exit = true;
    } else if (text_starts(word, "mayfly.")) {
        text_report("unknown option ", word, 0, "See guest/README.md for the ones there are.");
    } else if (from_kernel) {
        parse_kernel_word(opt, word, value);
    }
}

void options_parse(struct options *opt, char *text, bool from_kernel)
{
    char *word = next_word(&text);

    while (word && !text_equal(word, "--")) {
        parse_word(opt, word, from_kernel);
        word = next_word(&text);
    }
}

/* Appends what `path` holds to text[*len]; returns 0 or -errno. */
static int append_file(const char *path, char *text, size_t *len)
{
    long fd = sys_open(path, O_RDONLY);

    if (fd < 0)
        return (int)fd;
    while (*len < OPT_TEXT_MAX - 2) {
        long got = sys_read(fd, text + *len, OPT_TEXT_MAX - 2 - *len);

        if (got <= 0)
            break;
        *len += (size_t)got;
    }
    (void)sys_close(fd);
    text[(*len)++] = ' ';
    text[*len] = 0;
    return 0;
}

int options_read(struct options *opt)
{
    char text[OPT_TEXT_MAX];
    size_t len = 0;
    int err = append_file("/proc/cmdline", text, &len);

    if (err)
        return err;
    options_parse(opt, text, true);
    len = 0;
    err = append_file("/etc/mayfly/options", text, &len);
    if (!err)
        options_parse(opt, text, false);
    else if (err != -ENOENT)
        text_report("cannot read ", "/etc/mayfly/options", err, "Going on without it.");
    return 0;
}
