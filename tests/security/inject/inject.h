/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the injector share: the names and values that the attempts use, attempts as
 * data, and how one is made. Single thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "base/attr.h"
#include "tests/security/inject/tracee.h"

#define SETTINGS_MAX 64u
#define SETTING_NAME_SIZE 24u
#define SETTING_VALUE_SIZE 320u
#define STEPS_MAX 3u

/* Values that differ from run to run: paths, process ids, descriptors of the target. */
struct settings {
    size_t count;
    struct {
        char name[SETTING_NAME_SIZE];
        char value[SETTING_VALUE_SIZE];
    } list[SETTINGS_MAX];
};

/* NULL: there is none of that name. */
const char *setting_find(const struct settings *settings, const char *name);
/* Sets one, or replaces it. Exits when there is no room. */
void setting_put(struct settings *settings, const char *name, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* A sentence on stderr. Returns -1. */
int complain(const char *fmt, ...) PRINTF_LIKE(1, 2);

enum arg_kind {
    ARG_NUMBER,
    ARG_TEXT,           /* a pointer to the text */
    ARG_BYTES,          /* a pointer to the bytes */
    ARG_ROOM,           /* a pointer to so many zeros */
    ARG_RESULT,         /* what the step before returned */
    ARG_SETTING,        /* a pointer to the setting's text */
    ARG_SETTING_NUMBER, /* its number */
    ARG_SOCKET,         /* a pointer to the Unix address that the setting names; '@': abstract */
    ARG_SOCKET_SIZE,    /* that address's size */
};

struct arg {
    enum arg_kind kind;
    uint64_t number;
    const void *bytes; /* or the text, or the setting's name */
};

/* How a step that succeeded is taken back. */
enum undo { UNDO_NOTHING, UNDO_CLOSE, UNDO_UNMAP, UNDO_REAP };

struct step {
    long nr;
    bool is_there; /* ends the list */
    struct arg args[6];
    enum undo undo;
    int passes[2]; /* errnos that only those see who have passed the check */
};

struct attempt;
/* An attempt that is more than a few calls in a row. */
typedef struct outcome attempt_fn(struct tracee *tracee, const struct settings *settings);

struct attempt {
    const char *name;
    const char *means; /* what it would mean if it succeeded */
    struct step steps[STEPS_MAX];
    struct step after[STEPS_MAX]; /* made when all steps have succeeded: what undoes them */
    attempt_fn *special;
    bool is_deadly; /* a filter ends the process: made only when it alone is asked for */
};

#define N(v)                                                                                       \
    {                                                                                              \
        .kind = ARG_NUMBER, .number = (uint64_t)(v)                                                \
    }
#define T(v)                                                                                       \
    {                                                                                              \
        .kind = ARG_TEXT, .bytes = (v)                                                             \
    }
#define B(v)                                                                                       \
    {                                                                                              \
        .kind = ARG_BYTES, .number = sizeof(v), .bytes = &(v)                                      \
    }
#define Z(v)                                                                                       \
    {                                                                                              \
        .kind = ARG_ROOM, .number = (v)                                                            \
    }
#define R                                                                                          \
    {                                                                                              \
        .kind = ARG_RESULT                                                                         \
    }
#define K(v)                                                                                       \
    {                                                                                              \
        .kind = ARG_SETTING, .bytes = (v)                                                          \
    }
#define KN(v)                                                                                      \
    {                                                                                              \
        .kind = ARG_SETTING_NUMBER, .bytes = (v)                                                   \
    }
#define SOCK(v)                                                                                    \
    {.kind = ARG_SOCKET, .bytes = (v)},                                                            \
    {                                                                                              \
        .kind = ARG_SOCKET_SIZE, .bytes = (v)                                                      \
    }
#define ARGS(...)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define CALL(call, ...)                                                                            \
    {                                                                                              \
        .nr = SYS_##call, .is_there = true, .args = __VA_ARGS__                                    \
    }

struct attempt_list {
    const struct attempt *attempts;
    size_t count;
};

extern const struct attempt_list attempts_files, attempts_processes, attempts_network,
    attempts_kernel, attempts_machine;

/* Makes the attempt. *ret_step: the step that decided, from 0. */
struct outcome attempt_make(struct tracee *tracee, const struct settings *settings,
                            const struct attempt *attempt, size_t *ret_step);

/* A call with numbers only. */
struct outcome call6(struct tracee *tracee, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                     uint64_t e, uint64_t f);

attempt_fn race_open, race_dotdot, regain_capabilities, ring_open, ring_socket;
