/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line that says what a jail shares with the host, where namespaces were not asked for.
 */
#include <stdio.h>

#include "base/landlock.h"
#include "jailer/jail.h"

void jail_tell_shared(const struct jail *jail)
{
    bool has_netns = jail->args->netns != NULL;
    bool has_pid_ns = jail->args->new_pid_ns;
    if (has_netns && has_pid_ns)
        return;
    const char *kept_by = " alone forbids their use";
    if (landlock_abi() >= LANDLOCK_ABI_SCOPES)
        kept_by = " and Landlock forbid their use";
    else if (!has_netns) /* the vmm thread connects to vsock's sockets, and no filter sees a name */
        kept_by = " forbids their use, but for abstract sockets";
    /* Whoever cannot read it has asked for no namespaces all the same. */
    (void)printf("Warning! This jail shares with the host:%s%s%s. Seccomp%s.\n",
                 has_netns ? "" : " network and abstract Unix sockets (--netns)",
                 has_netns || has_pid_ns ? "" : ",",
                 has_pid_ns ? "" : " process ids and signals (--new-pid-ns)", kept_by);
    (void)fflush(stdout); /* exec keeps no buffer */
}
