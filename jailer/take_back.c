/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A jail that did not come to be whole goes away. Of the processes that made it one takes it back;
 * the cgroups of a rootless jail are the first process's (rootless_cgroup.c), which is in them.
 */
#include "jailer/jail.h"

void jail_take_back(struct jail *jail)
{
    jail_leave_root(jail);
    jail_detach_policy(jail);
    jail_undo_run(&jail->undo);
}

void jail_forget(struct jail *jail)
{
    jail->undo.count = 0;
    jail->hook = (struct pol_hook){.ifindex = 0};
}
