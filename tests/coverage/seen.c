/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records which system calls threads under seccomp filters make, until it is told to end (SIGTERM,
 * SIGINT), for the coverage of the tables (tests/coverage/compare).
 * usage: seccomp-seen FILE [NUMBER:ARG[:ARG]...]
 *   FILE        is written at the end: "comm filters number arg arg count" a line, tab-separated
 *   NUMBER:...  the arguments that matter of that call
 * Prints "ready" when it records.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "seen.skel.h"
#include "tests/coverage/seen.h"

static int set_wanted(struct seen_bpf *skel, int argc, char **argv)
{
    for (unsigned number = 0; number < SEEN_CALLS_MAX; number++) {
        struct seen_wanted want = {{6, 6}};
        for (int i = 2; i < argc; i++) {
            unsigned call, args[SEEN_ARGS_MAX] = {6, 6};
            if (sscanf(argv[i], "%u:%u:%u", &call, &args[0], &args[1]) < 2)
                return -EINVAL;
            for (int a = 0; a < SEEN_ARGS_MAX && call == number; a++)
                want.args[a] = (unsigned char)args[a];
        }
        int rc = bpf_map__update_elem(skel->maps.wanted, &number, sizeof(number), &want,
                                      sizeof(want), BPF_ANY);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int dump(struct seen_bpf *skel, const char *path)
{
    struct seen_key key, next;
    const struct seen_key *at = NULL;
    unsigned long long count;
    FILE *file = fopen(path, "w");
    if (!file)
        return -errno;
    while (bpf_map__get_next_key(skel->maps.seen, at, &next, sizeof(next)) == 0) {
        key = next;
        at = &key;
        if (bpf_map__lookup_elem(skel->maps.seen, &key, sizeof(key), &count, sizeof(count), 0) == 0)
            (void)fprintf(file, "%.16s\t%u\t%u\t%llu\t%llu\t%llu\n", key.comm, key.filters,
                          key.number, key.args[0], key.args[1], count);
    }
    return fclose(file) == 0 ? 0 : -errno;
}

int main(int argc, char **argv)
{
    sigset_t ends;
    int signum;
    if (argc < 2) {
        (void)fprintf(stderr, "usage: seccomp-seen FILE [NUMBER:ARG[:ARG]...]\n");
        return 2;
    }
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    struct seen_bpf *skel = seen_bpf__open_and_load();
    int rc = skel ? set_wanted(skel, argc, argv) : -errno;
    if (rc == 0)
        rc = seen_bpf__attach(skel);
    if (rc == 0) {
        (void)printf("ready\n");
        (void)fflush(stdout);
        (void)sigwait(&ends, &signum);
        seen_bpf__detach(skel);
        rc = dump(skel, argv[1]);
    }
    if (rc < 0)
        (void)fprintf(stderr, "seccomp-seen: %s\n", strerror(-rc));
    seen_bpf__destroy(skel);
    return rc < 0;
}
