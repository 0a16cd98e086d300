"""Where things are: sources in the repository, products below `target/image`."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
PRODUCTS = TARGET / "image"

BASE = PRODUCTS / "base"
ROOTFS = PRODUCTS / "rootfs"
SYSTEM = PRODUCTS / "rootfs.ext4"
DISK = PRODUCTS / "disk.img"
BUNDLES = PRODUCTS / "bundles"
PKI = PRODUCTS / "pki"
STAMPS = PRODUCTS / "stamps"
DEBS = PRODUCTS / "debs"
PICKED = PRODUCTS / "picked"

# What the processes are on the box; `scripts/setup` knows nothing of them, cargo builds them.
BINARIES = ("nodi-ingest", "nodi-transcode", "nodi-uplink", "nodi-agent", "nodi-bootslot", "nodi-health")

COMPATIBLE = "nodi-qemux86-64"


def workspace_version() -> str:
    """The version that everything in the workspace has."""
    import tomllib

    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    return str(manifest["workspace"]["package"]["version"])
