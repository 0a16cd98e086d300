"""Whether this machine lets a box run in a container: a sandbox around the tests may keep from them what that takes."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import loops
from .net import Cable

IMAGE_BYTES = 8 << 20
# Far more than any of it takes.
TIMEOUT_S = 30
PROGRAMS = ("ip", "losetup", "mkfs.ext4", "mount", "nsenter", "systemd-nspawn", "tc")


def obstacle() -> str | None:
    """Tries each part once, in small; what is in the way, if anything."""
    if os.geteuid() != 0:
        return "systemd-nspawn needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        return f"{' and '.join(missing)} are missing: scripts/setup hwtest"
    with tempfile.TemporaryDirectory(prefix="nodi-hw-probe-") as name:
        directory = Path(name)
        for what, part in (("loop devices", _loop_device), ("containers", _container)):
            try:
                part(directory)
            except subprocess.CalledProcessError as error:
                said = (error.stderr or b"").strip()
                said = said.decode(errors="replace") if isinstance(said, bytes) else said
                return f"{what} do not work here: {' '.join(map(str, error.cmd[:2]))}: {said or error.returncode}"
            except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
                return f"{what} do not work here: {error}"
    return None


def _loop_device(directory: Path) -> None:
    image = directory / "image"
    loops.empty_ext4(image, IMAGE_BYTES, "probe")
    device = loops.attach(image)
    try:
        loops.nodes(directory, 1)
        with loops.mounted(device, directory / "mounted", "rw") as place:
            (place / "file").write_text("x")
    finally:
        loops.detach(device)


def _container(directory: Path) -> None:
    """A program of this machine's in a container of its root, on a network of its own."""
    cable = Cable("probe0")
    try:
        with loops.mounted("/", directory / "root", "bind") as root:
            subprocess.run(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--read-only", "--link-journal=no",
                 "--resolv-conf=off", "--timezone=off", "--console=pipe", f"--directory={root}",
                 f"--network-namespace-path=/run/netns/{cable.namespace}", "/bin/true"],
                check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
            )  # fmt: skip
    finally:
        cable.remove()
