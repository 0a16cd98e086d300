"""The Debian system below Nodi's files: made by mmdebstrap, kept until the list of packages changes."""

import os
import subprocess
import sys
from pathlib import Path

from . import places, stamps
from .steps import BuildError, Step

SUITE = "bookworm"
PACKAGES = places.HERE / "packages"
SINGLE_FILES = places.HERE / "picked"

# Nobody reads these on a box.
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/bash-completion/*",
    "/usr/share/zoneinfo/right/*",
    "/usr/share/fonts/*",
    "/usr/share/icons/*",
    "/usr/share/iso-codes/*",
    "/usr/share/X11/*",
    "/usr/lib/udev/hwdb.d/*",
)

# Of the kernel's modules: hardware and file systems that the emulated board does not have.
UNUSED_MODULES = (
    "drivers/ata", "drivers/comedi", "drivers/infiniband", "drivers/net/ethernet", "drivers/nvdimm",
    "drivers/nvme/target", "drivers/platform", "drivers/scsi", "drivers/target", "drivers/block/drbd",
    "drivers/md/bcache", "arch/x86/kvm",
    "fs/btrfs", "fs/ceph", "fs/nfs", "fs/nfsd", "fs/smb", "fs/xfs", "net/ceph", "net/sctp", "net/smc", "net/sunrpc",
    "net/tipc", "net/netfilter/ipvs", "net/netfilter/ipset",
)  # fmt: skip

# Needed while packages are installed, and not after that. On a box /var is in memory: nobody would see what is here.
REMOVED = (
    "usr/bin/perl5*",
    "usr/lib/x86_64-linux-gnu/libperl.so*",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/share/mime",
    "usr/share/xml",
    "var/*",
)

# Timers and jobs for systems that are administered by hand.
MASKED = (
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "dpkg-db-backup.timer",
    "getty@tty1.service",
    "ldconfig.service",
    "systemd-firstboot.service",
    "systemd-journal-catalog-update.service",
    "systemd-update-done.service",
    "systemd-sysusers.service",
    "systemd-hwdb-update.service",
    "systemd-random-seed.service",
    "systemd-machine-id-commit.service",
)


def entries(path: Path) -> list[list[str]]:
    """A list's lines, less comments, as words."""
    lines = (line.split("#")[0].split() for line in path.read_text().splitlines())
    return [words for words in lines if words]


def build() -> None:
    digest = stamps.digest_of([PACKAGES, SINGLE_FILES], repr([LEFT_OUT, UNUSED_MODULES, REMOVED, MASKED, command()]))
    if stamps.is_current(places.BASE, digest):
        return
    if os.geteuid() != 0:
        raise BuildError("a system can only be installed by root: run this with sudo, or in a container of yours")
    stamps.remove(places.BASE)
    places.DEBS.mkdir(parents=True, exist_ok=True)
    with Step("Debian packages") as step:
        step.run(command())
    with Step("tidying") as step:
        step.say("")
        tidy(places.BASE)
    stamps.mark(places.BASE, digest)


def command() -> list[str]:
    cache = '"$1/var/cache/apt/archives/"'
    # What it mounts goes with it, however it ends.
    words = [
        "unshare",
        "--mount",
        "--propagation=private",
        "mmdebstrap",
        "--mode=root",
        "--variant=essential",
        "--format=directory",
        "--skip=output/dev",
    ]
    words += [f"--include={words[0]}" for words in entries(PACKAGES)]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    words += [
        # A power cut during this installation costs nothing but its repetition.
        "--dpkgopt=force-unsafe-io",
        # What was downloaded once is kept beside the products.
        "--skip=essential/unlink",
        f"--setup-hook=mkdir -p {cache}",
        f"--setup-hook=sync-in '{places.DEBS}' /var/cache/apt/archives/",
        f"--customize-hook={sys.executable} '{places.HERE}/build' pick \"$1\"",
        f"--customize-hook=cp -u {cache}*.deb '{places.DEBS}/' || true",
        f"--customize-hook=rm -f {cache}*.deb",
        SUITE,
        str(places.BASE),
    ]
    return words


def pick(system: Path) -> None:
    """Called back by mmdebstrap: takes single files out of packages. The kernel is among them, and needs no more."""
    config = os.environ["MMDEBSTRAP_APT_CONFIG"]
    places.PICKED.mkdir(parents=True, exist_ok=True)
    for package, pattern, *name in entries(SINGLE_FILES):
        unpacked = unpack(package, config)
        found = sorted(unpacked.glob(pattern))
        if not found:
            raise BuildError(f"{package} has no {pattern}")
        for path in found:
            target = system / (name[0] if name else path.relative_to(unpacked))
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-aT", path, target], check=True)
    for version in (system / "usr/lib/modules").iterdir():
        for unused in UNUSED_MODULES:
            subprocess.run(["rm", "-rf", version / "kernel" / unused], check=True)
        subprocess.run(["depmod", "-b", system / "usr", version.name], check=True)


def unpack(package: str, config: str) -> Path:
    """The package's files, below the downloaded packages; a package that only names another one gives that one's."""

    def apt(*words: str, within: Path = places.PICKED) -> str:
        environment = os.environ | {"APT_CONFIG": config}
        done = subprocess.run(words, env=environment, cwd=within, check=True, text=True, stdout=subprocess.PIPE)
        return done.stdout

    if package == "linux-image-cloud-amd64":
        depends = apt("apt-cache", "depends", package).splitlines()
        package = next(line.split()[1] for line in depends if "Depends: linux-image-" in line)
    # apt says nothing of a package that is in its working directory already.
    name = apt("apt-get", "download", "--print-uris", package, within=places.HERE).split()[1]
    unpacked = places.PICKED / name.removesuffix(".deb")
    if not unpacked.exists():
        if not (places.PICKED / name).exists():
            apt("apt-get", "--quiet", "download", package)
        subprocess.run(["dpkg-deb", "-x", places.PICKED / name, f"{unpacked}.new"], check=True)
        Path(f"{unpacked}.new").rename(unpacked)
    return unpacked


def tidy(system: Path) -> None:
    """What differs between a system that somebody installed and one that is copied to boxes."""
    units = system / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    for pattern in REMOVED:
        for path in system.glob(pattern):
            subprocess.run(["rm", "-rf", path], check=True)
    # Empty: systemd takes what boot/init puts over it, or makes one for this boot.
    (system / "etc/machine-id").write_text("")
    (system / "etc/hostname").write_text("nodi\n")
    (system / "etc/resolv.conf").unlink(missing_ok=True)
    (system / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    for directory in ("data", "efi"):
        (system / directory).mkdir(exist_ok=True)
    subprocess.run(["systemctl", f"--root={system}", "--quiet", "enable", "systemd-networkd", "systemd-resolved",
                    "systemd-timesyncd"], check=True)  # fmt: skip
    subprocess.run(["systemctl", f"--root={system}", "--quiet", "set-default", "multi-user.target"], check=True)
