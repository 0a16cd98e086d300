"""A program of this machine that a test needs, with its output in a file. It ends with the test, whatever happens."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

# What a server may take to say goodbye before it is killed.
GRACE_S = 10
TAIL_LINES = 40


class Died(RuntimeError):
    """It ended although nobody asked it to."""


class Process:
    """A started program."""

    def __init__(self, name: str, command: Sequence[str | Path], logs: Path, namespace: str | None = None) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        words = [str(word) for word in command]
        if namespace is not None:
            words = ["ip", "netns", "exec", namespace, *words]
        # The journal's variables would make the processes log as services do.
        environment = {key: value for key, value in os.environ.items() if key not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def running(self) -> bool:
        return self._child.poll() is None

    def check(self) -> None:
        """Raises with the end of its log when it is gone."""
        status = self._child.poll()
        if status is not None:
            raise Died(f"{self.name} ended with {status}:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def wait(self, timeout: float) -> int:
        return self._child.wait(timeout)

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def kill(self) -> None:
        """At once, with everything in its process group."""
        if self.running():
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def stop(self) -> None:
        if self.running():
            self._child.terminate()
        try:
            self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
