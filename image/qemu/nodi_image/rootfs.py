"""The root file system as a directory: the Debian system with the units and configuration that every image has, the
emulated board's own files, and the processes."""

import os
import shutil
import subprocess
from pathlib import Path

from . import base, initrd, pki, places, stamps
from .steps import BuildError, Step

# The same files in every image, and then the board's.
OVERLAYS = (places.ROOT / "systemd/common", places.ROOT / "systemd/box", places.HERE / "board")


def build(version: str) -> Path:
    base.build()
    sources = [path for overlay in OVERLAYS for path in stamps.files_below(overlay)]
    sources += [binary(name) for name in places.BINARIES] + initrd.sources() + stamps.own_sources()
    based_on = stamps.of(places.BASE)
    signer = pki.signer()
    digest = stamps.digest_of([*sources, signer.authority], based_on, version)
    if stamps.is_current(places.ROOTFS, digest):
        return places.ROOTFS
    stamps.remove(places.ROOTFS)
    with Step("root file system") as step:
        step.run(["cp", "-a", "--reflink=auto", places.BASE, places.ROOTFS])
        for overlay in OVERLAYS:
            step.say(str(overlay))
            lay_over(overlay, places.ROOTFS)
        for name in places.BINARIES:
            step.run(["strip", "-o", places.ROOTFS / "usr/bin" / name, binary(name)])
        shutil.copy(signer.authority, places.ROOTFS / "etc/rauc/keyring.pem")
        (places.ROOTFS / "etc/nodi/provisioning.json").unlink(missing_ok=True)
        (places.ROOTFS / "etc/nodi/provisioning.json").symlink_to("/data/provisioning.json")
        release = places.ROOTFS / "usr/lib/os-release"
        release.write_text(os_release(release.read_text(), version))
        step.run(["systemd-sysusers", f"--root={places.ROOTFS}"])
        initrd.build(places.ROOTFS, step)
        settle(places.ROOTFS)
    stamps.mark(places.ROOTFS, digest)
    return places.ROOTFS


def binary(name: str) -> Path:
    path = places.TARGET / "debug" / name
    if not path.exists():
        raise BuildError(f"{path} is missing: build the processes first (make build)")
    return path


def lay_over(overlay: Path, system: Path) -> None:
    """Copies files and links; they belong to root, whoever has the checkout. Directories keep the modes they have."""
    for path in stamps.files_below(overlay):
        target = system / path.relative_to(overlay)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy(path, target, follow_symlinks=False)
        if not path.is_symlink():
            target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)


def os_release(debians: str, version: str) -> str:
    """Debian's lines, and which image this is: os-release(5)."""
    replaced = ("PRETTY_NAME=", "IMAGE_ID=", "IMAGE_VERSION=")
    kept = [line for line in debians.splitlines() if not line.startswith(replaced)]
    own = [f'PRETTY_NAME="Nodi {version}"', "IMAGE_ID=nodi", f"IMAGE_VERSION={version}"]
    return "\n".join([*own, *kept]) + "\n"


def settle(system: Path) -> None:
    """/etc counts as updated for this /usr, which nobody could do at a start of a read-only system."""
    updated = system / "etc/.updated"
    updated.write_text("")
    now = updated.stat().st_mtime
    os.utime(system / "usr", (now, now))
    os.utime(updated, (now, now))
    subprocess.run(["chown", "-h", "root:root", updated], check=True)
