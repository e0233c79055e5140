# SPDX-License-Identifier: Apache-2.0
# Asks a disk for its id over and over, into a page that the vCPU never touches: the monitor itself copies it there.
# Prints a number for each.
.include "guest.inc"
.include "virtio.inc"
.include "disk_loop.inc"

    disk_loop BLK_GET_ID, 0, 20
