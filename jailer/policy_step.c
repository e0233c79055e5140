/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network policy of the VM that is about to start (docs/network-policy.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/jail.h"
#include "jailer/policy_file.h"

int jail_check_policy(struct jail *jail, struct err *err)
{
    const char *path = jail->args->policy;
    if (!path)
        return 0;
    if (jail->args->rootless)
        return err_set(
            err, -EPERM,
            "--policy needs root: the kernel lets nobody else load it. Have root attach it: "
            "mayfly-jailer policy --id %s --attach --tap TAP --file %s",
            jail->args->id, path);
    return jail_policy_read(path, &jail->policy, err);
}

/* What was pinned is noted: by descriptors it can be removed from inside the jail as well. */
static int note_pins(struct jail *jail, struct err *err)
{
    FD_AUTO int place_fd = open(POL_PIN_PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO int dir_fd =
        place_fd < 0 ? FD_NONE : openat(place_fd, jail->args->id, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return err_set(err, -errno, "Network policy: " POL_PIN_PLACE "/%s: %s", jail->args->id,
                       ERR_OS(errno));
    int rc = jail_undo_note(&jail->undo, place_fd, jail->args->id, true, err);
    for (unsigned i = 0; rc == 0 && pol_pin_name(i); i++)
        rc = jail_undo_note(&jail->undo, dir_fd, pol_pin_name(i), false, err);
    return rc;
}

int jail_attach_policy(struct jail *jail, struct err *err)
{
    const struct jail_args *args = jail->args;
    if (!args->policy)
        return 0;
    int rc = pol_attach(args->id, args->tap, &jail->policy, &jail->hook, err);
    pol_policy_done(&jail->policy);
    if (rc < 0)
        return rc;
    rc = note_pins(jail, err);
    if (rc < 0) {
        pol_unpin(args->id); /* those that are not noted */
        return rc;
    }
    rc = pol_open_counters(args->id, err);
    if (rc < 0)
        return rc;
    jail->counters_fd = rc;
    /* The monitor inherits it. */
    if (fcntl(rc, F_SETFD, 0) < 0)
        return err_set(err, -errno, "Network policy: the counters' descriptor: %s", ERR_OS(errno));
    return 0;
}

void jail_detach_policy(struct jail *jail)
{
    pol_policy_done(&jail->policy);
    fd_close(&jail->counters_fd);
    pol_hook_take_back(&jail->hook);
}
