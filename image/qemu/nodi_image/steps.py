"""What is being done, for whoever waits: one line per step, with what it is at on a terminal; and commands of steps."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

REFRESH_S = 0.1
WIDTH = 100
# Of a failed command's output.
LAST_LINES = 30

Word = str | Path


class BuildError(Exception):
    """The image cannot be built, with the reason."""


class Step:
    """A step of the build: `with Step("disk") as step: step.run([...])`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._began = 0.0
        self._shown = 0.0
        self._live = sys.stderr.isatty()

    def __enter__(self) -> "Step":
        self._began = time.monotonic()
        self.say("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        took = time.monotonic() - self._began
        result = "failed" if kind else "done"
        start = "\r\x1b[K" if self._live else ""
        print(f"{start}image: {self.name:<24} {result} in {took:.1f} s", file=sys.stderr)

    def say(self, what: str) -> None:
        """What the step is at; nothing is kept of it."""
        now = time.monotonic()
        if self._live and now - self._shown >= REFRESH_S:
            self._shown = now
            line = f"image: {self.name:<24} {now - self._began:5.0f} s  {what}"
            print(f"\r\x1b[K{line[:WIDTH]}", end="", file=sys.stderr, flush=True)

    def run(self, command: Sequence[Word], cwd: Path | None = None) -> str:
        """Runs a command, shows its last line meanwhile, and returns everything it printed."""
        words = [str(word) for word in command]
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=cwd,
            )
        except FileNotFoundError as error:
            raise BuildError(f"{words[0]} is missing: run scripts/setup image") from error
        lines: list[str] = []
        for line in process.stdout or ():
            lines.append(line)
            self.say(line.strip())
        if process.wait() != 0:
            raise BuildError(f"{' '.join(words[:3])}: {''.join(lines[-LAST_LINES:]).strip()}")
        return "".join(lines)
