/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attempt as data becomes system calls: arguments into the thread's memory, one call after the
 * other until one is refused, then everything back. Single thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/security/inject/inject.h"

#define MAP_SIZE 4096u

/* A path, or '@' and a name of the abstract kind, whose size has no NUL. */
static socklen_t make_address(const char *text, struct sockaddr_un *ret_addr)
{
    size_t len = strlen(text);
    *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len >= sizeof(ret_addr->sun_path))
        len = sizeof(ret_addr->sun_path) - 1;
    memcpy(ret_addr->sun_path, text, len);
    if (text[0] != '@')
        return sizeof(*ret_addr);
    ret_addr->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* The argument's value. Returns 0, or -1: there is no such setting, or no room. */
static int resolve(struct tracee *tracee, const struct settings *settings, const struct arg *arg,
                   int64_t result, uint64_t *ret_value)
{
    static const unsigned char zeros[TRACEE_SCRATCH_SIZE];
    struct sockaddr_un addr;
    const char *text = arg->kind >= ARG_SETTING ? setting_find(settings, arg->bytes) : NULL;
    if (arg->kind >= ARG_SETTING && !text)
        return -1;
    switch (arg->kind) {
    case ARG_NUMBER:
        *ret_value = arg->number;
        return 0;
    case ARG_RESULT:
        *ret_value = (uint64_t)result;
        return 0;
    case ARG_SETTING_NUMBER:
        *ret_value = strtoull(text, NULL, 0);
        return 0;
    case ARG_SOCKET_SIZE:
        *ret_value = make_address(text, &addr);
        return 0;
    case ARG_TEXT:
        *ret_value = tracee_push(tracee, arg->bytes, strlen(arg->bytes) + 1);
        break;
    case ARG_BYTES:
        *ret_value = tracee_push(tracee, arg->bytes, arg->number);
        break;
    case ARG_ROOM:
        *ret_value = tracee_push(tracee, zeros, arg->number);
        break;
    case ARG_SETTING:
        *ret_value = tracee_push(tracee, text, strlen(text) + 1);
        break;
    case ARG_SOCKET:
        (void)make_address(text, &addr);
        *ret_value = tracee_push(tracee, &addr, sizeof(addr));
        break;
    }
    return *ret_value == 0 ? -1 : 0;
}

static struct outcome make_step(struct tracee *tracee, const struct settings *settings,
                                const struct step *step, int64_t result)
{
    uint64_t values[6] = {0};
    tracee->used = 0;
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (resolve(tracee, settings, &step->args[i], result, &values[i]) < 0)
            return (struct outcome){.kind = OUTCOME_NONE};
    return tracee_call(tracee, step->nr, values);
}

struct outcome call6(struct tracee *tracee, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                     uint64_t e, uint64_t f)
{
    const uint64_t values[6] = {a, b, c, d, e, f};
    return tracee_call(tracee, nr, values);
}

static void take_back(struct tracee *tracee, const struct step *step, int64_t result)
{
    switch (step->undo) {
    case UNDO_NOTHING:
        break;
    case UNDO_CLOSE:
        (void)call6(tracee, SYS_close, (uint64_t)result, 0, 0, 0, 0, 0);
        break;
    case UNDO_UNMAP:
        (void)call6(tracee, SYS_munmap, (uint64_t)result, MAP_SIZE, 0, 0, 0, 0);
        break;
    case UNDO_REAP:
        (void)call6(tracee, SYS_wait4, (uint64_t)result, 0, __WALL, 0, 0, 0);
        break;
    }
}

static bool has_passed(const struct step *step, struct outcome outcome)
{
    if (outcome.kind == OUTCOME_VALUE)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(step->passes); i++)
        if (outcome.kind == OUTCOME_ERRNO && step->passes[i] != 0 &&
            outcome.value == step->passes[i])
            return true;
    return false;
}

struct outcome attempt_make(struct tracee *tracee, const struct settings *settings,
                            const struct attempt *attempt, size_t *ret_step)
{
    struct outcome outcomes[STEPS_MAX] = {0};
    struct outcome last = {.kind = OUTCOME_NONE};
    size_t done = 0;
    bool all = true;
    *ret_step = 0;
    if (attempt->special)
        return attempt->special(tracee, settings);
    for (; all && done < STEPS_MAX && attempt->steps[done].is_there; done++) {
        last = make_step(tracee, settings, &attempt->steps[done], last.value);
        outcomes[done] = last;
        all = has_passed(&attempt->steps[done], last);
        *ret_step = done;
    }
    for (size_t i = 0; all && i < ARRAY_LEN(attempt->after) && attempt->after[i].is_there; i++)
        (void)make_step(tracee, settings, &attempt->after[i], last.value);
    for (size_t i = done; i-- > 0;)
        if (outcomes[i].kind == OUTCOME_VALUE)
            take_back(tracee, &attempt->steps[i], outcomes[i].value);
    return all ? (struct outcome){.kind = OUTCOME_VALUE, .value = last.value} : last;
}
