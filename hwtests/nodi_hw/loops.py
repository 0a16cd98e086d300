"""Files as block devices."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The kernel's number for loop devices.
LOOP_MAJOR = 7


def attach(image: Path) -> str:
    """The device; it goes by itself once nobody has it open or mounted, see `detach`."""
    done = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def detach(device: str) -> None:
    subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)


def nodes(directory: Path, count: int) -> list[Path]:
    """Device nodes for the first loop devices: a container sees no device appear that it was not given at its start."""
    made = []
    for number in range(count):
        node = directory / f"loop{number}"
        if not node.exists():
            os.mknod(node, stat.S_IFBLK | 0o660, os.makedev(LOOP_MAJOR, number))
        made.append(node)
    return made


def mount(source: str, place: Path, options: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", options, source, str(place)], check=True, capture_output=True)


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


@contextmanager
def mounted(source: str, place: Path, options: str) -> Iterator[Path]:
    mount(source, place, options)
    try:
        yield place
    finally:
        unmount(place)


def empty_ext4(image: Path, size: int, label: str) -> None:
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, "-m", "0", str(image)], check=True, capture_output=True)
