"""A real board: power from a switch, commands over SSH where its image has that and over the serial console otherwise."""

import base64
import socket
import subprocess
from pathlib import Path

import attr
from labgrid.driver.exception import ExecutionError
from labgrid.exceptions import NoDriverFoundError
from labgrid.factory import target_factory
from labgrid.strategy import Strategy
from pexpect import EOF, TIMEOUT

from ..centre import Reach
from ..wait import until

RTMP_PORT = 1935
# From the switch to a console that answers.
UP_S = 180
# A console's line discipline takes 4095 bytes a line.
CHUNK = 2400


def unattended(command: str) -> str:
    """For a shell on a terminal: nothing waits for a key, and both outputs come together."""
    return f"export PAGER=cat SYSTEMD_PAGER= SYSTEMD_COLORS=0 LC_ALL=C.UTF-8\n{{ {command}\n}} 2>&1 </dev/null"


@target_factory.reg_driver
@attr.s(eq=False)
class BoardDriver(Strategy):
    """`address` is the board's on the network. `host` is this machine's there, found out when it is not given."""

    bindings = {  # noqa: RUF012 (labgrid's way)
        "power": "PowerProtocol",
        "serial": "ConsoleProtocol",
        "shell": "ShellDriver",
    }
    address = attr.ib(validator=attr.validators.instance_of(str))
    host = attr.ib(default="", validator=attr.validators.instance_of(str))
    # Commands that cut and mend the board's line, such as a switch's port; empty: its interface goes down for a while.
    network_off = attr.ib(default="", validator=attr.validators.instance_of(str))
    network_on = attr.ib(default="", validator=attr.validators.instance_of(str))
    pace = attr.ib(default=3.0, validator=attr.validators.instance_of(float))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._on = False
        self._ready = False
        self._seen: list[str] = []
        self._provisioning = ""

    def provision(self, text: str) -> None:
        """A board that was flashed is not given anything: it is written down on its console, once it is up."""
        self._provisioning = text

    def power_on(self) -> None:
        self.target.activate(self.power)
        self.target.activate(self.serial)
        self.power.on()
        self._on = True
        if self._provisioning:
            self._write_provisioning()

    def _write_provisioning(self) -> None:
        encoded = base64.b64encode(self._provisioning.encode()).decode()
        pieces = [encoded[start : start + CHUNK] for start in range(0, len(encoded), CHUNK)]
        new, final = "/data/provisioning.json.new", "/data/provisioning.json"
        commands = [f": >{new}", *(f"printf %s {piece} >>{new}" for piece in pieces)]
        commands += [f"base64 -d {new} >{final} && chgrp nodi-agent {final} && chmod 0640 {final} && rm {new}"]
        commands += ["systemctl restart nodi-agent.service"]
        for command in commands:
            until("the board's console", lambda command=command: self.execute(command, 30)[0] == 0, UP_S)
        self._provisioning = ""

    def power_cut(self) -> None:
        self.target.activate(self.power)
        self._ready = False
        self.target.deactivate(self.shell)
        self.power.off()
        self._on = False

    def is_on(self) -> bool:
        return self._on

    def execute(self, command: str, timeout: float) -> tuple[int, str]:
        try:
            if not self._ready:
                self.target.deactivate(self.shell)
                self.target.activate(self.shell)
                self._ready = True
            lines, _, status = self.shell.run(unattended(command), timeout=timeout)
        except (TIMEOUT, EOF, OSError) as error:
            self._ready = False
            return 255, f"the console does not answer: {type(error).__name__}"
        return status, "\n".join(lines)

    def put(self, local: Path, remote: str) -> None:
        try:
            ssh = self.target.get_driver("SSHDriver")
        except NoDriverFoundError:
            self.shell.put(str(local), remote)
            return
        ssh.put(str(local), remote)

    def network_cut(self) -> None:
        if self.network_off:
            subprocess.run(self.network_off.split(), check=True)
            return
        status, output = self.execute("networkctl down $(networkctl --no-legend | awk '$3 == \"ether\" {print $2}')", 10)
        if status != 0:
            raise ExecutionError(output)

    def network_mend(self) -> None:
        if self.network_on:
            subprocess.run(self.network_on.split(), check=True)
        else:
            self.execute("networkctl up $(networkctl --no-legend | awk '$3 == \"ether\" {print $2}')", 10)

    def slow_network(self, slow: bool) -> None:
        """A bundle for a board is large enough."""

    def boots(self) -> int:
        """Seen from outside: the board stops answering, and does again."""
        status, text = self.execute("cat /proc/sys/kernel/random/boot_id", 10)
        if status == 0 and text.strip() not in self._seen:
            self._seen.append(text.strip())
        return len(self._seen)

    def rtmp_address(self) -> tuple[str, int]:
        return self.address, RTMP_PORT

    def reach(self) -> Reach:
        own = self.host
        if not own:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((self.address, RTMP_PORT))
                own = probe.getsockname()[0]
        return Reach(own, own)

    def console(self) -> str:
        return ""
