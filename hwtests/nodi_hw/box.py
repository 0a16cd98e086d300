"""The box as tests see it, whatever it runs on."""

import base64
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from .centre import Reach
from .wait import until

T = TypeVar("T")

TARGET = "nodi-appliance.target"
# What every box runs; a transcode worker only lives while something is live.
SERVICES = ("nodi-ingest", "nodi-uplink", "nodi-agent")
# Where the tests' network has no time server, or is cut: these wait for a while and then let the box go on.
GAVE_UP_WAITING = ("systemd-time-wait-sync.service", "systemd-networkd-wait-online.service")
# Measures at the lowest priority how much this machine encodes; minutes on a slow one, once.
BACKGROUND = ("nodi-capacity.service",)
IDENTITY = "/var/lib/nodi/agent/identity"
# A console's line discipline takes 4095 bytes a line.
CHUNK = 2400


class Machine(Protocol):
    """What an environment has to give: labgrid drivers of ours, or several of its own behind one."""

    # How much slower than an idle developer's machine it is: every deadline is multiplied by it.
    pace: float

    def provision(self, text: str) -> None:
        """What the box finds as its provisioning at its first start."""
        ...

    def power_on(self) -> None: ...

    def power_cut(self) -> None: ...

    def is_on(self) -> bool: ...

    def execute(self, command: str, timeout: float) -> tuple[int, str]: ...

    def put(self, local: Path, remote: str) -> None: ...

    def network_cut(self) -> None: ...

    def network_mend(self) -> None: ...

    def boots(self) -> int:
        """How often firmware or boot loader began to start a system since the machine was made."""
        ...

    def slow_network(self, slow: bool) -> None:
        """As slow as a box's line may be, so that a download has a middle."""
        ...

    def rtmp_address(self) -> tuple[str, int]: ...

    def console(self) -> str: ...

    def reach(self) -> Reach: ...


class CommandFailed(AssertionError):
    """A command on the box ended with something else than 0."""

    def __init__(self, command: str, status: int, output: str) -> None:
        super().__init__(f"{command!r} ended with {status}: {output.strip()[-2000:]}")
        self.status = status
        self.output = output


class Box:
    """One box, on or off."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    # -- commands, as root

    def try_run(self, command: str, timeout: float = 30) -> tuple[int, str]:
        """Exit status, and both outputs mixed as they came."""
        return self.machine.execute(command, timeout * self.machine.pace)

    def run(self, command: str, timeout: float = 30) -> str:
        status, output = self.try_run(command, timeout)
        if status != 0:
            raise CommandFailed(command, status, output)
        return output.strip()

    def succeeds(self, command: str, timeout: float = 30) -> bool:
        return self.try_run(command, timeout)[0] == 0

    def json(self, command: str) -> Any:
        return json.loads(self.run(command))

    # -- files

    def read(self, path: str) -> str:
        return self.run(f"cat {shlex.quote(path)}")

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Replaced by rename, as the box's own programs do it."""
        encoded = base64.b64encode(text.encode()).decode()
        new = shlex.quote(f"{path}.new")
        self.run(f": >{new}")
        for start in range(0, len(encoded), CHUNK):
            self.run(f"printf %s {encoded[start : start + CHUNK]} >>{new}")
        final = shlex.quote(path)
        self.run(f"base64 -d {new} >{new}.2 && chmod {mode} {new}.2 && mv {new}.2 {final} && rm {new} && sync {final}")

    def copy(self, local: Path, remote: str) -> None:
        self.machine.put(local, remote)

    # -- power and network

    def power_on(self) -> None:
        self.machine.power_on()

    def power_cut(self) -> None:
        """No goodbye: what was not on the disk is lost."""
        self.machine.power_cut()

    def cycle(self) -> None:
        self.power_cut()
        self.power_on()
        self.wait_up()

    def reboot(self) -> None:
        """As a person would, with time for goodbyes."""
        before = self.boot_id()
        self.try_run("systemctl reboot --no-block")
        self.wait_for("another boot", lambda: self.boot_id() != before, 120)
        self.wait_up()

    # -- state

    def wait_for(self, what: str, look: Callable[[], T], timeout: float, every: float = 0.3) -> T:
        """`timeout` is for an idle developer's machine; a slow environment gets more."""
        return until(what, look, timeout * self.machine.pace, every)

    def wait_up(self, timeout: float = 60) -> None:
        """Everything that a box has to be is there, and nothing starts any more."""
        self.wait_for(f"{TARGET} is active", lambda: self.active(TARGET), timeout)
        self.wait_for("no jobs are left", lambda: self.jobs() == [], timeout)

    def jobs(self) -> list[str]:
        """Units that are starting or stopping."""
        lines = self.run("systemctl list-jobs --no-legend --plain --full").splitlines()
        return [fields[1] for line in lines if len(fields := line.split()) > 1 and fields[1] not in BACKGROUND]

    def active(self, unit: str) -> bool:
        return self.succeeds(f"systemctl --quiet is-active {unit}")

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        listed = ",".join(properties)
        lines = self.run(f"systemctl show --property={listed} {name}").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def pid(self, name: str) -> int:
        return int(self.unit(f"{name}.service", "MainPID")["MainPID"])

    def failed_units(self) -> list[str]:
        lines = self.run("systemctl --failed --no-legend --plain --full").splitlines()
        return [name for line in lines if line.strip() and (name := line.split()[0]) not in GAVE_UP_WAITING]

    def journal(self, unit: str, boot: str = "0", lines: int = 200) -> str:
        return self.try_run(f"journalctl --no-pager -o cat -b {boot} -n {lines} -u {unit}")[1]

    def boot_id(self) -> str:
        return self.run("cat /run/nodi-hw/boot-id 2>/dev/null || cat /proc/sys/kernel/random/boot_id")

    def id(self) -> str:
        """Who it is to the fleet, once that let it in."""
        return str(json.loads(self.read(f"{IDENTITY}/enrolled.json"))["box_id"])

    def version(self) -> str:
        """Of the system that runs."""
        release = dict(line.split("=", 1) for line in self.read("/etc/os-release").splitlines() if "=" in line)
        return release.get("NODI_VERSION", release.get("IMAGE_VERSION", release.get("VERSION_ID", ""))).strip('"')

    def slot(self) -> str:
        """The boot name of the slot that runs, as RAUC sees it."""
        booted = self.rauc()["booted"]
        for entry in self.rauc()["slots"]:
            for name, slot in entry.items():
                if booted in (name, slot.get("bootname")):
                    return str(slot["bootname"])
        raise AssertionError(f"RAUC does not know the slot {booted!r}")

    def rauc(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.json("rauc status --detailed --output-format=json"))

    def gate(self) -> dict[str, Any]:
        """What the health gate said last."""
        return cast(dict[str, Any], json.loads(self.read("/var/lib/nodi/update/gate.json")))

    def gate_passed(self) -> bool:
        """In this boot."""
        gate = self.gate()
        return gate["boot_id"] == self.boot_id() and gate["passed"] is True

    # -- what ingest says

    def sessions(self) -> list[dict[str, Any]]:
        answer = self.run("curl -sS --unix-socket /run/nodi/ingest.sock http://ingest/sessions")
        return cast(list[dict[str, Any]], json.loads(answer))

    def rtmp_url(self) -> str:
        host, port = self.machine.rtmp_address()
        return f"rtmp://{host}:{port}/live"
