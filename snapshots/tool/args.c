/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of commands for both names. Single thread.
 */
#include "snapshots/tool/args.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"

#define EDITOR_NAME "snapshot-editor"
#define POSITIONS_MAX 2u
#define OPTIONS_MAX 3u
#define MEMBER(name) offsetof(struct snaptool_args, name)

struct option {
    const char *name; /* without dashes; NULL: there are no more */
    char letter;      /* 0: none */
    size_t off;       /* of a `const char *` in struct snaptool_args */
    bool required;
};

struct command {
    bool is_editor;
    const char *group; /* the word before the verb, or NULL */
    const char *verb;
    enum snaptool_command command;
    uint32_t required; /* positions that must be there */
    uint32_t positions_count;
    struct {
        const char *name;
        size_t off;
    } positions[POSITIONS_MAX];
    const char *others; /* what the words behind the positions are, at least one; NULL: none */
    struct option options[OPTIONS_MAX];
};

static const struct command commands[] = {
    {.verb = "info",
     .command = SNAPTOOL_INFO,
     .required = 1,
     .positions_count = 2,
     .positions = {{"STATE", MEMBER(state)}, {"MEMORY", MEMBER(memory)}}},
    {.verb = "merge",
     .command = SNAPTOOL_MERGE,
     .required = 2,
     .positions_count = 2,
     .positions = {{"BASE_MEMORY", MEMBER(memory)}, {"DIFF_MEMORY", MEMBER(diff)}},
     .options = {{"state", 0, MEMBER(state), false},
                 {"base-state", 0, MEMBER(base_state), false},
                 {"output", 0, MEMBER(output), false}}},
    {.verb = "unique",
     .command = SNAPTOOL_UNIQUE,
     .required = 1,
     .positions_count = 1,
     .positions = {{"MEMORY", MEMBER(memory)}},
     .others = "OTHER"},
    {.is_editor = true,
     .group = "edit-memory",
     .verb = "rebase",
     .command = SNAPTOOL_MERGE,
     .options = {{"memory-path", 'm', MEMBER(memory), true},
                 {"diff-path", 'd', MEMBER(diff), true}}},
    {.is_editor = true,
     .group = "info-vmstate",
     .verb = "version",
     .command = SNAPTOOL_STATE_VERSION,
     .options = {{"vmstate-path", 'v', MEMBER(state), true}}},
    {.is_editor = true,
     .group = "info-vmstate",
     .verb = "vcpu-states",
     .command = SNAPTOOL_VCPU_STATES,
     .options = {{"vmstate-path", 'v', MEMBER(state), true}}},
    {.is_editor = true,
     .group = "info-vmstate",
     .verb = "vm-state",
     .command = SNAPTOOL_VM_STATE,
     .options = {{"vmstate-path", 'v', MEMBER(state), true}}},
};

const char *snaptool_args_usage(bool is_editor)
{
    if (is_editor)
        return "usage: snapshot-editor edit-memory rebase --memory-path BASE --diff-path DIFF\n"
               "       snapshot-editor info-vmstate version|vcpu-states|vm-state --vmstate-path "
               "STATE\n"
               "       snapshot-editor --version | --help\n";
    return "usage: mayfly-snap info STATE [MEMORY]\n"
           "           What a snapshot is; with its memory: sizes, and whether the two belong "
           "together.\n"
           "       mayfly-snap merge BASE_MEMORY DIFF_MEMORY [--state STATE [--base-state STATE]]\n"
           "                         [--output FILE]\n"
           "           Merges a diff onto its base, in place or into FILE; with the diff's STATE "
           "the\n"
           "           result is verified, with the base's too that it is the one before.\n"
           "       mayfly-snap unique MEMORY OTHER...\n"
           "           What each file holds, and how much of it is not in MEMORY.\n"
           "       mayfly-snap --version | --help\n";
}

static const char **slot(struct snaptool_args *args, size_t off)
{
    return (const char **)(void *)((char *)args + off);
}

static int fail_word(struct err *err, const char *what, const char *word)
{
    char quoted[128];
    return err_set(err, -EINVAL, "%s '%s'", what,
                   log_quote(word, strlen(word), quoted, sizeof(quoted)));
}

static bool is_editor_name(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
    return argv0 && strcmp(slash ? slash + 1 : argv0, EDITOR_NAME) == 0;
}

/* How many words the command itself has, the program's name included. */
static int words_of(const struct command *command)
{
    return command->group ? 3 : 2;
}

/* Returns NULL with a sentence when it is none. */
static const struct command *find_command(int argc, char *const *argv, bool is_editor,
                                          struct err *err)
{
    const char *first = argc > 1 ? argv[1] : NULL;
    const char *second = argc > 2 ? argv[2] : NULL;
    const char *wrong = first;
    for (size_t i = 0; first && i < ARRAY_LEN(commands); i++) {
        const struct command *command = &commands[i];
        bool is_group = command->group && strcmp(command->group, first) == 0;
        const char *verb = command->group ? second : first;
        if (command->is_editor != is_editor || (command->group && !is_group))
            continue;
        if (verb && strcmp(command->verb, verb) == 0)
            return command;
        if (is_group)
            wrong = second;
    }
    if (wrong)
        (void)fail_word(err, "Unknown command", wrong);
    else
        (void)err_set(err, -EINVAL, "A command is missing");
    return NULL;
}

/* "--name", "--name=value" or "-n". ret_value: behind the "=", or NULL. */
static const struct option *find_option(const struct command *command, const char *word,
                                        const char **ret_value)
{
    *ret_value = NULL;
    for (uint32_t i = 0; i < OPTIONS_MAX && command->options[i].name; i++) {
        const struct option *option = &command->options[i];
        size_t len = strlen(option->name);
        if (option->letter && word[0] == '-' && word[1] == option->letter && word[2] == '\0')
            return option;
        if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, option->name, len) != 0)
            continue;
        if (word[2 + len] == '=')
            *ret_value = word + 2 + len + 1;
        if (word[2 + len] == '=' || word[2 + len] == '\0')
            return option;
    }
    return NULL;
}

static int take_option(int argc, char *const *argv, int *idx, const struct command *command,
                       struct snaptool_args *args, struct err *err)
{
    const char *value;
    const struct option *option = find_option(command, argv[*idx], &value);
    if (!option)
        return fail_word(err, "Unknown option", argv[*idx]);
    if (*slot(args, option->off))
        return err_set(err, -EINVAL, "--%s is there more than once", option->name);
    if (!value && *idx + 1 < argc)
        value = argv[++*idx];
    if (!value || !*value)
        return err_set(err, -EINVAL, "--%s needs a path", option->name);
    *slot(args, option->off) = value;
    return 0;
}

static int take_word(const char *word, uint32_t position, const struct command *command,
                     struct snaptool_args *args, struct err *err)
{
    if (!*word)
        return err_set(err, -EINVAL, "A path is empty");
    if (position < command->positions_count) {
        *slot(args, command->positions[position].off) = word;
        return 0;
    }
    if (!command->others)
        return fail_word(err, "Unexpected argument", word);
    if (args->others_count == SNAPTOOL_OTHERS_MAX)
        return err_set(err, -E2BIG, "More than %u files to compare: name fewer",
                       SNAPTOOL_OTHERS_MAX);
    args->others[args->others_count++] = word;
    return 0;
}

static int check_whole(const struct command *command, uint32_t positions,
                       struct snaptool_args *args, struct err *err)
{
    if (positions < command->required)
        return err_set(err, -EINVAL, "%s is missing", command->positions[positions].name);
    if (command->others && args->others_count == 0)
        return err_set(err, -EINVAL, "%s is missing", command->others);
    for (uint32_t i = 0; i < OPTIONS_MAX && command->options[i].name; i++)
        if (command->options[i].required && !*slot(args, command->options[i].off))
            return err_set(err, -EINVAL, "--%s is missing", command->options[i].name);
    return 0;
}

static int parse_words(int argc, char *const *argv, int idx, const struct command *command,
                       struct snaptool_args *args, struct err *err)
{
    bool options = true;
    uint32_t position = 0;
    int rc = 0;
    for (; rc == 0 && idx < argc; idx++) {
        const char *word = argv[idx];
        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && word[0] == '-' && word[1] != '\0')
            rc = take_option(argc, argv, &idx, command, args, err);
        else
            rc = take_word(word, position++, command, args, err);
    }
    return rc < 0 ? rc : check_whole(command, position, args, err);
}

/* --help and --version, wherever they are. */
static bool is_query(int argc, char *const *argv, struct snaptool_args *args)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        if (help || strcmp(argv[i], "--version") == 0) {
            args->command = help ? SNAPTOOL_HELP : SNAPTOOL_PROGRAM_VERSION;
            return true;
        }
    }
    return false;
}

int snaptool_args_parse(int argc, char *const *argv, struct snaptool_args *ret_args,
                        struct err *err)
{
    *ret_args = (struct snaptool_args){.is_editor = is_editor_name(argc > 0 ? argv[0] : NULL)};
    if (is_query(argc, argv, ret_args))
        return 0;
    const struct command *command = find_command(argc, argv, ret_args->is_editor, err);
    if (!command)
        return -EINVAL;
    ret_args->command = command->command;
    return parse_words(argc, argv, words_of(command), command, ret_args, err);
}
