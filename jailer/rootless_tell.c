/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line that says what isolates a monitor without root, and what does not.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "jailer/rootless.h"

struct line {
    char text[2048];
    size_t len;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What does not fit is cut. */
static void add(struct line *line, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int len = vsnprintf(line->text + line->len, sizeof(line->text) - line->len, format, list);
    va_end(list);
    size_t room = sizeof(line->text) - line->len - 1;
    line->len += len < 0 ? 0 : (size_t)len < room ? (size_t)len : room;
}

static void add_missing(struct line *line, const struct jail *jail)
{
    const char *before = "; not: ";
    if (jail->cgroups.values_count == 0) {
        add(line, "%scgroup limits (%s)", before,
            jail->rootless.is_delegated ? "no --cgroup" : "no delegated cgroup v2");
        before = ", ";
    }
    for (enum jail_device i = 0; i < JAIL_DEVICES_COUNT; i++) {
        if (jail->rootless.device_fds[i] >= 0 ||
            !jail_device_is_there(jail, i)) /* without KVM nothing starts */
            continue;
        add(line, "%s%s (not open to the monitor's user)", before, jail_device_path(i));
        before = ", ";
    }
    int groups = jail->rootless.has_own_ids ? getgroups(0, NULL) : 0;
    if (groups > 0)
        add(line, "%sleaving the user's supplementary groups (%d stay)", before, groups);
}

void jail_rootless_tell(const struct jail *jail)
{
    struct line line = {.len = 0};
    const char *netns = jail->args->netns;
    add(&line, "Rootless: user ns, mount ns, PID ns, IPC ns, UTS ns, network ns (%s), ",
        netns ? netns : "empty");
    add(&line, "no new privileges, resource limits%s; ",
        jail->cgroups.values_count > 0 ? ", cgroup limits" : "");
    add(&line, "user %u and group %u are the host's %u and %u%s", jail->uid, jail->gid,
        jail->rootless.host_uid, jail->rootless.host_gid,
        jail->rootless.has_own_ids ? ", who started it" : "");
    add_missing(&line, jail);
    (void)fprintf(stderr, "%s.\n", line.text);
}
