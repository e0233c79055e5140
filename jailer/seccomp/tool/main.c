/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mayfly-seccomp: compiles a policy in JSON into a file for --seccomp-filter, or lists the built-in
 * table. Flags are those of Firecracker's seccompiler-bin. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/seccomp/tool/policy.h"

static const char usage[] =
    "usage: mayfly-seccomp --input-file POLICY --output-file FILTERS [--target-arch x86_64]\n"
    "       mayfly-seccomp --list\n"
    "  --input-file   the policy, in JSON (docs/seccomp.md)\n"
    "  --output-file  what mayfly --seccomp-filter takes; an older file is replaced\n"
    "  --target-arch  x86_64\n"
    "  --list         prints the built-in table: calls, arguments, threads, reasons\n";

struct words {
    const char *input;
    const char *output;
    const char *arch;
    bool list;
    bool help;
};

static int fail(const struct err *err)
{
    (void)fprintf(stderr, "Error: %s\n", err->msg);
    return EXIT_FAILURE;
}

static int parse(int argc, char *const *argv, struct words *words, struct err *err)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {{"--input-file", &words->input},
                   {"--output-file", &words->output},
                   {"--target-arch", &words->arch}};
    for (int i = 1; i < argc; i++) {
        const char **value = NULL;
        for (size_t o = 0; o < ARRAY_LEN(options); o++)
            if (strcmp(argv[i], options[o].name) == 0)
                value = options[o].value;
        if (value && i + 1 < argc && !*value)
            *value = argv[++i];
        else if (value)
            return err_set(err, -EINVAL, "%s wants one value, and may be given once", argv[i]);
        else if (strcmp(argv[i], "--list") == 0)
            words->list = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            words->help = true;
        else
            return err_set(err, -EINVAL, "'%.80s' is not known here", argv[i]);
    }
    if (words->help || words->list)
        return 0;
    if (!words->input || !words->output)
        return err_set(err, -EINVAL, "--input-file and --output-file are needed, or --list");
    if (words->arch && strcmp(words->arch, "x86_64") != 0)
        return err_set(err, -EINVAL, "--target-arch %.40s: filters are for x86_64 alone",
                       words->arch);
    return 0;
}

/* By a temporary name, so that nobody finds half of it. */
static int write_file(const char *path, const char *data, size_t size, struct err *err)
{
    char temp[4096];
    int len = snprintf(temp, sizeof(temp), "%s.tmp", path);
    if (len < 0 || (size_t)len >= sizeof(temp))
        return err_set(err, -ENAMETOOLONG, "--output-file: the path is too long");
    FD_AUTO int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
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
    if (parse(argc, argv, &words, &err) < 0) {
        (void)fail(&err);
        (void)fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    if (words.help)
        (void)fputs(usage, stdout);
    else if (words.list)
        sectool_list();
    else if (compile(&words, &err) < 0)
        return fail(&err);
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
