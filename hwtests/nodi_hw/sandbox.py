"""Runs nodi-probe in the sandbox of a service: the unit's own text, with the probe mounted over the service's program."""

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .box import Box
from .places import binary

PLACE = "/run/nodi-hw"
PROBE = f"{PLACE}/nodi-probe"
# What makes a service run, start, stop and be watched, and what ties it to others; the sandbox is everything else.
NOT_SANDBOX = (
    "Type", "ExecStart", "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost", "ExecReload", "ExecCondition",
    "Restart", "RestartSec", "RestartPreventExitStatus", "RemainAfterExit", "WatchdogSec", "NotifyAccess", "StandardInput",
    "StandardOutput", "StandardError", "Sockets", "BusName", "SyslogIdentifier", "TimeoutStartSec", "TimeoutStopSec",
    "OOMPolicy", "Nice", "SuccessAction", "FailureAction",
)  # fmt: skip


@dataclass(frozen=True)
class Try:
    """What came of one attempt."""

    done: bool
    why: str


def install(box: Box) -> None:
    """The probe for this board's processor, without what a debugger would want."""
    if box.succeeds(f"test -x {PROBE}"):
        return
    box.run(f"mkdir -p {PLACE}")
    stripped = binary("nodi-probe").with_name("nodi-probe.stripped")
    subprocess.run(["strip", "-o", str(stripped), str(binary("nodi-probe"))], check=True)
    box.copy(stripped, PROBE)
    box.run(f"chmod 0755 {PLACE} {PROBE}")


def unit_text(original: str, program: str, attempts: list[str], output: str) -> str:
    """`systemctl cat` of a service, made into one that tries `attempts`."""
    kept = []
    section = ""
    continued = False
    for line in original.splitlines():
        stripped = line.strip()
        if continued:
            continued = stripped.endswith("\\")
            continue
        if stripped.startswith("["):
            section = stripped
            if section == "[Service]":
                kept.append(section)
            continue
        if section != "[Service]" or stripped.startswith(("#", ";")) or not stripped:
            continue
        if stripped.split("=", 1)[0].strip() in NOT_SANDBOX:
            continued = stripped.endswith("\\")
            continue
        kept.append(line)
    words = " ".join(shlex.quote(attempt.replace("%", "%%")) for attempt in attempts)
    kept += [
        "[Service]",
        "Type=oneshot",
        # What the service has made for itself stays when the probe is over.
        "RuntimeDirectoryPreserve=yes",
        f"BindReadOnlyPaths={PROBE}:{program}",
        f"ExecStart={program} {words}",
        f"StandardOutput=truncate:{output}",
        "StandardError=journal",
    ]
    return "[Unit]\nDescription=Probe\n" + "\n".join(kept) + "\n"


def try_in(box: Box, service: str, program: str, attempts: list[str]) -> dict[str, Try]:
    """Each attempt with what came of it, made from within the sandbox of `service`."""
    install(box)
    name = f"nodi-probe-{Path(program).name.removeprefix('nodi-')}.service"
    output = f"{PLACE}/{name}.json"
    text = unit_text(box.run(f"systemctl cat {service}"), program, attempts, output)
    box.write(f"/run/systemd/system/{name}", text)
    box.run("systemctl daemon-reload", 60)
    status, said = box.try_run(f"systemctl start {name}", 60)
    assert status == 0, f"{said}\n{box.journal(name)}"
    found = {}
    for line in box.read(output).splitlines():
        tried = json.loads(line)
        found[tried["attempt"]] = Try(tried["done"], tried["why"] or "")
    missing = set(attempts) - set(found)
    assert not missing, f"the probe said nothing of {missing}: {box.journal(name)}"
    return found
