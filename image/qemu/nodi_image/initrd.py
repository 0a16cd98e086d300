"""The initial RAM disk: BusyBox, the script `boot/init`, and the modules that the disk needs."""

import shutil
import tempfile
from pathlib import Path

from . import places
from .steps import BuildError, Step

INIT = places.HERE / "boot/init"
# Everything else that the emulated board needs before its root file system is built into the kernel.
MODULES = ("virtio_pci", "virtio_blk")
COMMANDS = (
    "sh", "cat", "chmod", "grep", "insmod", "mount", "reboot", "sed", "seq", "sleep", "switch_root", "tr", "umount",
)  # fmt: skip


def sources() -> list[Path]:
    return [INIT]


def build(system: Path, step: Step) -> None:
    kernels = sorted((system / "usr/lib/modules").iterdir())
    if len(kernels) != 1:
        raise BuildError(f"one kernel was expected, not {[path.name for path in kernels]}")
    with tempfile.TemporaryDirectory(prefix="initrd-", dir=places.PRODUCTS) as name:
        tree = Path(name)
        for directory in ("bin", "dev", "proc", "sys", "run", "root", "data", "modules.d"):
            (tree / directory).mkdir()
        shutil.copy(system / "usr/lib/nodi-board/busybox", tree / "bin/busybox")
        for command in COMMANDS:
            (tree / "bin" / command).symlink_to("busybox")
        shutil.copy(INIT, tree / "init")
        (tree / "init").chmod(0o755)
        loaded = []
        for module in modules(kernels[0]):
            shutil.copy(module, tree / "modules.d")
            loaded.append(f"/modules.d/{module.name}")
        (tree / "modules").write_text("\n".join(loaded) + "\n")
        target = system / "boot/initrd"
        packed = f"find . -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc -R 0:0 | gzip -1 >'{target}'"
        step.run(["sh", "-c", packed], cwd=tree)


def modules(kernel: Path) -> list[Path]:
    """In the order in which they are loaded."""
    depends: dict[str, list[str]] = {}
    for line in (kernel / "modules.dep").read_text().splitlines():
        path, needs = line.split(":", 1)
        depends[path] = needs.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in depends}
    ordered: list[str] = []
    for name in MODULES:
        if name not in by_name:
            raise BuildError(f"the kernel has no module {name}")
        path = by_name[name]
        # modules.dep names what a module needs after what needs it.
        ordered += [need for need in [*reversed(depends[path]), path] if need not in ordered]
    return [kernel / path for path in ordered]
