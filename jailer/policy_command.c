/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy of a VM that runs.
 */
#include "jailer/policy_command.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cmdline.h"
#include "base/fd.h"
#include "jailer/fds.h"
#include "jailer/policy_file.h"

static const char usage[] =
    "usage: mayfly-jailer policy --id ID --file FILE           puts the policy of FILE in force\n"
    "       mayfly-jailer policy --id ID --show                prints what was counted\n"
    "       mayfly-jailer policy --id ID --remove --tap TAP    takes it off the TAP and forgets "
    "it\n"
    "       mayfly-jailer policy --id ID --attach --tap TAP --file FILE\n"
    "                                                          what --policy of the jailer does\n";

struct words {
    const char *id;
    const char *file;
    const char *tap;
    bool show;
    bool remove;
    bool attach;
    bool help;
    bool version; /* the grammar's; refused here */
};

#define OPTION(n, k, member)                                                                       \
    {                                                                                              \
        .name = (n), .kind = (k), .off = offsetof(struct words, member), .help = ""                \
    }
static const struct cmdline_option options[] = {
    OPTION("attach", CMDLINE_FLAG, attach), OPTION("file", CMDLINE_VALUE, file),
    OPTION("help", CMDLINE_FLAG, help),     OPTION("id", CMDLINE_VALUE, id),
    OPTION("remove", CMDLINE_FLAG, remove), OPTION("show", CMDLINE_FLAG, show),
    OPTION("tap", CMDLINE_VALUE, tap),      OPTION("version", CMDLINE_FLAG, version),
};
static const struct cmdline cmdline = {options, ARRAY_LEN(options)};

static int show(const char *id, struct err *err)
{
    uint64_t counters[POL_COUNTERS];
    int rc = pol_read_counters(id, counters, err);
    for (int i = 0; i < POL_COUNTERS && rc == 0; i++)
        (void)printf("%s: %llu\n", pol_counter_name((enum pol_counter)i),
                     (unsigned long long)counters[i]);
    if (rc == 0 && fflush(stdout) != 0)
        rc = err_set(err, -errno, "Network policy: print the counters: %s (%s)", ERR_OS(errno),
                     err_name(errno));
    return rc;
}

static int put(const struct words *words, struct err *err)
{
    struct pol_policy policy;
    struct pol_hook hook; /* stays */
    int rc = jail_policy_read(words->file, &policy, err);
    if (rc < 0)
        return rc;
    rc = words->attach ? pol_attach(words->id, words->tap, &policy, &hook, err)
                       : pol_update(words->id, &policy, err);
    pol_policy_done(&policy);
    return rc;
}

static int check(const struct words *words, struct err *err)
{
    int what = words->show + words->remove + (words->file != NULL);
    if (!words->id || what == 0)
        return err_set(err, -EINVAL, "--id is needed, and one of --file, --show and --remove");
    if (words->attach && !words->file)
        return err_set(err, -EINVAL, "--attach needs --file");
    if (what > 1)
        return err_set(err, -EINVAL, "--file, --show and --remove exclude each other");
    if ((words->attach || words->remove) != (words->tap != NULL))
        return err_set(err, -EINVAL, "--attach and --remove need --tap, and nothing else does");
    return cmdline_check_id(words->id, err);
}

/* Nobody else may load a program, look at one or change one's maps. */
static int check_rights(struct err *err)
{
    if (geteuid() == 0)
        return 0;
    return err_set(err, -EPERM,
                   "Network policy: it is root's to attach, change, show and remove. "
                   "This is user %u.",
                   geteuid());
}

/* What the words say, once nothing of the caller's is open. */
static int carry_out(const struct words *words, struct err *err)
{
    const struct cmdline_list none = {.count = 0};
    int rc = check_rights(err);
    if (rc == 0)
        rc = jail_close_fds(&none, err);
    if (rc < 0)
        return rc;
    if (words->show)
        return show(words->id, err);
    return words->remove ? pol_remove(words->id, words->tap, err) : put(words, err);
}

int jail_policy_command(int argc, char *const *argv)
{
    struct words words = {0};
    struct err err = ERR_INIT;
    int rest;
    int rc = cmdline_parse(&cmdline, argc, argv, &words, &rest, &err);
    if (rc == 0 && !words.help)
        rc = check(&words, &err);
    if (rc == 0 && rest < argc)
        rc = err_set(&err, -EINVAL, "'%.80s' behind -- is not known here", argv[rest]);
    if (rc < 0) {
        (void)fprintf(stderr, "Error: %s\n%s", err.msg, usage);
        return EXIT_FAILURE;
    }
    if (words.help)
        (void)fputs(usage, stdout); /* the flush tells */
    else
        rc = carry_out(&words, &err);
    if (rc == 0)
        rc = fd_flush_stdout(&err);
    if (rc < 0)
        (void)fprintf(stderr, "Error: %s\n", err.msg);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
