"""Where things are: the repository, what cargo built, what the image builder built."""

import os
import shutil
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
# Written by image/qemu.
IMAGE = TARGET / "image"


def binary(name: str) -> Path:
    """One of ours, as `cargo build --workspace --bins` leaves it."""
    path = TARGET / "debug" / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: cargo build --workspace --bins")
    return path


def tool(name: str) -> str:
    """A program of this machine; servers are in /usr/sbin, which not every user's path has."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: scripts/setup hwtest")
    return found


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
