# SPDX-License-Identifier: Apache-2.0
"""What a lab machine is made of: Debian's kernel package, unpacked and cached, and our initramfs.

Everything is kept in ${MAYFLY_CACHE:-$HOME/.cache/mayfly}/lab/<package version>/ and made at most
once, under a lock, so any number of labs may start at the same time.
"""

import contextlib
import fcntl
import glob
import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
AGENT_SOURCES = ["agent.c", "agent_setup.c", "agent_relay.c", "agent.h"]
META_PACKAGE = "linux-image-amd64"
QEMU = "qemu-system-x86_64"

# Loaded by init: first what reaches the host's root file system, then what the tests expect.
# Their dependencies come from modules.dep; everything else is loaded on demand by modprobe.
BOOT_MODULES = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"]
LAB_MODULES = ["kvm_amd", "tun"]

# Large, and of no use in a machine without such hardware.
LEFT_OUT = ["sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/iio",
            "drivers/net/wireless", "drivers/net/ethernet", "drivers/staging", "drivers/scsi",
            "drivers/usb", "drivers/hwmon", "drivers/input"]


class LabError(Exception):
    """One sentence for the user; the lab's exit status is then 125."""


def cache_dir():
    base = os.environ.get("MAYFLY_CACHE") or os.path.expanduser("~/.cache/mayfly")
    return os.path.join(os.path.abspath(base), "lab")


def missing_packages():
    """Debian packages of tools that are not installed."""
    need = {QEMU: "qemu-system-x86", "dpkg-deb": "dpkg", "apt-get": "apt", "depmod": "kmod",
            "cc": "gcc", "objcopy": "binutils", "tar": "tar"}
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [pkg for tool, pkg in need.items() if not shutil.which(tool, path=path)]


def run_tool(argv, **kw):
    """Run a tool quietly; its last line of output becomes the failure sentence."""
    env = dict(os.environ, LC_ALL="C", PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=env, check=False, **kw)
    except OSError as e:
        raise LabError(f"cannot run {argv[0]}: {e.strerror}") from e
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise LabError(f"'{' '.join(argv[:4])}' failed: {lines[-1]}")
    return done.stdout


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


# ---- kernel ------------------------------------------------------------------------------------

class Kernel:
    """One unpacked kernel package."""

    def __init__(self, path):
        self.path = path
        self.version = os.path.basename(path)
        with open(os.path.join(path, "release"), encoding="ascii") as f:
            self.release = f.read().strip()
        self.image = os.path.join(path, "kernel")
        self.modules = os.path.join(path, "lib/modules", self.release)


def kernel_cached():
    """The newest kernel in the cache, or None. 'release' is written last, so it marks completeness."""
    found = glob.glob(os.path.join(cache_dir(), "*", "release"))
    if not found:
        return None
    return Kernel(os.path.dirname(max(found, key=os.path.getmtime)))


def kernel_package():
    """(package, version) that Debian's meta package stands for now."""
    text = run_tool(["apt-cache", "show", "--no-all-versions", META_PACKAGE]).decode()
    found = re.search(r"^Depends:.*?(linux-image-[^ ,]+) \(= ([^)]+)\)", text, re.M)
    if not found:
        raise LabError(f"apt-cache knows no {META_PACKAGE}; run 'apt-get update' (Debian is needed)")
    return found.group(1), found.group(2)


def kernel_payload(bzimage):
    """The ELF kernel inside a bzImage, or None when its compression is not one we can undo.

    QEMU enters an ELF kernel by its PVH note: that saves the 4 s that XZ takes to unpack itself
    under an emulated CPU.
    """
    setup = ((bzimage[0x1F1] or 4) + 1) * 512
    start = setup + int.from_bytes(bzimage[0x248:0x24C], "little")
    data = bzimage[start:start + int.from_bytes(bzimage[0x24C:0x250], "little")]
    elf = None
    with contextlib.suppress(lzma.LZMAError, OSError, EOFError, subprocess.CalledProcessError):
        if data.startswith(b"\xfd7zXZ\0"):
            elf = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(data)
        elif data.startswith(b"\x1f\x8b"):
            elf = gzip.decompress(data[:-4])
        elif data.startswith(b"\x28\xb5\x2f\xfd"):
            elf = subprocess.run(["zstd", "-dcq"], input=data[:-4], capture_output=True,
                                 check=True).stdout
        elif data.startswith(b"\x02\x21\x4c\x18"):
            elf = subprocess.run(["lz4", "-dcq"], input=data[:-4], capture_output=True,
                                 check=True).stdout
    return elf if elf and elf.startswith(b"\x7fELF") else None


def kernel_unpack(deb, into):
    """Unpack the package's image and modules into the directory `into`."""
    leave = [f"--exclude=./*lib/modules/*/kernel/{d}" for d in LEFT_OUT]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as dpkg:
        run_tool_from(dpkg.stdout, ["tar", "-x", "-C", into, "--exclude=./usr/share/doc", *leave])
    if dpkg.returncode != 0:
        raise LabError(f"dpkg-deb cannot unpack {deb} (exit status {dpkg.returncode})")
    if os.path.isdir(os.path.join(into, "usr/lib/modules")):
        os.rename(os.path.join(into, "usr/lib"), os.path.join(into, "lib"))
    releases = os.listdir(os.path.join(into, "lib/modules"))
    if len(releases) != 1:
        raise LabError(f"{deb} holds {len(releases)} module directories, not one")
    release = releases[0]
    with open(os.path.join(into, "boot", "vmlinuz-" + release), "rb") as f:
        bzimage = f.read()
    with open(os.path.join(into, "kernel"), "wb") as f:
        f.write(kernel_payload(bzimage) or bzimage)
    shutil.rmtree(os.path.join(into, "boot"))
    run_tool(["depmod", "-b", into, release])
    with open(os.path.join(into, "release"), "w", encoding="ascii") as f:
        f.write(release + "\n")


def run_tool_from(stdin, argv):
    done = subprocess.run(argv, stdin=stdin, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise LabError(f"{argv[0]} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")


def kernel_fetch():
    """Download and unpack the kernel that Debian offers now."""
    package, version = kernel_package()
    final = os.path.join(cache_dir(), version)
    if os.path.exists(os.path.join(final, "release")):
        os.utime(os.path.join(final, "release"))
        return Kernel(final)
    say(f"fetching Debian's {package} {version} (about 70 MB, once)")
    tmp = tempfile.mkdtemp(prefix="tmp.", dir=cache_dir())
    try:
        os.mkdir(os.path.join(tmp, "deb"))
        os.mkdir(os.path.join(tmp, "tree"))
        run_tool(["apt-get", "-q", "download", f"{package}={version}"],
                 cwd=os.path.join(tmp, "deb"))
        debs = glob.glob(os.path.join(tmp, "deb", "*.deb"))
        if len(debs) != 1:
            raise LabError(f"'apt-get download {package}' left {len(debs)} files, not one")
        kernel_unpack(debs[0], os.path.join(tmp, "tree"))
        shutil.rmtree(final, ignore_errors=True)
        os.chmod(os.path.join(tmp, "tree"), 0o755)
        os.rename(os.path.join(tmp, "tree"), final)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    return Kernel(final)


# ---- initramfs ---------------------------------------------------------------------------------

def cpio_entry(name, data, mode):
    """One file of a newc archive."""
    raw = name.encode() + b"\0"
    head = "070701" + "".join(f"{v:08x}" for v in (
        0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0))
    out = head.encode() + raw
    out += b"\0" * (-len(out) % 4) + data
    return out + b"\0" * (-len(out) % 4)


CPIO_END = cpio_entry("TRAILER!!!", b"", 0)


def modules_in_order(kernel):
    """[(group, path)] of the modules init loads, each after what it depends on."""
    deps, builtin, order = {}, set(), []
    with open(os.path.join(kernel.modules, "modules.dep"), encoding="ascii") as f:
        for line in f:
            path, _, rest = line.partition(":")
            deps[module_name(path)] = (path, rest.split())
    with open(os.path.join(kernel.modules, "modules.builtin"), encoding="ascii") as f:
        builtin = {module_name(line.strip()) for line in f}
    for group, names in (("b", BOOT_MODULES), ("l", LAB_MODULES)):
        for name in names:
            if name in builtin:
                continue
            if name not in deps:
                raise LabError(f"the kernel {kernel.release} has no module {name}")
            path, needs = deps[name]
            for p in [*reversed(needs), path]:
                if p not in [o[1] for o in order]:
                    order.append((group, p))
    return order


def module_name(path):
    return os.path.basename(path).split(".")[0].replace("-", "_")


def module_read(path, tmp):
    """The module's ELF bytes; newer Debian kernels ship them compressed.

    Signature and BTF are left out: checking them takes the kernel longer than all the rest.
    """
    if path.endswith(".zst"):
        data = run_tool(["zstd", "-dcq", path])
    else:
        opener = lzma.open if path.endswith(".xz") else gzip.open if path.endswith(".gz") else open
        with opener(path, "rb") as f:
            data = f.read()
    plain = os.path.join(tmp, "module.ko")
    with open(plain, "wb") as f:
        f.write(data)
    run_tool(["objcopy", "--remove-section=.BTF", plain])
    with open(plain, "rb") as f:
        return f.read()


def agent_build(tmp):
    """Compile init; returns its bytes."""
    out = os.path.join(tmp, "init")
    sources = [os.path.join(HERE, s) for s in AGENT_SOURCES if s.endswith(".c")]
    run_tool(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Os", "-s", "-static",
              "-I", os.path.join(HERE, "..", ".."), "-o", out, *sources])
    with open(out, "rb") as f:
        return f.read()


def initramfs_key(kernel):
    """Names everything that the initramfs is made from."""
    sha = hashlib.sha256(kernel.release.encode())
    for name in [*AGENT_SOURCES, "lab_parts.py"]:
        with open(os.path.join(HERE, name), "rb") as f:
            sha.update(f.read())
    return sha.hexdigest()[:16]


def initramfs_build(kernel, final):
    order = modules_in_order(kernel)
    with tempfile.TemporaryDirectory(prefix="tmp.", dir=kernel.path) as tmp:
        parts = [cpio_entry("init", agent_build(tmp), 0o100755),
                 cpio_entry("modules", b"", 0o040755)]
        lines = ""
        for group, path in order:
            name = module_name(path) + ".ko"
            lines += f"{group} {name}\n"
            data = module_read(os.path.join(kernel.modules, path), tmp)
            parts.append(cpio_entry("modules/" + name, data, 0o100644))
        parts.append(cpio_entry("modules/order", lines.encode(), 0o100644))
        built = os.path.join(tmp, "initramfs")
        with open(built, "wb") as f:
            f.write(b"".join(parts))  # no trailer: the job of each run is appended
        os.rename(built, final)
    for old in glob.glob(os.path.join(kernel.path, "initramfs-*")):
        if old != final and os.path.getmtime(old) < os.path.getmtime(final) - 86400:
            os.unlink(old)


def prepare(refresh=False):
    """(kernel, path of the initramfs without a job), made now when not in the cache."""
    os.makedirs(cache_dir(), exist_ok=True)
    with open(os.path.join(cache_dir(), "lock"), "w", encoding="ascii") as lock:
        kernel = None if refresh else kernel_cached()
        if kernel:
            initramfs = os.path.join(kernel.path, "initramfs-" + initramfs_key(kernel))
            if os.path.exists(initramfs):
                return kernel, initramfs
        missing = missing_packages()
        if missing:
            raise LabError(missing_sentence(missing))
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = kernel_fetch() if refresh else kernel_cached() or kernel_fetch()
        initramfs = os.path.join(kernel.path, "initramfs-" + initramfs_key(kernel))
        if not os.path.exists(initramfs):
            initramfs_build(kernel, initramfs)
        return kernel, initramfs


def missing_sentence(missing):
    names = " ".join(missing)
    return f"{names} is missing on this machine; install it with: apt-get install {names}"


def job_archive(records):
    """The initramfs part that holds one run's job: NUL-terminated key=value records."""
    data = b"".join(os.fsencode(f"{k}={v}") + b"\0" for k, v in records)
    return cpio_entry("job", data, 0o100600) + CPIO_END
