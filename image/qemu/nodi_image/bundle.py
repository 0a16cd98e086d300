"""RAUC bundles of any version, also ones that a box must refuse or must not keep."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import disk, pki, places, rootfs, stamps
from .steps import BuildError, Step

# A slot that holds nothing but its name: what container tests install.
SMALL = 8 * disk.MIB


@dataclass(frozen=True)
class Recipe:
    """What is in a bundle, and what is wrong with it."""

    version: str
    # dm-verity checks each block of a `verity` bundle as it is read; a kernel without device-mapper takes only `plain`.
    format: str = "verity"
    small: bool = False
    broken: str | None = None
    compatible: str = places.COMPATIBLE
    signer: str = "development"
    truncated: bool = False

    def name(self) -> str:
        words = ["nodi", self.version]
        if self.format != "verity":
            words.append(self.format)
        if self.small:
            words.append("small")
        if self.broken:
            words.append(f"broken-{self.broken}")
        if self.compatible != places.COMPATIBLE:
            words.append(f"for-{self.compatible}")
        if self.signer != "development":
            words.append(f"signed-by-{self.signer}")
        if self.truncated:
            words.append("truncated")
        return "_".join(words) + ".raucb"


def build(recipe: Recipe, out: Path | None) -> Path:
    target = (out or places.BUNDLES / recipe.name()).absolute()
    system = "" if recipe.small else stamps.of(disk.build_system(places.workspace_version()))
    signer = pki.signer(recipe.signer)
    digest = stamps.digest_of([*stamps.own_sources(), signer.certificate], repr(recipe), system)
    if stamps.is_current(target, digest):
        return target
    stamps.remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with Step("bundle") as step, tempfile.TemporaryDirectory(dir=places.PRODUCTS, prefix="bundle-") as name:
        content = Path(name) / "content"
        content.mkdir()
        image = content / "rootfs.ext4"
        if recipe.small:
            tree = Path(name) / "tree"
            (tree / "usr/lib").mkdir(parents=True)
            (tree / "usr/lib/os-release").write_text(rootfs.os_release("", recipe.version))
            disk.make_ext4(step, tree, image, SMALL)
        else:
            step.run(["cp", "--sparse=always", "--reflink=auto", places.SYSTEM, image])
            change(step, recipe, image, Path(name))
        (content / "manifest.raucm").write_text(manifest(recipe))
        made = Path(name) / "made.raucb"
        # RAUC checks its own work, against the authority that the signature is from.
        keys = [f"--cert={signer.certificate}", f"--key={signer.key}", f"--keyring={signer.authority}"]
        step.run(["rauc", *keys, "bundle", "--mksquashfs-args=-comp zstd -Xcompression-level 3", content, made])
        if recipe.truncated:
            with made.open("r+b") as file:
                file.truncate(made.stat().st_size // 2)
        shutil.move(made, target)
    stamps.mark(target, digest)
    return target


def manifest(recipe: Recipe) -> str:
    return "\n".join(
        [
            "[update]",
            f"compatible={recipe.compatible}",
            f"version={recipe.version}",
            "description=Nodi for the emulated box",
            "",
            "[bundle]",
            f"format={recipe.format}",
            "",
            "[image.rootfs]",
            "filename=rootfs.ext4",
            "",
        ]
    )


def change(step: Step, recipe: Recipe, image: Path, directory: Path) -> None:
    """Turns the built version into the wanted one, in the image itself: the rest of it stays as it was built."""
    release = directory / "os-release"
    release.write_text(rootfs.os_release((places.ROOTFS / "usr/lib/os-release").read_text(), recipe.version))
    commands = replace("/usr/lib/os-release", release, "0100644")
    if recipe.broken == "kernel":
        # The launcher finds nothing to start.
        commands += ["rm /boot/vmlinuz"]
    elif recipe.broken == "init":
        # Starts, and restarts by itself some seconds later: no process of the slot ever runs.
        commands += ["rm /usr/lib/systemd/systemd"]
    elif recipe.broken:
        process = directory / "process"
        process.write_text(f"#!/bin/sh\necho '{recipe.broken} of this version is broken' >&2\nexit 1\n")
        path = f"/usr/bin/nodi-{recipe.broken}"
        if not (places.ROOTFS / path.lstrip("/")).exists():
            raise BuildError(f"there is no process {recipe.broken}")
        commands += replace(path, process, "0100755")
    step.run(["debugfs", "-w", "-f", script(commands, directory), image])
    # debugfs says what went wrong and ends with 0 all the same.
    step.run(["e2fsck", "-f", "-n", image])
    held = step.run(["debugfs", "-R", "cat /usr/lib/os-release", image])
    if f"IMAGE_VERSION={recipe.version}\n" not in held:
        raise BuildError(f"the version could not be written into {image.name}: {held}")


def replace(path: str, content: Path, mode: str) -> list[str]:
    return [f"rm {path}", f"write {content} {path}", f"set_inode_field {path} mode {mode}"]


def script(commands: list[str], directory: Path) -> Path:
    path = directory / "commands"
    path.write_text("\n".join(commands) + "\n")
    return path
