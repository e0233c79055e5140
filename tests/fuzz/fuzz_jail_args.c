/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the jailer's command line, words that are each ended by a zero byte, and what lies
 * in them. A refusal has a sentence and sets nothing; what is accepted keeps what the reference
 * promises of it. Single thread.
 */
#include <stdint.h>
#include <string.h>

#include "jailer/args.h"
#include "jailer/cgroup.h"
#include "tests/fuzz/fuzz_check.h"

#define INPUT_MAX_SIZE 8192u
#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_values(const struct jail_args *args)
{
    struct jail_cgroups cgroups;
    struct err err = ERR_INIT;
    const char *parent = args->parent_cgroup ? args->parent_cgroup : "firecracker";
    if (jail_cgroup_check_parent(parent, &err) == 0) {
        FUZZ_CHECK(*parent != '\0' && *parent != '/');
        FUZZ_CHECK(strcmp(parent, "..") != 0 && strncmp(parent, "../", 3) != 0);
        FUZZ_CHECK(!strstr(parent, "/../"));
    }
    err = (struct err)ERR_INIT;
    int rc =
        jail_cgroups_parse(&args->cgroups, args->cgroup_version, parent, args->id, &cgroups, &err);
    FUZZ_CHECK((rc == 0) == (err.msg[0] == '\0'));
    for (unsigned i = 0; rc == 0 && i < cgroups.values_count; i++) {
        const struct jail_cgroup_value *value = &cgroups.values[i];
        FUZZ_CHECK(value->controller_len > 0 && value->controller_len < value->file_len);
        FUZZ_CHECK(value->file[value->controller_len] == '.' &&
                   value->file[value->file_len] == '=');
        FUZZ_CHECK(!memchr(value->file, '/', value->file_len) && value->value[0] != '\0');
    }
}

static void check_numbers(const struct jail_args *args)
{
    struct jail_limits limits;
    struct err err = ERR_INIT;
    uint32_t uid = UINT32_MAX;
    int rc = jail_id_parse(args->uid, "uid", &uid, &err);
    FUZZ_CHECK((rc == 0) == (uid != UINT32_MAX) && (rc == 0) == (err.msg[0] == '\0'));
    err = (struct err)ERR_INIT;
    rc = jail_limits_parse(&args->limits, &limits, &err);
    FUZZ_CHECK((rc == 0) == (err.msg[0] == '\0'));
}

static void read_words(char *text, size_t size)
{
    char *words[WORDS_MAX + 1] = {(char[]){"jailer"}};
    int count = 1;
    for (size_t at = 0; at < size && count < WORDS_MAX; at += strlen(text + at) + 1)
        words[count++] = text + at;
    struct jail_args args = {.id = words[0]};
    struct err err = ERR_INIT;
    int rc = jail_args_parse(count, words, &args, &err);
    if (rc < 0) {
        FUZZ_CHECK(err.code == rc && err.msg[0] != '\0');
        FUZZ_CHECK(args.id == words[0] && !args.uid && args.cgroups.count == 0 && args.rest == 0);
        return;
    }
    if (args.help || args.version)
        return;
    FUZZ_CHECK(args.id && args.exec_file && args.uid && args.gid && args.chroot_base_dir);
    FUZZ_CHECK(args.rest >= 1 && args.rest <= count);
    FUZZ_CHECK(!args.rootless || args.new_pid_ns);
    check_numbers(&args);
    check_values(&args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[INPUT_MAX_SIZE + 1];
    if (size > INPUT_MAX_SIZE)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    read_words(text, size);
    return 0;
}
