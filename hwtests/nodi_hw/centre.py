"""The centre as operators set it up: the fleet server, Mosquitto with the configuration that the server writes, and one
origin, with the addresses under which the box of an environment sees this machine."""

import json
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from .fleet import Fleet
from .places import binary, free_port, tool
from .process import Process
from .wait import until

START_S = 40
PASSWORD_BYTES = 12
CHANNEL = "hwtest"


@dataclass(frozen=True)
class Reach:
    """Where the centre listens, and under which address the box reaches that."""

    bind: str
    seen: str


@dataclass(frozen=True)
class Ports:
    http: int
    https: int
    broker: int
    push: int
    public: int

    @classmethod
    def free(cls, bind: str) -> "Ports":
        return cls(free_port(), free_port(bind), free_port(bind), free_port(bind), free_port())


class Centre:
    """A running centre; `stop` ends it."""

    def __init__(self, directory: Path, reach: Reach) -> None:
        self.directory = directory
        self.reach = reach
        self.ports = Ports.free(reach.bind)
        self.logs = directory / "log"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._config = directory / "fleet.toml"
        self._processes: dict[str, Process] = {}
        self._password = secrets.token_hex(PASSWORD_BYTES)
        self._write_config()
        self._fleet_tool("init", "--password-file", "-", given=self._password)
        self._start_broker()
        self._start_fleet()
        self.fleet = Fleet(f"http://127.0.0.1:{self.ports.http}", "admin", self._password)
        self._start_origin()
        self._settings()
        self._key: str | None = None

    # -- setting up

    def _write_config(self) -> None:
        pid = self.directory / "broker/data/mosquitto.pid"
        lines = [
            f'data_dir = "{self.directory}/data"',
            f'public_url = "https://{self.reach.seen}:{self.ports.https}"',
            "[http]",
            f'listen = "127.0.0.1:{self.ports.http}"',
            "[http.tls]",
            f'listen = "{self.reach.bind}:{self.ports.https}"',
            f'names = ["{self.reach.seen}", "{self.reach.bind}"]',
            "[broker]",
            f'host = "{self.reach.bind}"',
            f'box_host = "{self.reach.seen}"',
            f"port = {self.ports.broker}",
            f'revocation_lists = ["{self.directory}/broker/crl.pem"]',
            f"""reload = ["sh", "-c", "kill -HUP $(cat '{pid}')"]""",
        ]
        self._config.write_text("\n".join(lines) + "\n")

    def _fleet_tool(self, *words: str, given: str = "") -> None:
        command = [str(binary("nodi-fleet")), "--config", str(self._config), *words]
        done = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"nodi-fleet {words[0]}: {done.stderr}")

    def _start_broker(self) -> None:
        names = [word for name in {self.reach.bind, self.reach.seen} for word in ("--name", name)]
        listen = f"{self.reach.bind}:{self.ports.broker}"
        self._fleet_tool("broker-config", "--directory", f"{self.directory}/broker", "--listen", listen, *names)
        command = [tool("mosquitto"), "-c", self.directory / "broker/mosquitto.conf"]
        self._processes["broker"] = Process("mosquitto", command, self.logs)

    def _start_fleet(self) -> None:
        command = [binary("nodi-fleet"), "--config", self._config, "serve"]
        self._processes["fleet"] = Process("fleet", command, self.logs)
        until("the fleet server answers", self._fleet_answers, START_S)

    def _fleet_answers(self) -> bool:
        for process in self._processes.values():
            process.check()
        return requests.get(f"http://127.0.0.1:{self.ports.http}/healthz", timeout=2).ok

    def _start_origin(self) -> None:
        names = [word for name in {self.reach.bind, self.reach.seen} for word in ("--name", name)]
        files = [self.directory / "origin.pem", self.directory / "origin.key"]
        self._fleet_tool("issue", "origin", "origin-1", *names, "--certificate", str(files[0]), "--key", str(files[1]))
        data = self.directory / "data"
        lines = [
            "[push]",
            f'listen = "{self.reach.bind}:{self.ports.push}"',
            f'certificate = "{files[0]}"',
            f'private_key = "{files[1]}"',
            f'client_ca = "{data}/ca/ca.pem"',
            "[keys]",
            f'public = "{data}/stream-keys.pub"',
            f'revocations = "{self.directory}/revocations.json"',
            "[public]",
            f'listen = "127.0.0.1:{self.ports.public}"',
            "[metrics]",
            f'listen = "127.0.0.1:{free_port()}"',
            "[fleet]",
            f'host = "{self.reach.bind}"',
            f"port = {self.ports.broker}",
            f'ca = "{data}/ca/ca.pem"',
            f'certificate = "{files[0]}"',
            f'private_key = "{files[1]}"',
        ]
        config = self.directory / "origin.toml"
        config.write_text("\n".join(lines) + "\n")
        self._processes["origin"] = Process("origin", [binary("nodi-origin"), "--config", config], self.logs)

    def _settings(self) -> None:
        """Where boxes push to, and how often they say how they are."""
        held = self.fleet.get("/fleet/settings")
        settings = held["settings"] | {
            "origins": [{"name": "origin-1", "url": f"https://{self.reach.seen}:{self.ports.push}"}],
            "telemetry_s": 2,
        }
        self.fleet.put("/fleet/settings", {"expected_version": held["version"], "settings": settings})

    # -- what boxes and publishers need

    def provisioning(self) -> str:
        """What belongs into a box's `/etc/nodi/provisioning.json`, with a claim code for one box."""
        code = self.fleet.post("/claim-codes", {"note": "hwtests", "uses": 1})["code"]
        authority = (self.directory / "data/ca/ca.pem").read_text()
        url = f"https://{self.reach.seen}:{self.ports.https}"
        return json.dumps({"fleet_url": url, "ca_pem": authority, "claim_code": code})

    def stream_key(self) -> str:
        if self._key is None:
            self.fleet.post("/channels", {"id": CHANNEL, "display_name": "Hardware tests"})
            self._key = str(self.fleet.post(f"/channels/{CHANNEL}/keys", {"label": "hwtests"})["key"])
        return self._key

    def playlist_url(self, name: str = "index") -> str:
        return f"http://127.0.0.1:{self.ports.public}/live/{CHANNEL}/{name}.m3u8"

    def boxes(self) -> list[dict[str, Any]]:
        return list(self.fleet.get("/boxes?per_page=100")["items"])

    # -- faults

    def stop_process(self, name: str) -> None:
        self._processes.pop(name).stop()

    def stop(self) -> None:
        for name in ("origin", "fleet", "broker"):
            process = self._processes.pop(name, None)
            if process is not None:
                process.stop()
