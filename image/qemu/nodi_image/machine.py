"""The emulated board itself: QEMU with UEFI, the built disk under an overlay, one network card, and the console on a
serial line."""

import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import places
from .steps import BuildError

CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
# Ports of the box that this machine can reach: RTMP and RTMPS.
FORWARDED = (1935, 1936)
# Firmware that runs says something within a second; /dev/kvm may be there and not work, and then it never does.
PROBE_S = 5.0


@dataclass
class Machine:
    """`state` holds what the guest has written: the same directory is the same box."""

    state: Path
    memory: str = "1G"
    processors: int = 2
    acceleration: str = "auto"
    provisioning: Path | None = None
    # Larger than the built disk: the data partition grows at the next start.
    disk_size: str | None = None
    forwards: dict[int, int] = field(default_factory=dict)

    def prepare(self) -> None:
        if not places.DISK.exists():
            raise BuildError(f"{places.DISK} is missing: make image-qemu")
        self.state.mkdir(parents=True, exist_ok=True)
        if not self.overlay.exists():
            create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(places.DISK), str(self.overlay)]
            subprocess.run(create, check=True)
            shutil.copy(VARIABLES, self.variables)
        if self.disk_size:
            subprocess.run(["qemu-img", "resize", "-q", str(self.overlay), self.disk_size], check=True)

    @property
    def overlay(self) -> Path:
        return self.state / "disk.qcow2"

    @property
    def variables(self) -> Path:
        return self.state / "vars.fd"

    def command(self) -> list[str]:
        kvm = self.acceleration == "kvm" or (self.acceleration == "auto" and kvm_works())
        words = ["qemu-system-x86_64", "-machine", "q35", "-m", self.memory, "-smp", str(self.processors)]
        words += ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]
        words += ["-nodefaults", "-display", "none", "-device", "virtio-rng-pci"]
        words += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}"]
        words += ["-drive", f"if=pflash,format=raw,unit=1,file={self.variables}"]
        words += ["-drive", f"if=virtio,format=qcow2,cache=writeback,file={self.overlay}"]
        hosts = "".join(f",hostfwd=tcp:127.0.0.1:{own}-:{guests}" for guests, own in self.ports().items())
        words += ["-netdev", f"user,id=net0{hosts}", "-device", "virtio-net-pci,netdev=net0"]
        if self.provisioning:
            words += ["-fw_cfg", f"name=opt/nodi/provisioning,file={self.provisioning}"]
        return words

    def ports(self) -> dict[int, int]:
        """Ports of the box, and ports of this machine that nobody uses at this moment."""
        for port in FORWARDED:
            if port not in self.forwards:
                self.forwards[port] = free_port()
        return self.forwards


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kvm_works() -> bool:
    """Whether firmware really runs with it: the device can be opened where nothing ever comes of it. The firmware's own
    log is looked at, and is given a few seconds."""
    try:
        with Path("/dev/kvm").open("r+b", buffering=0):
            pass
    except OSError:
        return False
    with tempfile.TemporaryDirectory(prefix="nodi-kvm-") as name:
        variables, log = Path(name) / "vars.fd", Path(name) / "log"
        shutil.copy(VARIABLES, variables)
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256M"]
        command += ["-nodefaults", "-display", "none", "-serial", f"file:{log}"]
        command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}"]
        command += ["-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        nothing = subprocess.DEVNULL
        child = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
        try:
            until = time.monotonic() + PROBE_S
            while time.monotonic() < until and child.poll() is None:
                if log.exists() and log.stat().st_size > 0:
                    return True
                time.sleep(0.05)
            return False
        finally:
            child.kill()
            child.wait()
