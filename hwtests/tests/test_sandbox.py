"""What each process of the box cannot do, tried from within its own sandbox, and what it must be able to do."""

from dataclasses import dataclass

import pytest

from nodi_hw import sandbox
from nodi_hw.box import Box
from nodi_hw.centre import Centre

# Stands for a GPU, an encoder or a camera: a device that everybody may open but for the sandbox.
DEVICE = "/dev/nodi-hwtest"
LISTEN = "listen:0.0.0.0:1937"
CHARACTER_DEVICE = "c 1 7"

# Nobody may do these.
NEVER = (
    "write:/", "write:/usr/bin", "write:/etc", "write:/etc/nodi", "write:/boot", "write:/data", "write:/home", "write:/root",
    "append:/etc/passwd", "append:/proc/sys/kernel/core_pattern", "append:/proc/sysrq-trigger",
    "read:/etc/shadow", "list:/root", "append:/sys/kernel/mm/ksm/run", "read:/proc/kcore", "open:/dev/mem", "open:/dev/kmsg",
    "raw-socket", "packet-socket", "vsock-socket", "user-namespace", "net-namespace", "mount-namespace", "mount",
    "trace:1", "memory:1", "environment:1", "kill:1", "writable-code", "module", "reboot", "clock", "root", "bpf", "keyring",
    "personality", "real-time",
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """`never` and `may` are attempts; `{fleet}`, `{origin}` and so on are filled in."""

    unit: str
    program: str
    own: str
    never: tuple[str, ...]
    may: tuple[str, ...] = ()
    sees_processes: bool = False
    # What nobody else may do.
    alone: tuple[str, ...] = ()


IDENTITY_KEY = "read:/var/lib/nodi/agent/identity/key.pem"
BUS = "local:/run/dbus/system_bus_socket"

SERVICES = [
    Service(
        "nodi-ingest.service", "/usr/bin/nodi-ingest", "/var/lib/nodi/ingest",
        never=(
            IDENTITY_KEY, BUS, "read:/data/provisioning.json", "list:/var/spool/nodi", "write:/var/spool/nodi",
            "write:/var/lib/nodi", "write:/var/lib/nodi/settings", "write:/var/lib/nodi/agent", "list:/var/lib/nodi/uplink",
            "list:/var/lib/nodi/update", "write:/var/lib/nodi/update", "write:/run/nodi", "write:/run/nodi/agent",
            "write:/run/nodi/health", f"open:{DEVICE}", "netlink-socket",
        ),
        may=("write:/run/nodi/sessions", "write:/run/nodi/ingest", "local:/run/nodi/transcode.sock", "inet-socket"),
    ),
    Service(
        "nodi-transcode@probe.service", "/usr/bin/nodi-transcode", "/var/lib/nodi/transcode",
        never=(
            IDENTITY_KEY, BUS, "read:/data/provisioning.json", "list:/run/nodi/sessions", "inet-socket", "netlink-socket",
            "connect:{origin}", "connect:127.0.0.1:1935", "write:/var/lib/nodi", "write:/var/lib/nodi/settings",
            "write:/var/lib/nodi/ingest", "list:/var/lib/nodi/uplink", "list:/var/lib/nodi/update", "write:/run/nodi",
            "local:/run/nodi/transcode.sock", "local:/run/nodi/ingest.sock",
        ),
        may=("write:/var/spool/nodi",),
    ),
    Service(
        "nodi-uplink.service", "/usr/bin/nodi-uplink", "/var/lib/nodi/uplink",
        never=(
            IDENTITY_KEY, BUS, "read:/data/provisioning.json", "write:/var/lib/nodi", "write:/var/lib/nodi/settings",
            "list:/var/lib/nodi/agent", "list:/var/lib/nodi/ingest", "write:/run/nodi/sessions", "write:/run/nodi",
            "list:/var/lib/nodi/update", LISTEN, "local:/run/nodi/transcode.sock", f"open:{DEVICE}",
            "netlink-socket",
        ),
        may=("write:/var/spool/nodi", "list:/run/nodi/sessions", "connect:{origin}", "local:/run/nodi/ingest.sock"),
    ),
    Service(
        "nodi-agent.service", "/usr/bin/nodi-agent", "/var/lib/nodi/agent",
        never=(
            "list:/run/nodi/sessions", "list:/var/lib/nodi/uplink", "list:/var/lib/nodi/ingest", "write:/run/nodi/sessions",
            "write:/run/nodi", LISTEN, "local:/run/nodi/transcode.sock", f"open:{DEVICE}",
        ),
        may=(
            IDENTITY_KEY, BUS, "write:/var/lib/nodi/settings", "write:/var/lib/nodi/update", "connect:{fleet}",
            "connect:{broker}", "local:/run/nodi/ingest.sock", "list:/var/spool/nodi",
        ),
        sees_processes=True,
    ),
    Service(
        "nodi-health-gate.service", "/usr/bin/nodi-health", "/run/nodi/health",
        never=(
            IDENTITY_KEY, "read:/data/provisioning.json", "list:/run/nodi/sessions", "write:/var/lib/nodi",
            "write:/var/lib/nodi/settings", "write:/run/nodi", "list:/var/lib/nodi/uplink", "connect:{origin}",
            f"open:{DEVICE}", "netlink-socket",
        ),
        may=("write:/var/lib/nodi/update", "connect:127.0.0.1:1935", BUS, "local:/run/nodi/ingest.sock"),
    ),
    Service(
        "nodi-clock.service", "/usr/bin/nodi-agent", "/tmp",  # noqa: S108 (its own)
        never=(
            IDENTITY_KEY, BUS, "read:/data/provisioning.json", "list:/run/nodi/sessions", "list:/var/lib/nodi",
            "list:/var/spool/nodi", "write:/run/nodi/agent", "inet-socket", "netlink-socket", "connect:{fleet}",
            f"open:{DEVICE}",
        ),
        may=("list:/run/nodi/agent",),
        alone=("clock",),
    ),
]  # fmt: skip

# What the kernel of a container's host does not enforce: control groups of version 1 have no address filter, and the container
# no say over devices.
NEEDS_OWN_KERNEL = {"nodi-health-gate.service": {"connect:{origin}"}}
# SocketBindDeny= does nothing in a systemd that was built without BPF, such as Debian 12's; the packet filter closes the port all
# the same.
NEEDS_BPF = {LISTEN}


@pytest.fixture(scope="module", autouse=True)
def device(claimed: Box) -> None:
    claimed.run(f"test -e {DEVICE} || mknod -m 0666 {DEVICE} {CHARACTER_DEVICE}")


def filled(attempt: str, centre: Centre) -> str:
    ports = centre.ports
    seen = centre.reach.seen
    return attempt.format(origin=f"{seen}:{ports.push}", fleet=f"{seen}:{ports.https}", broker=f"{seen}:{ports.broker}")


@pytest.mark.quick
@pytest.mark.parametrize("service", SERVICES, ids=[service.unit.split(".")[0] for service in SERVICES])
def test_nobody_gets_out(box: Box, centre: Centre, service: Service, features: set[str]) -> None:
    other = "nodi-uplink" if service.program.endswith("ingest") else "nodi-ingest"
    pid = box.pid(other)
    skipped = set() if "machine" in features else NEEDS_OWN_KERNEL.get(service.unit, set())
    if "machine" not in features or "+BPF_FRAMEWORK" not in box.run("systemctl --version"):
        skipped = skipped | NEEDS_BPF
    never = [filled(attempt, centre) for attempt in (*NEVER, *service.never) if attempt not in {*skipped, *service.alone}]
    never += [f"trace:{pid}", f"memory:{pid}", f"environment:{pid}", f"kill:{pid}", f"set-user-id:{service.own}"]
    if not service.sees_processes:
        never += [f"process:{pid}", "process:1"]
    tries = sandbox.try_in(box, service.unit, service.program, never)
    escaped = {attempt for attempt, tried in tries.items() if tried.done}
    assert not escaped, f"{service.unit} lets out: {sorted(escaped)}"


@pytest.mark.quick
@pytest.mark.parametrize("service", SERVICES, ids=[service.unit.split(".")[0] for service in SERVICES])
def test_everybody_can_work(box: Box, centre: Centre, service: Service) -> None:
    """A sandbox that holds because nothing runs in it would pass the other test too."""
    may = [f"write:{service.own}", "read:/usr/lib/os-release", *(filled(attempt, centre) for attempt in service.may)]
    tries = sandbox.try_in(box, service.unit, service.program, may)
    refused = {attempt: tried.why for attempt, tried in tries.items() if not tried.done}
    assert not refused, f"{service.unit} refuses what it needs"


def test_rauc_listens_to_those_who_need_it(box: Box) -> None:
    """`rauc status` asks three things first, whatever it is for; Debian's RAUC does not know one of them yet."""

    def is_let(user: str, member: str) -> bool:
        call = f"busctl call de.pengutronix.rauc / de.pengutronix.rauc.Installer {member}"
        return "Access denied" not in box.try_run(f"runuser -u {user} -- {call}")[1]

    for member in ("GetSlotStatus", "GetArtifactStatus", "GetPrimary"):
        assert is_let("nodi-health", member), member
        assert not is_let("nodi-ingest", member), member


def test_the_probe_tells_the_difference(box: Box) -> None:
    """Outside of a sandbox most attempts succeed: what fails inside fails because of it."""
    sandbox.install(box)
    freely = ["read:/etc/shadow", "list:/root", "memory:1", "kill:1", "root", "raw-socket", "writable-code", "personality"]
    lines = box.run(f"{sandbox.PROBE} {' '.join(freely)}").splitlines()
    assert all('"done":true' in line for line in lines), lines
