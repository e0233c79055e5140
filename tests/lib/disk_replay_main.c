/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk-replay LOG IMAGE: makes IMAGE, a copy of a disk from before the recording, what a power cut
 * would have left of it at worst; prints what was kept. Exit 0, or 1 with a sentence. Issue 3, part
 * 9 (durability).
 */
#include <inttypes.h>
#include <stdio.h>

#include "tests/lib/disk_recorder.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: disk-replay LOG IMAGE\n");
        return 1;
    }
    struct err err = ERR_INIT;
    struct disk_recorder_counts counts = {0};
    if (disk_recorder_replay(argv[1], argv[2], &counts, &err) < 0) {
        fprintf(stderr, "disk-replay: %s\n", err.msg);
        return 1;
    }
    printf("kept %" PRIu64 " writes of %" PRIu64 " bytes, dropped %" PRIu64 ", %" PRIu64
           " flushes\n",
           counts.writes_kept, counts.bytes_kept, counts.writes_dropped, counts.flushes);
    return 0;
}
