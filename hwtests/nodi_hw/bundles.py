"""The bundles that the tests install, as image/qemu makes them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .places import IMAGE


@dataclass(frozen=True)
class Bundle:
    """A RAUC bundle on this machine."""

    path: Path
    version: str
