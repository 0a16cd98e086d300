"""Stands for the boot loader where there is none: the rules of image/qemu/boot/launcher.cfg over the same state, which a
container's `nvbootctrl` keeps on the data partition."""

from dataclasses import astuple, dataclass
from pathlib import Path

MAX_TRIES = 3
UNBOOTABLE = 255
# Of GRUB's environment block.
BLOCK = 1024


class NoSlot(RuntimeError):
    """Both chains are given up: what must never happen."""


@dataclass
class State:
    next: str = "A"
    trial: str = "-"
    tries_a: int = MAX_TRIES
    tries_b: int = MAX_TRIES
    status_a: int = 0
    status_b: int = 0

    def check(self) -> str:
        return ":".join(str(value) for value in astuple(self))

    def text(self) -> str:
        return (
            f"# GRUB Environment Block\nnext={self.next}\ntrial={self.trial}\ntries_A={self.tries_a}\n"
            f"tries_B={self.tries_b}\nstatus_A={self.status_a}\nstatus_B={self.status_b}\ncheck={self.check()}\n"
        )


def parse(text: str) -> State | None:
    """None: damaged, or written in part."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    try:
        state = State(
            values["next"], values["trial"],
            int(values["tries_A"]), int(values["tries_B"]), int(values["status_A"]), int(values["status_B"]),
        )  # fmt: skip
    except (KeyError, ValueError):
        return None
    return state if values.get("check") == state.check() else None


class Launcher:
    """Over the data partition of a box that is off."""

    def __init__(self, data: Path) -> None:
        self._copies = [data / "launcher/state1", data / "launcher/state2"]

    def load(self) -> State:
        for copy in self._copies:
            state = parse(copy.read_text(errors="replace")) if copy.exists() else None
            if state is not None:
                return state
        return State()

    def save(self, state: State) -> None:
        self._copies[0].parent.mkdir(exist_ok=True)
        for copy in self._copies:
            copy.write_text(state.text().ljust(BLOCK, "#"))

    def choose(self, cold: bool) -> str:
        """Which slot boots now; its attempt is counted. `cold`: the power was off, so that attempts outside of a trial are
        forgotten, as with NVIDIA's scratch register."""
        state = self.load()
        if cold:
            if state.trial != "A":
                state.tries_a = MAX_TRIES
            if state.trial != "B":
                state.tries_b = MAX_TRIES
        # Once around is enough: the second chain is either bootable or given up too.
        for _ in range(2):
            tries, status = self._of(state, state.next)
            if status == 0 and tries > 0:
                self._count(state)
                self.save(state)
                return state.next
            other = "A" if state.next == "B" else "B"
            if self._of(state, other)[1] != 0:
                break
            self._give_up(state, other)
            self.save(state)
        raise NoSlot(f"both chains are unbootable: {state}")

    @staticmethod
    def _of(state: State, slot: str) -> tuple[int, int]:
        return (state.tries_a, state.status_a) if slot == "A" else (state.tries_b, state.status_b)

    @staticmethod
    def _count(state: State) -> None:
        if state.next == "A":
            state.tries_a -= 1
        else:
            state.tries_b -= 1

    @staticmethod
    def _give_up(state: State, other: str) -> None:
        if other == "A":
            state.status_b, state.tries_a = UNBOOTABLE, MAX_TRIES
        else:
            state.status_a, state.tries_b = UNBOOTABLE, MAX_TRIES
        state.next, state.trial = other, "-"
