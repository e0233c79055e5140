# SPDX-License-Identifier: Apache-2.0
"""Config files (cli.md B) that are refused: with one sentence under the right category, exit code 1. The grammar of
every field is the unit tests' affair; here is one of each kind, through the whole program."""

import json
import os

from native import CONFIGURATION, FROM_JSON, NOT_STARTED, case, contains, equal, guest, messages, skip

READ = FROM_JSON + "Unable to open or read from the configuration file: "
INVALID = CONFIGURATION + "Invalid JSON: "
NOT_SUPPORTED = CONFIGURATION + "The requested operation is not supported: "
BAD_KERNEL = ("System configuration error: Cannot load kernel due to invalid memory configuration or invalid kernel "
              "image: ")
VCPUS = CONFIGURATION + ("VM config error: The number of vCPUs must be greater than 0, less than 32 and must be 1 or "
                         "an even number if SMT is enabled.")
MEMORY = CONFIGURATION + ("VM config error: The memory size (MiB) is either 0, or not a multiple of the configured "
                          "page size.")
NO_MEMORY = NOT_STARTED + "Invalid Memory Configuration: Cannot create mmap region: Out of memory (os error 12)"

BOOT = {"kernel_image_path": guest("hello"), "boot_args": ""}
DRIVE = {"drive_id": "d", "path_on_host": "disk", "is_root_device": False}


def document(**sections):
    """A config file's text; the sections come in the order given, boot-source and drives first."""
    whole = {"boot-source": BOOT, "drives": []}
    whole.update({key.replace("_", "-"): value for key, value in sections.items()})
    return json.dumps(whole)


def machine(**fields):
    return document(machine_config={"vcpu_count": 1, "mem_size_mib": 128, **fields})


# name, text of the file, sentence; a sentence that ends in "..." is a beginning
REFUSED = [
    ("empty", "", INVALID + "..."),
    ("blank", " \n\t", INVALID + "..."),
    ("garbage", "\x01\x02 garbage \xff", INVALID + "..."),
    ("truncated", document()[:-20], INVALID + "..."),
    ("trailing_text", document() + " x", INVALID + "..."),
    ("array", "[]", INVALID + "invalid type: sequence, expected struct VmmConfig..."),
    ("without_boot_source", '{"drives": []}', INVALID + "missing field `boot-source`..."),
    ("without_drives", json.dumps({"boot-source": BOOT}), INVALID + "missing field `drives`..."),
    ("without_kernel_path", document(boot_source={}), INVALID + "missing field `kernel_image_path`..."),
    ("unknown_key_in_machine", machine(vcpus=2), INVALID + "unknown field `vcpus`, expected one of ..."),
    ("unknown_key_in_drive", document(drives=[{**DRIVE, "size": 1}]), INVALID + "unknown field `size`..."),
    ("duplicate_top_level_key", document()[:-1] + ', "drives": []}', INVALID + "duplicate field `drives`..."),
    ("duplicate_key_in_machine",
     document(machine_config={"vcpu_count": 1, "mem_size_mib": 64})[:-2] + ', "vcpu_count": 2}}',
     INVALID + "duplicate field `vcpu_count`..."),
    ("text_for_a_number", machine(vcpu_count="1"), INVALID + 'invalid type: string "1", expected u8...'),
    ("fraction", machine(vcpu_count=1.5), INVALID + "invalid type: floating point `1.5`, expected u8..."),
    ("number_for_a_flag", machine(smt=1), INVALID + "invalid type: integer `1`, expected a boolean..."),
    ("number_for_a_path", document(boot_source={"kernel_image_path": 1}),
     INVALID + "invalid type: integer `1`, expected a string..."),
    ("object_for_drives", document(drives={}), INVALID + "invalid type: map, expected a sequence..."),
    ("unknown_engine", document(drives=[{**DRIVE, "io_engine": "Fast"}]), INVALID + "unknown variant `Fast`..."),
    ("vcpus_none", machine(vcpu_count=0), VCPUS),
    ("vcpus_33", machine(vcpu_count=33), VCPUS),
    ("vcpus_odd_with_smt", machine(vcpu_count=3, smt=True), VCPUS),
    ("vcpus_300", machine(vcpu_count=300), INVALID + "invalid value: integer `300`, expected u8..."),
    ("vcpus_negative", machine(vcpu_count=-1), INVALID + "invalid value: integer `-1`, expected u8..."),
    ("memory_none", machine(mem_size_mib=0), MEMORY),
    ("memory_odd_for_huge_pages", machine(mem_size_mib=127, huge_pages="2M"), MEMORY),
    ("memory_of_2_to_40_mib", machine(mem_size_mib=2**40), NO_MEMORY),
    ("memory_beyond_64_bits_of_bytes", machine(mem_size_mib=2**63 - 1), NO_MEMORY),
    ("memory_beyond_63_bits_of_mib", machine(mem_size_mib=2**64 - 1),
     INVALID + "invalid value: integer `18446744073709551615`, expected an integer below 2^63..."),
    ("memory_of_one_mib", machine(mem_size_mib=1),
     NOT_STARTED + BAD_KERNEL + "the kernel needs 2 MiB, the guest has 1 MiB: "
     "raise mem_size_mib"),
    ("boot_args_too_long", document(boot_source={**BOOT, "boot_args": "a" * 2048}),
     CONFIGURATION + "Boot source error: The kernel command line is invalid: Invalid cmdline capacity provided."),
    ("boot_args_too_long_with_ours", document(boot_source={**BOOT, "boot_args": "a" * 2040}),
     NOT_STARTED + "Invalid kernel command line: Inserting string would make command line too long."),
    ("path_with_nul", document(boot_source={"kernel_image_path": "a\0b"}),
     CONFIGURATION + "Boot source error: The kernel file cannot be opened: file name contained an unexpected NUL "
     "byte"),
    ("drive_without_path", document(drives=[{"drive_id": "d", "is_root_device": False}]),
     CONFIGURATION + "Block device error: Unable to create the virtio block device: Invalid block config."),
    ("drive_of_vhost_user", document(drives=[{"drive_id": "d", "is_root_device": False, "socket": "s"}]),
     CONFIGURATION + "Block device error: Unable to create the virtio block device: vhost-user block devices are not "
     "supported by this VMM; use path_on_host."),
    ("two_root_drives",
     document(drives=[{**DRIVE, "drive_id": "a", "is_root_device": True},
                      {**DRIVE, "drive_id": "b", "is_root_device": True}]),
     CONFIGURATION + "Block device error: A root block device already exists!"),
    ("logger_level", document(logger={"level": "Loud"}), INVALID + "..."),
    ("logger_path_is_a_directory", document(logger={"log_path": "."}),
     CONFIGURATION + "Logger error: ..."),
    ("metrics_path_is_a_directory", document(metrics={"metrics_path": "."}),
     CONFIGURATION + "Metrics error: ..."),
    ("template_file_missing", document(cpu_config="none"),
     CONFIGURATION + "File operation error: Cannot open none: No such file or directory (os error 2)"),
    ("template_asks_for_what_kvm_lacks", document(cpu_config={"kvm_capabilities": ["56", "65000", "!1", "65001"]}),
     NOT_STARTED + "Kvm error: Missing KVM capabilities: 0xfde8, 0xfde9"),
    # Features of later builds, and devices that are not part of this one.
    ("network", document(network_interfaces=[{"iface_id": "e", "host_dev_name": "lo"}]),
     CONFIGURATION + "Network device error: Could not create the network device: Open tap device failed: Error while "
     "creating ifreq structure: Invalid argument (os error 22). Invalid TUN/TAP Backend provided by lo. Check our "
     "documentation on setting up the network devices. (there is an interface of that name and it is no tap: ip tuntap "
     "add mode tap)"),
    ("vsock", document(vsock={"guest_cid": 3, "uds_path": "none/v"}),
     CONFIGURATION + "Vsock device error: Cannot create backend for vsock device: Error binding to the host-side Unix "
     "socket: No such file or directory (os error 2) (none/v: ENOENT: its directory is not there. Make it, or name "
     "another path)"),
    ("balloon", document(balloon={"amount_mib": 1, "deflate_on_oom": False}),
     NOT_SUPPORTED + "virtio-balloon is not part of this VMM's device model."),
    ("entropy", document(entropy={}),
     NOT_SUPPORTED + "virtio-rng is not part of this VMM's device model; guests should use RDRAND/RDSEED and "
     "VMGenID."),
    ("pmem", document(pmem=[{"id": "p", "path_on_host": "f"}]),
     NOT_SUPPORTED + "virtio-pmem is not part of this VMM's device model."),
    ("memory_hotplug", document(memory_hotplug={"total_size_mib": 128}),
     NOT_SUPPORTED + "memory hotplug (virtio-mem) is not part of this VMM's device model."),
]


def expect_sentence(t, end, sentence):
    if not sentence.endswith("..."):
        t.expect_error(end, sentence)
        return
    t.expect_end(end, 1)
    beginning = "Error: " + sentence[:-len("...")]
    equal("beginning of stderr", beginning, end.err[:len(beginning)])
    equal("lines on stderr", 1, end.err.count("\n"))
    if len(end.err) <= len(beginning) + 3:
        equal("stderr", "more than a category", end.err)
    equal("last lines of the log", [end.err[len("Error: "):-1], "Firecracker exiting with error. exit_code=1"],
          messages(t.log)[-2:])


def refused(name, text, sentence):
    def run(t):
        t.write("vm.json", text.encode("latin-1"))
        expect_sentence(t, t.run_vm(), sentence)
    run.__name__ = "config_" + name
    return run


for _row in REFUSED:
    case(refused(*_row))


@case
def config_file_missing(t):
    t.expect_error(t.run_vm(config="none"), READ + "Cannot open none: No such file or directory (os error 2)")


@case
def config_file_is_no_file(t):
    os.mkdir(t.path("directory"))
    for path in ("directory", "/dev/zero"):
        end = t.run_vm(config=path)
        expect_sentence(t, end, READ + "...")
        contains("stderr", path, end.err)


@case
def config_file_may_be_a_pipe(t):
    reader, writer = os.pipe()
    os.write(writer, document().encode())
    os.close(writer)
    end = t.run_vm(config="/dev/stdin", stdin=reader)
    os.close(reader)
    t.expect_end(end)
    equal("serial output", "M", end.out)


@case
def config_file_too_large(t):
    t.write("vm.json", document() + " " * (1 << 20))
    expect_sentence(t, t.run_vm(), READ + "...")


@case
def config_file_without_permission(t):
    if os.geteuid() != 0:
        skip("only root can drop the capabilities that let it read every file")
    t.config("hello")
    os.chmod(t.path("vm.json"), 0)
    bare = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    t.expect_error(t.run_vm(prefix=bare), READ + "Cannot open vm.json: Permission denied (os error 13)")


@case
def config_with_unknown_top_level_keys_boots_with_one_warning(t):
    t.config("hello", serial={"x": 1}, whatever=[], balloon=None, pmem=[], vsock=None)
    t.expect_end(t.run_vm())
    equal("warnings", ["The config file has sections that this VMM does not know and ignores: `serial`, `whatever`"],
          [line for line in messages(t.log) if "ignores" in line])


@case
def config_template_asks_for_what_kvm_has_and_takes_back_what_it_lacks(t):
    t.config("hello", cpu_config={"kvm_capabilities": ["1", "!56", "65000", "!65000"]})
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", "M", end.out)


@case
def config_with_huge_pages_that_the_host_lacks(t):
    with open("/proc/sys/vm/nr_hugepages", encoding="ascii") as file:
        if int(file.read()):
            skip("this host has huge pages")
    t.write("vm.json", machine(huge_pages="2M"))
    expect_sentence(t, t.run_vm(), NOT_STARTED + BAD_KERNEL + "the host has no "
                    "memory left for the kernel: Out of memory (os error 12)...")


@case
def config_logger_and_metrics_sections_work(t):
    t.config("hello", logger={"log_path": "log", "level": "Info", "show_level": True, "show_log_origin": True},
             metrics={"metrics_path": "metrics"})
    end = t.run_vm(log=False)
    t.expect_end(end)
    contains("log", ":main:INFO:src/vmm/app/run.c:", t.log)
    equal("metrics lines", 2, len(t.metrics()))
