"""The emulated board: labgrid's QEMU driver with firmware and a disk of its own for each run, and the box on top of it."""

import functools
import http.server
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import attr
from labgrid.driver import QEMUDriver
from labgrid.factory import target_factory
from labgrid.step import step
from labgrid.strategy import Strategy
from pexpect import EOF, TIMEOUT

from ..centre import Reach
from ..places import free_port
from .board import unattended

# QEMU's user network: this is the machine that QEMU runs on, and its loopback.
HOST_SEEN_BY_GUEST = "10.0.2.2"
RTMP_PORT = 1935
NETDEV = "net0"
# What image/qemu/boot/launcher.cfg says once a start.
LAUNCHER = b" start, chain "
CONSOLE_TAIL = 8000
PAGE = 4096
GATHER_S = 0.01
# A shell that does not answer so much later than the command's own deadline does not answer.
GRACE_S = 10


class Console:
    """What the guest says on its serial line, read as it comes, whether or not somebody waits for it: the guest itself waits, and
    for ever, once it cannot write any more, which a socket makes it after some hundred short lines."""

    def __init__(self, line: socket.socket, log: Path) -> None:
        self._line = line
        self._said = bytearray()
        self._open = True
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, args=(log,), daemon=True).start()

    def _listen(self, log: Path) -> None:
        with log.open("ab", buffering=0) as file:
            while self._open:
                try:
                    select.select([self._line], [], [])
                    data = self._line.recv(PAGE)
                except (OSError, ValueError):
                    data = b""
                file.write(data)
                with self._changed:
                    self._said += data
                    self._open = data != b""
                    self._changed.notify_all()

    def read(self, most: int, timeout: float) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._said or not self._open, timeout)
            taken = bytes(self._said[:most])
            del self._said[:most]
            if taken:
                return taken
            if self._open:
                raise TIMEOUT(f"nothing was said for {timeout:.2f} s")
            raise EOF("the emulator is gone")


@target_factory.reg_driver
@attr.s(eq=False)
class NodiQemuDriver(QEMUDriver):
    """`disk` and `firmware` are files below the repository; the guest writes to copies that start as they are."""

    firmware = attr.ib(default="/usr/share/OVMF/OVMF_CODE_4M.fd", validator=attr.validators.instance_of(str))
    variables = attr.ib(default="/usr/share/OVMF/OVMF_VARS_4M.fd", validator=attr.validators.instance_of(str))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.place = Path(tempfile.mkdtemp(prefix="nodi-hw-qemu-"))
        self.rtmp_port = free_port()
        self.log = self.place / "console.log"
        self.provisioning = self.place / "provisioning.json"

    def get_qemu_base_args(self) -> list[str]:
        image = Path(self.target.env.config.get_image_path(self.disk))
        overlay, variables = self.place / "disk.qcow2", self.place / "vars.fd"
        if not overlay.exists():
            subprocess.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.resolve()), str(overlay)],
                check=True,
            )
            shutil.copy(self.variables, variables)
        self.disk, disk = None, self.disk
        try:
            command = super().get_qemu_base_args()
        finally:
            self.disk = disk
        return [
            *command,
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={self.firmware}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}",
            # What the guest has flushed is on the disk, and what it has not is lost with this process's memory or kept by this
            # machine's: either may happen with a real disk.
            "-drive", f"if=virtio,format=qcow2,cache=writeback,file={overlay}",
            "-netdev", f"user,id={NETDEV},hostfwd=tcp:127.0.0.1:{self.rtmp_port}-:{RTMP_PORT}",
            "-fw_cfg", f"name=opt/nodi/provisioning,file={self.provisioning}",
            "-device", f"virtio-net-pci,netdev={NETDEV},id={NETDEV}-card",
        ]  # fmt: skip

    @QEMUDriver.check_active
    def on(self) -> None:
        if self.status:
            return
        super().on()
        self._console = Console(self._clientsocket, self.log)

    @step()
    def cut(self) -> None:
        """No goodbye from guest or emulator."""
        child, self._child = self._child, None
        self.status = 0
        if child is not None:
            child.kill()
            child.wait()
        if self._clientsocket:
            self._clientsocket.close()
            self._clientsocket = None

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _read(self, size: int = 1, timeout: float = 10, max_size: int | None = None) -> bytes:
        del size
        # More of a line than its first letter.
        time.sleep(GATHER_S)
        return self._console.read(min(max_size or PAGE, PAGE), timeout)

    def on_deactivate(self) -> None:
        self.cut()
        super().on_deactivate()
        shutil.rmtree(self.place, ignore_errors=True)


@target_factory.reg_driver
@attr.s(eq=False)
class QemuBoxDriver(Strategy):
    """The whole box: power from QEMU, commands over its serial console."""

    bindings = {"qemu": "NodiQemuDriver", "shell": "ShellDriver"}  # noqa: RUF012 (labgrid's way)
    pace = attr.ib(default=6.0, validator=attr.validators.instance_of(float))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._ready = False
        self._boots = 0
        self._files: tuple[http.server.ThreadingHTTPServer, Path] | None = None

    # -- power

    def provision(self, text: str) -> None:
        """The box takes it at its first boot."""
        self.qemu.provisioning.write_text(text)

    def power_on(self) -> None:
        self.target.activate(self.qemu)
        self.qemu.on()

    def power_cut(self) -> None:
        self._leave_shell()
        if self.qemu.alive():
            self.qemu.cut()

    def is_on(self) -> bool:
        return bool(self.qemu.alive())

    # -- commands

    def _leave_shell(self) -> None:
        self._ready = False
        self.target.deactivate(self.shell)

    def execute(self, command: str, timeout: float) -> tuple[int, str]:
        if not self.is_on():
            return 255, "the box is off"
        # A box that has rebooted by itself has nobody logged in.
        boots = self.boots()
        self._ready = self._ready and boots == self._boots
        self._boots = boots
        try:
            if not self._ready:
                self._leave_shell()
                self.target.activate(self.shell)
                self._ready = True
            lines, _, status = self.shell.run(unattended(command), timeout=timeout + GRACE_S)
        except (TIMEOUT, EOF, OSError) as error:
            self.logger.info("%s: %s", command, error)
            # Rebooting, or hanging: the next command begins with a look for the prompt.
            self._ready = False
            return 255, f"the console does not answer: {type(error).__name__}"
        return status, "\n".join(lines)

    # -- files

    def put(self, local: Path, remote: str) -> None:
        """Over the network: a console takes a minute for a megabyte."""
        if self._files is None:
            directory = Path(tempfile.mkdtemp(prefix="nodi-hw-files-"))
            handler = functools.partial(Quiet, directory=str(directory))
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._files = (server, directory)
        server, directory = self._files
        shutil.copy(local, directory / local.name)
        url = f"http://{HOST_SEEN_BY_GUEST}:{server.server_address[1]}/{local.name}"
        mode = local.stat().st_mode & 0o777
        status, output = self.execute(f"curl -sSf -o {remote} {url} && chmod {mode:o} {remote}", 60 * self.pace)
        if status != 0:
            raise RuntimeError(f"{local} to the box: {output}")

    # -- the rest of a machine

    def network_cut(self) -> None:
        self.qemu.monitor_command("set_link", {"name": NETDEV, "up": False})

    def network_mend(self) -> None:
        self.qemu.monitor_command("set_link", {"name": NETDEV, "up": True})

    def slow_network(self, slow: bool) -> None:
        """Emulation is slow enough."""

    def boots(self) -> int:
        log = self.qemu.log
        return log.read_bytes().count(LAUNCHER) if log.exists() else 0

    def rtmp_address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.qemu.rtmp_port)

    def reach(self) -> Reach:
        return Reach("127.0.0.1", HOST_SEEN_BY_GUEST)

    def console(self) -> str:
        log = self.qemu.log
        return log.read_text(errors="replace")[-CONSOLE_TAIL:] if log.exists() else ""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing on standard error."""

    def log_message(self, *_: object) -> None:
        pass
