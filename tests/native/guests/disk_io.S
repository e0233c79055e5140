# SPDX-License-Identifier: Apache-2.0
# Reads a sector over and over into a page that the vCPU never touches: the kernel puts it there.
# Prints a number for each.
.include "guest.inc"
.include "virtio.inc"
.include "disk_loop.inc"

    disk_loop BLK_IN, 8, 512
