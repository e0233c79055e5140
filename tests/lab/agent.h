/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lab machine's init (PID 1) is made of: the job that the host wrote into the initramfs,
 * and the frames that travel over the one virtio-serial port between init and tests/lab/lab.
 * Single thread. See tests/lab/README.md, "How it works".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits of a job; the host writes it, so these only catch a lab that disagrees with itself. */
enum {
    JOB_SIZE_MAX = 1 << 20,
    JOB_ARGS_MAX = 4096,
    JOB_ENV_MAX = 512,
    JOB_DIRS_MAX = 64,
    FRAME_DATA_MAX = 64 * 1024,
};

/* Frame types: one byte, then a little-endian 32-bit length, then that many bytes. */
enum frame_type {
    FRAME_HELLO = 'h',   /* init -> host: the command is about to start */
    FRAME_OUT = 'o',     /* init -> host: bytes of its stdout */
    FRAME_ERR = 'e',     /* init -> host: bytes of its stderr */
    FRAME_EXIT = 'x',    /* init -> host: decimal exit status, nothing follows */
    FRAME_FAIL = 'f',    /* init -> host: the lab could not be set up, one sentence */
    FRAME_STDIN = 'i',   /* host -> init: bytes for stdin; no bytes: end of file */
    FRAME_WINSIZE = 'w', /* host -> init: "rows cols" of the terminal */
    FRAME_PING = 'p',    /* host -> init, and back: the machine lives */
    FRAME_DUMP = 'd',    /* host -> init: write the kernel's state to the console; and back: done */
};

/* One command to run. All strings point into the job file's buffer, which lives for ever. */
struct job {
    char *argv[JOB_ARGS_MAX + 1];
    char *env[JOB_ENV_MAX + 1];
    char *binds[JOB_DIRS_MAX]; /* host directories to show below our own /tmp and /run */
    char *rw[JOB_DIRS_MAX];    /* "tag:/path": host directories shared writable */
    const char *cwd;
    const char *modules; /* the directory with this kernel's modules, as the host names it */
    size_t argv_count;
    size_t env_count;
    size_t binds_count;
    size_t rw_count;
    bool tty;       /* give the command a terminal */
    bool clock_tsc; /* do not start before the kernel has settled on the tsc clocksource */
    bool has_stdin; /* connect its stdin; otherwise it reads /dev/null */
};

/*
 * Report one sentence to the host (through the port when it is open, always on the console) and
 * stop the machine. Never returns.
 */
_Noreturn void agent_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Load the modules of one group of /modules/order: 'b' needed to reach the root, 'l' the rest. */
void setup_modules(char group);

/* Build the root file system (9p below, tmpfs above), switch to it and mount everything in it. */
void setup_root(const struct job *job);

/*
 * Wait until the kernel has finished calibrating and reads the time from the tsc clocksource: a
 * change of clocksource in the middle of a measurement would be part of the figure.
 */
void setup_clock(void);

/*
 * Run the job's command, relaying its output as frames on `port_fd`.
 * Returns its exit status as a shell would give it: 0-255, or 128 + signal number.
 */
int relay_run(const struct job *job, int port_fd);

/* Write one frame; a port that does not take it stops the machine. */
void relay_send(int port_fd, enum frame_type type, const void *data, size_t len);
