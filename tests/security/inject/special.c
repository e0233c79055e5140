/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts that are more than calls in a row: a race with a process outside, and capabilities that
 * were there. Single thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/security/inject/inject.h"

#define RACE_TRIES 1500u
#define RACE_MAX_S 2 /* on a busy machine: a hole shows within a few tries */
#define PATH_ROOM 512u
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2u
#endif

/* Exchanges the directory and the symbolic link until it is ended. */
static pid_t start_swapping(const char *one, const char *other)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        (void)renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

/* Opens the file and reads which it is: 'i' inside, 'o' outside. */
static struct outcome open_once(struct tracee *tracee, uint64_t path, uint64_t room, char *ret_who)
{
    struct outcome fd =
        call6(tracee, SYS_openat, (uint64_t)AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd.kind != OUTCOME_VALUE)
        return fd;
    struct outcome len = call6(tracee, SYS_read, (uint64_t)fd.value, room, 1, 0, 0, 0);
    (void)call6(tracee, SYS_close, (uint64_t)fd.value, 0, 0, 0, 0, 0);
    if (len.kind != OUTCOME_VALUE || tracee_read(tracee, room, ret_who, 1) < 0)
        *ret_who = '?';
    return fd;
}

/* The path, which begins in the folder that is exchanged, is opened until it leads out. */
static struct outcome race(struct tracee *tracee, const struct settings *settings, const char *rest)
{
    const char *host = setting_find(settings, "inside_host");
    const char *seen = setting_find(settings, "inside");
    char one[PATH_ROOM], other[PATH_ROOM], path[PATH_ROOM];
    char who = '\0';
    if (!host || !seen)
        return (struct outcome){.kind = OUTCOME_NONE};
    (void)snprintf(one, sizeof(one), "%s/race", host);
    (void)snprintf(other, sizeof(other), "%s/race.link", host);
    (void)snprintf(path, sizeof(path), "%s/race/%s", seen, rest);
    pid_t child = start_swapping(one, other);
    if (child < 0)
        return (struct outcome){.kind = OUTCOME_NONE};
    tracee->used = 0;
    uint64_t path_at = tracee_push(tracee, path, strlen(path) + 1);
    uint64_t room = tracee_push(tracee, "", 1);
    struct outcome outcome = {.kind = OUTCOME_HELD};
    time_t end = time(NULL) + RACE_MAX_S;
    for (unsigned i = 0; i < RACE_TRIES && who != 'o' && time(NULL) <= end; i++) {
        outcome = open_once(tracee, path_at, room, &who);
        if (outcome.kind == OUTCOME_SECCOMP || outcome.kind == OUTCOME_KILLED)
            break;
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    if (outcome.kind == OUTCOME_SECCOMP || outcome.kind == OUTCOME_KILLED)
        return outcome;
    return (struct outcome){.kind = who == 'o' ? OUTCOME_VALUE : OUTCOME_HELD};
}

struct outcome race_open(struct tracee *tracee, const struct settings *settings)
{
    return race(tracee, settings, "who");
}

/* Through the link, `..` is the folder that the one outside lies in. */
struct outcome race_dotdot(struct tracee *tracee, const struct settings *settings)
{
    const char *outside = setting_find(settings, "outside");
    const char *name = outside ? strrchr(outside, '/') : NULL;
    char rest[PATH_ROOM];
    if (!name)
        return (struct outcome){.kind = OUTCOME_NONE};
    (void)snprintf(rest, sizeof(rest), "..%s/who", name);
    return race(tracee, settings, rest);
}

/* What a thread may do now. */
static uint64_t permitted_of(const struct tracee *tracee)
{
    char path[64], line[256];
    uint64_t caps = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/status", tracee->target->pid, tracee->tid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "CapPrm:", 7) == 0)
            caps = strtoull(line + 7, NULL, 16);
    if (file)
        (void)fclose(file);
    return caps;
}

/* Nothing is lost when it succeeds: what is there is asked for too. */
struct outcome regain_capabilities(struct tracee *tracee, const struct settings *settings)
{
    (void)settings;
    const struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint64_t wanted = permitted_of(tracee) | 1ull << CAP_SYS_ADMIN | 1ull << CAP_NET_ADMIN;
    struct __user_cap_data_struct data[2] = {{0}};
    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = (uint32_t)(wanted >> (32 * i));
    tracee->used = 0;
    uint64_t header_at = tracee_push(tracee, &header, sizeof(header));
    uint64_t data_at = tracee_push(tracee, data, sizeof(data));
    return call6(tracee, SYS_capset, header_at, data_at, 0, 0, 0, 0);
}
