"""The disk that the emulated box boots from, with the partitions that a Jetson has: one for the launcher, two for root
file systems, one for data. The two root file systems are the same at first, as after flashing."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import places, rootfs, stamps
from .steps import BuildError, Step

MIB = 1 << 20
# What boots has to fit, with room for what the next versions bring: an update cannot change the partitions.
SLOT = 1024 * MIB
# A bundle while it is downloaded, the spool and the journal.
DATA = 2048 * MIB
# The root file system is read-only: room for its own structures and nothing else.
SYSTEM_SLACK = 24 * MIB

LAUNCHER = places.HERE / "boot/launcher.cfg"
GRUB_MODULES = (
    "normal", "part_gpt", "fat", "ext2", "linux", "loadenv", "test", "echo",
    "sleep", "reboot", "regexp", "iorw", "minicmd", "boot",
)  # fmt: skip


@dataclass(frozen=True)
class Partition:
    """Sizes and places in bytes, whole mebibytes."""

    name: str
    kind: str
    start: int
    size: int


def partitions() -> list[Partition]:
    """In the order of their numbers, which boot/launcher.cfg counts on. Types as systemd has them, except that of
    the data, which it would mount by itself somewhere else."""
    esp = Partition("esp", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 1 * MIB, 32 * MIB)
    root = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
    first = Partition("rootfs_a", root, esp.start + esp.size, SLOT)
    second = Partition("rootfs_b", root, first.start + first.size, SLOT)
    data = Partition("data", "0FC63DAF-8483-4772-8E79-3D69D8477DE4", second.start + second.size, DATA)
    return [esp, first, second, data]


def build_system(version: str) -> Path:
    """The root file system as an image, for slots and bundles."""
    tree = rootfs.build(version)
    digest = stamps.of(tree) + str(SYSTEM_SLACK)
    if stamps.is_current(places.SYSTEM, digest):
        return places.SYSTEM
    stamps.remove(places.SYSTEM)
    with Step("root file system image") as step:
        used = int(step.run(["du", "-s", "--block-size=4096", tree]).split()[0]) * 4096
        size = (used + used // 20 + SYSTEM_SLACK) // MIB * MIB
        if size > SLOT:
            raise BuildError(f"the root file system needs {size // MIB} MiB, a slot has {SLOT // MIB}")
        make_ext4(step, tree, places.SYSTEM, size)
    stamps.mark(places.SYSTEM, digest)
    return places.SYSTEM


def make_ext4(step: Step, tree: Path, image: Path, size: int) -> None:
    """Without a journal: nobody ever writes to it."""
    with image.open("wb") as file:
        file.truncate(size)
    step.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-m", "0", "-L", "nodi",
              "-E", "root_owner=0:0", "-d", tree, image])  # fmt: skip


def build(version: str) -> Path:
    system = build_system(version)
    digest = stamps.digest_of([LAUNCHER, *stamps.own_sources()], stamps.of(system))
    if stamps.is_current(places.DISK, digest):
        return places.DISK
    stamps.remove(places.DISK)
    layout = partitions()
    with Step("disk") as step, tempfile.TemporaryDirectory(prefix="disk-", dir=places.PRODUCTS) as name:
        esp = Path(name) / "esp"
        build_esp(step, Path(name), esp, layout[0].size)
        end = layout[-1].start + layout[-1].size
        with places.DISK.open("wb") as disk:
            # Behind the last partition is the table's second copy.
            disk.truncate(end + MIB)
        table = ["sgdisk", "--clear", "--set-alignment=2048"]
        for number, partition in enumerate(layout, 1):
            first, last = partition.start // 512, (partition.start + partition.size) // 512 - 1
            table += [f"--new={number}:{first}:{last}", f"--typecode={number}:{partition.kind}"]
            table += [f"--change-name={number}:{partition.name}"]
        step.run([*table, places.DISK])
        with places.DISK.open("r+b") as disk:
            put(esp, disk.fileno(), layout[0])
            put(system, disk.fileno(), layout[1])
            put(system, disk.fileno(), layout[2])
    stamps.mark(places.DISK, digest)
    return places.DISK


def build_esp(step: Step, directory: Path, esp: Path, size: int) -> None:
    """The launcher makes its state at the first boot, but GRUB only writes into files that are there."""
    program = directory / "bootx64.efi"
    step.run(["grub-mkimage", "-O", "x86_64-efi", "-p", "/nodi", "-o", program, *GRUB_MODULES])
    with esp.open("wb") as file:
        file.truncate(size)
    step.run(["mformat", "-i", esp, "-v", "NODI-ESP", "::"])
    step.run(["mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", "::/nodi"])
    step.run(["mcopy", "-i", esp, program, "::/EFI/BOOT/BOOTX64.EFI"])
    step.run(["mcopy", "-i", esp, LAUNCHER, "::/nodi/grub.cfg"])
    state = directory / "state"
    state.write_text(first_state())
    for copy in ("state1", "state2"):
        step.run(["mcopy", "-i", esp, state, f"::/nodi/{copy}"])


def first_state() -> str:
    """GRUB's environment block with the launcher's variables; see boot/launcher.cfg."""
    values = {"next": "A", "trial": "-", "tries_A": "3", "tries_B": "3", "status_A": "0", "status_B": "0"}
    lines = ["# GRUB Environment Block", *(f"{key}={value}" for key, value in values.items())]
    text = "\n".join([*lines, f"check={':'.join(values.values())}"]) + "\n"
    return text + "#" * (1024 - len(text))


def put(image: Path, disk: int, partition: Partition) -> None:
    """Copies what is not a hole, so that the disk's file is no larger than what is on it."""
    with image.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > partition.size:
            raise BuildError(f"{image.name} does not fit into {partition.name}")
        at = 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < hole:
                at += os.copy_file_range(file.fileno(), disk, hole - at, at, partition.start + at)


def remove() -> None:
    """All products but the keys and what was downloaded."""
    for product in (places.ROOTFS, places.SYSTEM, places.DISK, places.BUNDLES, places.BASE):
        if product.exists():
            stamps.remove(product)
    shutil.rmtree(places.STAMPS, ignore_errors=True)
