/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole monitor whose keyboard can be pressed: linked with -Wl,--wrap=machine_create, it reads
 * the FIFO that MAYFLY_TEST_KEYS names and presses Ctrl+Alt+Del once for each byte. The monitor
 * itself has no trigger before there is an API. Thread: vmm. Issue 3, part 5 (i8042).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/err.h"
#include "vmm/machine/machine.h"

/* The names that the linker's --wrap gives. */
int __real_machine_create(const struct machine_options *options, struct machine **ret_machine,
                          struct err *err);
int __wrap_machine_create(const struct machine_options *options, struct machine **ret_machine,
                          struct err *err);

static void on_keys(struct loop_src *src, uint32_t revents)
{
    struct err err = ERR_INIT;
    char byte;
    if ((revents & EPOLLIN) == 0 || read(src->fd, &byte, 1) != 1)
        return;
    if (machine_ctrl_alt_del(src->ctx, &err) < 0)
        (void)fprintf(stderr, "MAYFLY_TEST_KEYS: %s\n", err.msg);
}

int __wrap_machine_create(const struct machine_options *options, struct machine **ret_machine,
                          struct err *err)
{
    static struct loop_src keys = {.fd = -1, .events = EPOLLIN, .fn = on_keys};
    int rc = __real_machine_create(options, ret_machine, err);
    const char *path = getenv("MAYFLY_TEST_KEYS");
    if (rc < 0 || !path)
        return rc;
    /* Also for writing, so that the FIFO never hangs up. */
    keys.fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    keys.ctx = *ret_machine;
    if (keys.fd < 0)
        rc = -errno;
    else
        rc = loop_add(options->loop, &keys);
    if (rc < 0) {
        machine_free(*ret_machine);
        return err_set(err, rc, "%s %s", ERR_OS(rc), path);
    }
    return 0;
}
