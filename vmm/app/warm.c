/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loader of --warm. Thread: main.
 */
#include "vmm/app/warm.h"

#include <errno.h>

#include "vmm/app/body.h"

static int check(const struct cfg_machine *shape, struct err *err)
{
    int rc = cfg_machine_validate(shape, err);
    if (rc == 0 && shape->huge_pages == CFG_HUGE_PAGES_2M)
        rc = err_set(err, -EINVAL,
                     "huge_pages: memory of 2M pages cannot be reserved ahead; leave "
                     "it out");
    return rc;
}

int app_warm_load(const char *path, struct cfg_machine *ret_shape, struct err *err)
{
    int rc = app_body_load("--warm", path, &cfg_object_machine, ret_shape, err);
    if (rc < 0)
        return rc;
    rc = check(ret_shape, err);
    return rc < 0 ? err_prefix(err, "--warm %s: ", path) : 0;
}
