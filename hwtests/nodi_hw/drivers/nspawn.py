"""A box in systemd-nspawn: the image's own systemd, units and RAUC on this machine's kernel, up in a second or two.

What a container lacks is stood for here and said so in the suite: there is no boot loader (the launcher below chooses
the slot by the rules of the board's one), no dm-verity (bundles are `plain`), and the clock is this machine's."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path
from typing import IO

import attr
from labgrid.driver import Driver
from labgrid.driver.commandmixin import CommandMixin
from labgrid.factory import target_factory
from labgrid.protocol import CommandProtocol, FileTransferProtocol, PowerProtocol
from labgrid.resource.common import Resource
from labgrid.step import step

from .. import loops
from ..centre import Reach
from ..launcher import Launcher
from ..net import Cable
from ..places import ROOT
from ..wait import until

# Of the data partition: the uplink wants room, and nothing of it is there before it is written.
DATA_BYTES = 6 << 30
# Two for the slots, one for the bundle, and those that other programs of this machine hold meanwhile.
LOOP_NODES = 64
# With --keep-unit, systemd-nspawn ends like this when the system inside asks for a reboot.
REBOOT = 133
OFF_S = 30
# A bundle takes some seconds.
SLOW_BPS = 300_000_000
# Not one that the image's network configuration names: nobody here hands out addresses.
INTERFACE = "cable0"
RTMP_PORT = 1935
SLOTS = ("A", "B")
# A process in a sandbox with a /proc of its own reads the boot id of the machine's kernel there, which is the same in every
# boot of a container.
BOOT_ID = "/run/nodi-hw/boot-id"
READS_BOOT_ID = ("agent.toml", "health.toml")


@target_factory.reg_resource
@attr.s(eq=False)
class NspawnTree(Resource):
    """A root file system as image/qemu builds it: `image` is the ext4 file that a bundle has too."""

    image = attr.ib(validator=attr.validators.instance_of(str))


@target_factory.reg_driver
@attr.s(eq=False)
class NspawnDriver(CommandMixin, Driver, CommandProtocol, FileTransferProtocol, PowerProtocol):
    """Power, commands, files, and the network of one container."""

    bindings = {"tree": NspawnTree}  # noqa: RUF012 (labgrid's way)
    pace = 1.0

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._child: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._watcher: threading.Thread | None = None
        self._lock = threading.RLock()
        self._wanted = False
        self._mounted = ""
        self._boots = 0

    # -- life

    def on_activate(self) -> None:
        if os.geteuid() != 0:
            raise PermissionError("systemd-nspawn needs root")
        image = ROOT / self.tree.image
        if not image.exists():
            raise FileNotFoundError(f"{image} is missing: make image-qemu")
        self.directory = Path(tempfile.mkdtemp(prefix="nodi-hw-"))
        self.cable = Cable(INTERFACE)
        self._uuid = uuid.uuid4().hex
        self._network = self.directory / "cable.network"
        self._network.write_text(self.cable.configuration())
        self.data = self.directory / "data"
        self._root = self.directory / "root"
        slots = self.directory / "slots"
        slots.mkdir()
        for name in SLOTS:
            slot = slots / f"{name}.img"
            if name == "A":
                subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(image), str(slot)], check=True)
            else:
                with slot.open("wb") as file:
                    file.truncate(image.stat().st_size)
        self.slots = {name: loops.attach(slots / f"{name}.img") for name in SLOTS}
        loops.empty_ext4(self.directory / "data.img", DATA_BYTES, "data")
        loops.mount(str(self.directory / "data.img"), self.data, "loop")
        nodes = self.directory / "nodes"
        nodes.mkdir()
        self._nodes = loops.nodes(nodes, LOOP_NODES)
        self.launcher = Launcher(self.data)

    def on_deactivate(self) -> None:
        self.cut()
        for device in self.slots.values():
            loops.detach(device)
        loops.unmount(self.data)
        self.cable.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- power

    @Driver.check_active
    @step()
    def on(self) -> None:
        with self._lock:
            if self._child is not None:
                return
            self._wanted = True
            self._boot(cold=True)
        self._watcher = threading.Thread(target=self._watch, args=(self._child,), daemon=True)
        self._watcher.start()

    @Driver.check_active
    @step()
    def off(self) -> None:
        """As the button on the box: with goodbyes."""
        child = self._child
        if child is None:
            return
        self._wanted = False
        self.execute("systemctl poweroff --no-block", 5)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(OFF_S)
        self.cut()

    @Driver.check_active
    def cycle(self) -> None:
        self.off()
        self.on()

    @step()
    def cut(self) -> None:
        """The kernel ends everything in the container together with its first process."""
        with self._lock:
            self._wanted = False
            child, self._child = self._child, None
            leader, self._leader = self._leader, 0
        if child is not None:
            if leader:
                _kill(leader)
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._drop_root()

    def _boot(self, cold: bool) -> None:
        """What firmware and boot loader do: choose a slot, count the attempt, start it."""
        self._drop_root()
        slot = self.launcher.choose(cold)
        self.logger.info("slot %s", slot)
        loops.mount(self.slots[slot], self._root, "ro")
        self._mounted = slot
        self._boots += 1
        (self.directory / "boot-id").write_text(f"{uuid.uuid4()}\n")
        configuration = self._configuration()
        command = [
            "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--read-only",
            f"--directory={self._root}",
            f"--machine=nodi-hw-{os.getpid()}",
            f"--network-namespace-path=/run/netns/{self.cable.namespace}",
            "--capability=CAP_NET_ADMIN",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=read-only",
            f"--bind={self.data}:/data",
            *(f"--bind={self.slots[name]}:/dev/disk/by-partlabel/rootfs_{name.lower()}" for name in SLOTS),
            *(f"--bind={node}:/dev/{node.name}" for node in self._nodes),
            "--bind=/dev/loop-control",
            f"--bind-ro={self._network}:/run/systemd/network/10-cable.network",
            f"--bind-ro={self.directory / 'boot-id'}:{BOOT_ID}",
            f"--bind-ro={configuration}:/etc/nodi",
            f"--setenv=NODI_SLOT={slot}",
            # What image/qemu/boot/init does where there is one.
            f"--uuid={self._uuid}",
        ]  # fmt: skip
        with (self.directory / "console.log").open("ab") as console:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        child = self._child
        self._leader = until("the container's first process", lambda: self._find_leader(child), 20, 0.02)

    def _configuration(self) -> Path:
        """The slot's own, told where a container's boot id is."""
        configuration = self.directory / "configuration"
        shutil.rmtree(configuration, ignore_errors=True)
        shutil.copytree(self._root / "etc/nodi", configuration, symlinks=True)
        for name in READS_BOOT_ID:
            file = configuration / name
            text = file.read_text() if file.exists() else ""
            file.write_text(f'boot_id = "{BOOT_ID}"\n{text}')
        return configuration

    def _find_leader(self, child: subprocess.Popen[bytes]) -> int:
        if child.poll() is not None:
            raise RuntimeError(f"systemd-nspawn ended with {child.returncode}:\n{self.console()}")
        for pid in _descendants(child.pid):
            status = Path(f"/proc/{pid}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            # Not before it has become init: until then it prepares the root that commands shall see.
            if len(numbers) > 1 and numbers[-1] == "1" and "systemd" in str(Path(f"/proc/{pid}/exe").readlink()):
                return pid
        return 0

    def _watch(self, child: "subprocess.Popen[bytes] | None") -> None:
        """Boots again when the system asked for it, as a machine does."""
        while child is not None:
            status = child.wait()
            with self._lock:
                if not self._wanted or self._child is not child:
                    return
                self._leader = 0
                self._child = None
                if status != REBOOT:
                    self.logger.info("the container ended with %s", status)
                    return
                self._boot(cold=False)
                child = self._child

    def _drop_root(self) -> None:
        if self._mounted:
            loops.unmount(self._root)
            self._mounted = ""

    # -- as the box's machine

    def provision(self, text: str) -> None:
        (self.data / "provisioning.json").write_text(text)

    def power_on(self) -> None:
        self.on()

    def power_cut(self) -> None:
        self.cut()

    def is_on(self) -> bool:
        return self._child is not None

    def reach(self) -> Reach:
        return Reach(self.cable.host, self.cable.host)

    # -- commands

    def execute(self, command: str, timeout: float) -> tuple[int, str]:
        """As root, in all of the container's namespaces."""
        leader = self._leader
        if not leader:
            return 255, "the box is off"
        words = [
            "nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd=/",
            "env", "-C", "/", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root", "TERM=dumb",
            "/bin/bash", "-c", command,
        ]  # fmt: skip
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            return 124, (late.stdout or b"").decode(errors="replace")
        return done.returncode, done.stdout.decode(errors="replace")

    def _run(
        self, cmd: str, *, timeout: float = 30, codec: str = "utf-8", decodeerrors: str = "strict"
    ) -> tuple[list[str], list[str], int]:
        del codec, decodeerrors
        status, output = self.execute(cmd, timeout)
        return output.splitlines(), [], status

    @Driver.check_active
    @step(args=["cmd"], result=True)
    def run(self, cmd: str, timeout: float = 30) -> tuple[list[str], list[str], int]:
        return self._run(cmd, timeout=timeout)

    @Driver.check_active
    def get_status(self) -> int:
        return 1 if self._leader else 0

    # -- files

    @Driver.check_active
    @step(args=["filename", "remotepath"])
    def put(self, filename: str, remotepath: str) -> None:
        with Path(filename).open("rb") as source:
            self._pipe(remotepath, source)
        self.execute(f"chmod {Path(filename).stat().st_mode & 0o777:o} {remotepath}", 10)

    def _pipe(self, remotepath: str, source: IO[bytes]) -> None:
        words = [
            "nsenter", f"--target={self._leader}", "--mount", "--pid", "--root", "--wd=/",
            "/bin/sh", "-c", 'exec cat >"$0"', remotepath,
        ]  # fmt: skip
        subprocess.run(words, stdin=source, check=True)

    @Driver.check_active
    def get(self, filename: str, destination: str) -> None:
        with Path(destination).open("wb") as target:
            words = ["nsenter", f"--target={self._leader}", "--mount", "--pid", "--root", "--wd=/", "cat", filename]
            subprocess.run(words, stdout=target, check=True)

    def console(self) -> str:
        log = self.directory / "console.log"
        return log.read_text(errors="replace")[-8000:] if log.exists() else ""

    # -- network

    def network_cut(self) -> None:
        self.cable.cut()

    def network_mend(self) -> None:
        self.cable.mend()

    def slow_network(self, slow: bool) -> None:
        self.cable.limit(SLOW_BPS if slow else None)

    def boots(self) -> int:
        return self._boots

    def rtmp_address(self) -> tuple[str, int]:
        return self.cable.box, RTMP_PORT


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found
