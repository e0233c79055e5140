/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who lives from a memory file, and who writes it where it is: flock(2), shared and alone. A file
 * system without locks takes none, and then nobody is kept out. Any thread.
 */
#pragma once

#include "base/attr.h"

/* For as long as the file is open, or until the other is taken. fd: borrowed. Return 0, or -EBUSY
 * when somebody else has it the other way: then it is not locked, however it was before. */
MUST_CHECK int snap_lock_shared(int fd);
MUST_CHECK int snap_lock_alone(int fd);
