"""What a box on a roof meets: a full disk, a wrong clock, a line that is gone."""

import datetime
import time

import pytest

from nodi_hw import stream
from nodi_hw.box import Box
from nodi_hw.centre import Centre
from nodi_hw.stream import Publisher
from nodi_hw.wait import holds

FILLER = "/data/nodi-hwtest-filler"
# Long enough for the broker to notice, short enough to be caught up with.
OUTAGE_S = 15
# Longer than the fleet server believes in a box that it does not hear.
SILENCE_S = 20
# What an answer may take that comes over a slow console.
CLOCK_S = 60


def test_a_full_disk_stops_nothing(box: Box, centre: Centre) -> None:
    """The box goes on with what it has, says so, and is as before once there is room again."""
    try:
        free = int(box.run("df --output=avail -B1 /data | tail -n 1"))
        box.run(f"fallocate -l {max(free - (1 << 20), 4096)} {FILLER} || dd if=/dev/zero of={FILLER} bs=1M || true", 120)
        box.run(f"dd if=/dev/zero of={FILLER}.2 bs=64k 2>/dev/null || true", 60)
        with Publisher(centre, box):
            box.wait_for(
                "the fleet is told that the disk is full",
                lambda: (centre.fleet.summary(box.id())["disk_used"] or 0) > 0.95,
                40,
            )
        for service in ("nodi-ingest", "nodi-uplink", "nodi-agent"):
            assert box.active(f"{service}.service"), box.journal(service)
        assert centre.fleet.summary(box.id())["state"] == "online"
        # A start with a full disk is the harder case.
        box.cycle()
        box.wait_for("the box is online with a full disk", lambda: centre.fleet.settled(box.id()), 60)
    finally:
        box.run(f"rm -f {FILLER} {FILLER}.2")
    with Publisher(centre, box) as publisher:
        stream.wait_live(centre, box, publisher)
    assert box.failed_units() == []


def test_the_network_goes_and_comes_back(box: Box, centre: Centre) -> None:
    """Nothing that was recorded meanwhile is lost, and nobody has to help."""
    identity = box.id()
    boot = box.boot_id()
    box.machine.network_cut()
    try:
        box.wait_for("the fleet sees it go", lambda: centre.fleet.summary(identity)["state"] == "offline", OUTAGE_S + 30)
    finally:
        box.machine.network_mend()
    box.wait_for("the box is online again", lambda: centre.fleet.settled(identity), 60)
    assert box.boot_id() == boot
    assert box.failed_units() == []
    with Publisher(centre, box) as publisher:
        stream.wait_live(centre, box, publisher)


def test_boots_without_a_network(box: Box, centre: Centre) -> None:
    """Up with everything that needs no fleet, and online once there is one."""
    box.machine.network_cut()
    try:
        box.cycle()
        assert box.active("nodi-ingest.service")
        assert box.failed_units() == []
    finally:
        box.machine.network_mend()
    box.wait_for("the box is online", lambda: centre.fleet.settled(box.id()), 90)


@pytest.mark.lg_feature("clock")
@pytest.mark.parametrize("year", [2020, 2040])
def test_a_wrong_clock_is_put_right(box: Box, centre: Centre, year: int) -> None:
    """Where no time server is reached, the box goes by the fleet's time, and so does its video."""

    def wrong_by() -> float:
        return abs(float(box.run("date +%s")) - time.time())

    box.run("systemctl stop systemd-timesyncd.service")
    try:
        box.run(f"date -s @{int(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp())}")
        box.wait_for("the clock is right", lambda: wrong_by() < CLOCK_S, 60)
        box.wait_for("the box is online", lambda: centre.fleet.settled(box.id()), 60)
        with Publisher(centre, box) as publisher:
            stream.wait_live(centre, box, publisher)
        holds("the box stays online", lambda: centre.fleet.settled(box.id()), SILENCE_S)
        assert box.failed_units() == []
    finally:
        box.run("systemctl start systemd-timesyncd.service")
