"""The bundles that the tests install, made by image/qemu; a real board's are given by hand."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .places import ROOT, TARGET

BUILDER = ROOT / "image/qemu/build"


@dataclass(frozen=True)
class Bundle:
    """A RAUC bundle on this machine."""

    path: Path
    version: str
    # What the fleet server is told where it cannot read the manifest.
    compatible: str | None = None


class Bundles:
    """Each is made once and kept: `format` is what the environment's kernel can check."""

    # Two that are good, to go from either to the other and back.
    GOOD = ("101.0.0", "102.0.0")
    BROKEN = "103.0.0"
    BAD = "104.0.0"
    BOARD = "nodi-qemux86-64"
    ANOTHER_BOARD = "nodi-another-board"

    def __init__(self, kind: str) -> None:
        self._format = kind
        given = os.environ.get("NODI_BUNDLES")
        self._given = Path(given) if given else None

    def make(self, version: str, *wrong: str) -> Bundle:
        """`wrong` is passed on to image/qemu/build. With NODI_BUNDLES it is looked for there, as VERSION[-WRONG].raucb."""
        if self._given is not None:
            name = "-".join([version, *(word.lstrip("-") for word in wrong)])
            return Bundle(self._given / f"{name}.raucb", version)
        place = TARGET / "image/bundles"
        place.mkdir(parents=True, exist_ok=True)
        command = [str(BUILDER), "bundle", "--version", version, "--format", self._format, *wrong]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stderr}")
        board = self.ANOTHER_BOARD if self.ANOTHER_BOARD in wrong else self.BOARD
        return Bundle(Path(done.stdout.splitlines()[-1]), version, board if self._format == "plain" else None)

    def good(self, other_than: str) -> Bundle:
        """One that the box does not run already."""
        return self.make(next(version for version in self.GOOD if version != other_than))

    def broken(self, process: str) -> Bundle:
        return self.make(self.BROKEN, "--broken", process)

    def foreign(self) -> Bundle:
        """Signed by somebody whom no box trusts."""
        return self.make(self.BAD, "--key", "stranger")

    def for_another_board(self) -> Bundle:
        return self.make(self.BAD, "--board", self.ANOTHER_BOARD)

    def truncated(self) -> Bundle:
        return self.make(self.BAD, "--truncated")
