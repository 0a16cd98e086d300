"""A process that hangs is noticed and started anew, and what it did is done again."""

import pytest

from nodi_hw import stream
from nodi_hw.box import SERVICES, Box
from nodi_hw.centre import Centre
from nodi_hw.stream import Publisher


def watchdog_s(box: Box, service: str) -> float:
    """Seconds without a sign of life that systemd allows."""
    value = box.unit(f"{service}.service", "WatchdogUSec")["WatchdogUSec"]
    amounts = {"ms": 0.001, "min": 60.0, "s": 1.0}
    total = 0.0
    for word in value.split():
        unit = next(unit for unit in ("ms", "min", "s") if word.endswith(unit))
        total += float(word.removesuffix(unit)) * amounts[unit]
    return total


@pytest.mark.quick
@pytest.mark.parametrize("service", SERVICES)
def test_a_stopped_process_is_started_anew(box: Box, centre: Centre, service: str) -> None:
    allowed = watchdog_s(box, service)
    assert 0 < allowed <= 60, f"{service} has no watchdog, or one that lets it hang for {allowed} s"
    before = box.pid(service)
    box.run(f"kill -STOP {before}")

    def replaced() -> bool:
        return box.pid(service) not in (0, before) and box.active(f"{service}.service")

    # Half a watchdog's time may have been used up; it is then killed, and started after its pause.
    box.wait_for(f"another {service}", replaced, allowed + 30)
    box.wait_for("the box is online", lambda: centre.fleet.settled(box.id()), 60)
    assert box.failed_units() == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_process_is_started_anew(box: Box, centre: Centre, service: str) -> None:
    before = box.pid(service)
    box.run(f"kill -KILL {before}")
    box.wait_for(f"another {service}", lambda: box.pid(service) not in (0, before), 20)
    box.wait_for("the box is online", lambda: centre.fleet.settled(box.id()), 60)


def test_a_hanging_uplink_costs_no_picture(box: Box, centre: Centre) -> None:
    with Publisher(centre, box) as publisher:
        found = stream.wait_live(centre, box, publisher)
        before = max(stream.newest(url) for url in found.values())
        box.run(f"kill -STOP {box.pid('nodi-uplink')}")
        stream.wait_going_on(centre, box, before + 3, watchdog_s(box, "nodi-uplink") + 60)
        publisher.check()
