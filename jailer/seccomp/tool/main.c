/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mayfly-seccomp: compiles a policy in JSON into a file for --seccomp-filter, or lists the built-in
 * table. Flags are those of Firecracker's seccompiler-bin. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cmdline.h"
#include "base/fd.h"
#include "jailer/seccomp/tool/policy.h"

struct words {
    const char *input;
    const char *output;
    const char *arch;
    bool list;
    bool help;
    bool version;
};

#define OPTION(n, k, member, text)                                                                 \
    {                                                                                              \
        .name = (n), .kind = (k), .off = offsetof(struct words, member), .help = (text)            \
    }

static const struct cmdline_option options[] = {
    OPTION("help", CMDLINE_FLAG, help, "Print this text; so does -h."),
    OPTION("input-file", CMDLINE_VALUE, input, "Path to the policy, in JSON (docs/seccomp.md)."),
    OPTION("list", CMDLINE_FLAG, list,
           "Print the built-in table: calls, arguments, threads, reasons."),
    OPTION("output-file", CMDLINE_VALUE, output,
           "Path to what mayfly --seccomp-filter takes; an older file is replaced."),
    OPTION("target-arch", CMDLINE_VALUE, arch, "x86_64."),
    OPTION("version", CMDLINE_FLAG, version, "Print the version."),
};
static const struct cmdline cmdline = {options, ARRAY_LEN(options)};

static int fail(const struct err *err)
{
    (void)fprintf(stderr, "Error: %s\n", err->msg);
    return EXIT_FAILURE;
}

static void answer_query(const struct words *words)
{
    char text[2048];
    (void)printf("Mayfly seccomp v" MAYFLY_VERSION "\n\n");
    if (!words->help)
        return;
    (void)cmdline_help(&cmdline, text, sizeof(text));
    (void)printf("optional arguments:\n%s", text);
}

static int parse(int argc, char *const *argv, struct words *words, struct err *err)
{
    int rest;
    int rc = cmdline_parse(&cmdline, argc, argv, words, &rest, err);
    if (rc < 0)
        return err_prefix(err, "Failed to parse arguments: ");
    if (rest < argc)
        return err_set(err, -EINVAL, "'%.80s' behind -- is not known here", argv[rest]);
    if (words->help || words->version || words->list)
        return 0;
    if (!words->input || !words->output)
        return err_set(err, -EINVAL, "--input-file and --output-file are needed, or --list");
    if (strcmp(words->input, words->output) == 0)
        return err_set(err, -EINVAL, "--output-file %s is the policy itself", words->output);
    if (words->arch && strcmp(words->arch, "x86_64") != 0)
        return err_set(err, -EINVAL, "--target-arch %.40s: filters are for x86_64 alone",
                       words->arch);
    return 0;
}

/* By a temporary name, so that nobody finds half of it. */
static int write_file(const char *path, const char *data, size_t size, struct err *err)
{
    char temp[4096];
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "--output-file %s is there and is no file", path);
    int len = snprintf(temp, sizeof(temp), "%s.%d.tmp", path, (int)getpid());
    if (len < 0 || (size_t)len >= sizeof(temp))
        return err_set(err, -ENAMETOOLONG, "--output-file: the path is too long");
    FD_AUTO int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    int rc = fd < 0 ? -errno : fd_write_full(fd, data, size);
    if (rc == 0 && rename(temp, path) < 0)
        rc = -errno;
    if (rc == 0)
        return 0;
    if (fd >= 0)
        (void)unlink(temp); /* ours; what stays harms nobody */
    return err_set(err, rc, "--output-file %s cannot be written: %s (%s)", path, ERR_OS(rc),
                   err_name(rc));
}

static int compile(const struct words *words, struct err *err)
{
    char *text = NULL;
    char *file = NULL;
    size_t len = 0;
    size_t size = 0;
    int rc = fd_read_file(words->input, SECTOOL_POLICY_SIZE_MAX, &text, &len, err);
    if (rc < 0)
        return err_prefix(err, "--input-file: ");
    rc = sectool_compile(text, len, &file, &size, err);
    if (rc < 0)
        (void)err_prefix(err, "%s: ", words->input);
    else
        rc = write_file(words->output, file, size, err);
    free(file);
    free(text);
    return rc;
}

int main(int argc, char **argv)
{
    struct words words = {0};
    struct err err = ERR_INIT;
    if (fd_fill_standard() < 0)
        return EXIT_FAILURE; /* there is nowhere to say why */
    if (parse(argc, argv, &words, &err) < 0)
        return fail(&err);
    if (words.help || words.version)
        answer_query(&words);
    else if (words.list)
        sectool_list();
    else if (compile(&words, &err) < 0)
        return fail(&err);
    return fd_flush_stdout(&err) < 0 ? fail(&err) : EXIT_SUCCESS;
}
