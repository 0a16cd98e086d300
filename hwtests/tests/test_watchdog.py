"""A process that hangs is noticed and started anew, and what it did is done again."""

from collections.abc import Iterator

import pytest

from nodi_hw import stream
from nodi_hw.box import SERVICES, Box
from nodi_hw.centre import Centre
from nodi_hw.stream import Publisher

# Above what a busy machine may take between two signs of life of a process that is well.
PATIENCE_S = 6


def watchdog_s(box: Box, service: str) -> float:
    """Seconds without a sign of life that systemd allows."""
    value = box.unit(f"{service}.service", "WatchdogUSec")["WatchdogUSec"]
    amounts = {"ms": 0.001, "min": 60.0, "s": 1.0}
    total = 0.0
    for word in value.split():
        unit = next(unit for unit in ("ms", "min", "s") if word.endswith(unit))
        total += float(word.removesuffix(unit)) * amounts[unit]
    return total


@pytest.fixture
def hastened(box: Box) -> Iterator[None]:
    """The same watchdogs, with less patience: what a process does to be left alone does not depend on it."""
    for service in SERVICES:
        place = f"/run/systemd/system/{service}.service.d"
        box.run(f"mkdir -p {place} && printf '[Service]\\nWatchdogSec={PATIENCE_S}\\n' >{place}/90-hwtest.conf")
    box.run("systemctl daemon-reload && systemctl restart " + " ".join(SERVICES), 60)
    box.wait_up()
    yield
    box.run("rm -f /run/systemd/system/nodi-*.service.d/90-hwtest.conf && systemctl daemon-reload")
    box.run("systemctl restart " + " ".join(SERVICES), 60)
    box.wait_up()


@pytest.mark.quick
def test_every_process_is_watched(box: Box) -> None:
    for service in SERVICES:
        allowed = watchdog_s(box, service)
        assert 0 < allowed <= 60, f"{service} has no watchdog, or one that lets it hang for {allowed} s"


def stop_and_wait(box: Box, centre: Centre, service: str) -> None:
    allowed = watchdog_s(box, service)
    before = box.pid(service)
    box.run(f"kill -STOP {before}")

    def replaced() -> bool:
        return box.pid(service) not in (0, before) and box.active(f"{service}.service")

    # It is ended with a signal that leaves a core, then killed, and started after its pause.
    box.wait_for(f"another {service}", replaced, allowed + 60)
    box.wait_for("the box is online", lambda: centre.fleet.settled(box.id()), 60)
    assert box.failed_units() == []


@pytest.mark.quick
def test_a_stopped_process_is_started_anew(box: Box, centre: Centre, hastened: None) -> None:
    for service in SERVICES:
        stop_and_wait(box, centre, service)


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_with_the_patience_that_is_shipped(box: Box, centre: Centre, service: str) -> None:
    stop_and_wait(box, centre, service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_process_is_started_anew(box: Box, centre: Centre, service: str) -> None:
    before = box.pid(service)
    box.run(f"kill -KILL {before}")
    box.wait_for(f"another {service}", lambda: box.pid(service) not in (0, before), 20)
    box.wait_for("the box is online", lambda: centre.fleet.settled(box.id()), 60)


@pytest.mark.slow
def test_a_hanging_uplink_costs_no_picture(box: Box, centre: Centre) -> None:
    with Publisher(centre, box) as publisher:
        found = stream.wait_live(centre, box, publisher)
        before = max(stream.newest(url) for url in found.values())
        box.run(f"kill -STOP {box.pid('nodi-uplink')}")
        stream.wait_going_on(centre, box, before + 3, watchdog_s(box, "nodi-uplink") + 60)
        publisher.check()
