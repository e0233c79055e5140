# SPDX-License-Identifier: Apache-2.0
"""The host's part of perf/net and perf/vsock: guest/netload.c in guests of several monitors."""

import os
import tempfile

import common


def measure(doc, name, plan, show):
    """Measures in a lab what the plan says and writes perf/results/NAME.json.

    plan   monitors, counts: {work: (few, many)}, aims; loaded(monitor, work, count), the variant
           that works; idle, the variants whose memory is looked at, called "MONITOR: DEVICES";
           server(monitor), a name in job's servers; job, the rest of the lab's job
    show   makes the tables of the result
    """
    parser = common.parser_for(doc)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each cell")
    parser.add_argument("--only", metavar="TEXT", help="only cells with TEXT in their name")
    args = parser.parse_args()
    out = args.out or (None if args.only else os.path.join(common.RESULTS, name + ".json"))
    loaded = plan["loaded"]
    pairs = [{"name": f"{monitor}: {work}", "server": plan["server"](monitor),
              "few": loaded(monitor, work, few), "many": loaded(monitor, work, many)}
             for work, (few, many) in plan["counts"].items() for monitor in plan["monitors"]]
    pairs = [pair for pair in pairs if not args.only or args.only in pair["name"]]
    idle = [each for each in plan["idle"]
            if not args.only or args.only in f"{each['name']} memory"]
    if not pairs and not idle:
        raise common.PerfError(f"no cell has '{args.only}' in its name")
    with tempfile.TemporaryDirectory(prefix="mayfly-perf-") as directory:
        files = common.guest_files(args)
        files["/initrd"] = common.initrd_with(args, directory, "netload")
        files["/mayfly"] = common.stripped(common.monitor(args), directory)
        files["/netload"] = common.built(args, "perf/netload")
        files.update(common.qemu_files())
        done = common.lab_run({
            "kind": "net", "files": files, "pairs": pairs, "idle": idle, "runs": args.runs,
            **plan["job"], "ram_kib": common.MEM_MIB * 1024,
            "vm_time": common.built(args, "perf/vm_time")})
        result = {"machine": common.describe_machine(), "lab_kernel": done["lab_kernel"],
                  **done["result"], "aims": plan["aims"], "counts": plan["counts"],
                  "monitors": plan["monitors"],
                  "files": {"kernel": common.describe_file(files["/vmlinux"]),
                            "mayfly": common.describe_file(files["/mayfly"])},
                  "version": common.version(common.monitor(args))}
    if out:
        common.write_json(out, result)
    print(show(result))
    return 0
