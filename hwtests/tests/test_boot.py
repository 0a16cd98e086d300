"""A box comes up by itself, locked down, and finds its fleet."""

import pytest

from nodi_hw.box import SERVICES, Box
from nodi_hw.centre import Centre

# Below these nothing may be written, not even by root.
READ_ONLY = ("/", "/usr", "/usr/bin", "/etc", "/etc/nodi")


@pytest.mark.quick
def test_boots_to_the_appliance(booted: Box) -> None:
    assert booted.active("nodi-appliance.target")
    assert booted.failed_units() == []
    for service in SERVICES:
        assert booted.active(f"{service}.service"), booted.journal(service)
    assert booted.active("nodi-transcode.socket")


@pytest.mark.quick
def test_the_gate_lets_an_ordinary_boot_pass(booted: Box) -> None:
    booted.wait_for("boot-complete.target", lambda: booted.active("boot-complete.target"), 30)
    gate = booted.gate()
    assert gate["boot_id"] == booted.boot_id()
    assert gate["passed"] is True
    assert gate["trial"] is False


@pytest.mark.parametrize("path", READ_ONLY)
def test_the_root_is_read_only(booted: Box, path: str) -> None:
    status, output = booted.try_run(f"touch {path}/nodi-hwtest")
    assert status != 0
    assert "Read-only file system" in output


def test_state_is_on_the_data_partition(booted: Box) -> None:
    for path in ("/var/lib/nodi", "/var/spool/nodi"):
        device = booted.run(f"stat -c %d {path}")
        assert device == booted.run("stat -c %d /data"), path


def test_nobody_but_streamers_gets_in(booted: Box) -> None:
    """What listens on other addresses than loopback is RTMP, and what the firewall lets through is no more."""
    lines = booted.run("ss --listening --tcp --udp --numeric --no-header").splitlines()
    open_ports = set()
    for line in lines:
        address = line.split()[4]
        host, port = address.rsplit(":", 1)
        if not host.startswith(("127.", "[::1]")) and "%lo" not in host:
            open_ports.add(int(port))
    assert open_ports <= {1935, 1936, 68, 546, 5353, 22}, lines
    assert 1935 in open_ports
    rules = booted.run("nft list ruleset")
    assert "policy drop" in rules
    assert "1935" in rules


@pytest.mark.quick
def test_claims_itself(claimed: Box, centre: Centre) -> None:
    seen = centre.fleet.summary(claimed.id())
    assert seen["state"] == "online"
    assert seen["version"]
    assert claimed.run("stat -c %U:%a /var/lib/nodi/agent/identity/key.pem") == "nodi-agent:600"


def test_is_the_same_box_after_a_power_cut(box: Box, centre: Centre) -> None:
    identity, machine_id, boot = box.id(), box.read("/etc/machine-id"), box.boot_id()
    box.cycle()
    assert box.boot_id() != boot
    assert box.id() == identity
    assert box.read("/etc/machine-id") == machine_id
    box.wait_for("the box is online again", lambda: centre.fleet.settled(identity), 60)
    assert len(centre.boxes()) == 1
