"""Power cuts at every point of an update. Whatever the moment: the box comes back by itself, on a slot that passes its health
gate, and the fleet is told what is."""

import time
from dataclasses import dataclass

import pytest

from nodi_hw import updates
from nodi_hw.box import Box
from nodi_hw.bundles import Bundles
from nodi_hw.centre import Centre
from nodi_hw.report import Cut, Report

pytestmark = [pytest.mark.lg_feature("ab")]

POLL_S = 0.02
# Longer than any state takes to come, for an idle developer's machine.
REACH_S = 120


@dataclass(frozen=True)
class Point:
    """A moment of an update: in `state`, at `progress` percent of it or later, and so many seconds after that."""

    state: str
    progress: int = 0
    seconds: float = 0.0
    # Counted from the new slot's start by firmware and boot loader, not from a report.
    boot: bool = False

    def name(self) -> str:
        where = "first boot" if self.boot else self.state
        share = f" {self.progress} %" if self.progress else ""
        return f"{where}{share} +{self.seconds:g} s"


POINTS = [
    Point("downloading"), Point("downloading", 20), Point("downloading", 50), Point("downloading", 80), Point("downloading", 100),
    Point("installing"), Point("installing", 0, 0.3), Point("installing", 20), Point("installing", 40), Point("installing", 60),
    Point("installing", 80), Point("installing", 99),
    Point("rebooting"), Point("rebooting", 0, 0.15), Point("rebooting", 0, 0.4),
    Point("rebooting", boot=True), Point("rebooting", 0, 0.1, boot=True), Point("rebooting", 0, 0.3, boot=True),
    Point("rebooting", 0, 0.6, boot=True), Point("rebooting", 0, 1.0, boot=True), Point("rebooting", 0, 1.6, boot=True),
    Point("trial"), Point("trial", 0, 0.5), Point("trial", 0, 1.5), Point("trial", 0, 4.0),
    Point("confirmed"),
]  # fmt: skip
# One of each kind, for every day.
EVERY_DAY = {1, 8, 13, 18, 22}


def points() -> list[object]:
    return [
        pytest.param(point, id=point.name(), marks=() if number in EVERY_DAY else pytest.mark.slow)
        for number, point in enumerate(POINTS)
    ]


def reach(box: Box, centre: Centre, box_id: str, order: str, point: Point, boots: int) -> str:
    """Waits for the moment; says where the update really was then."""
    end = time.monotonic() + REACH_S * box.machine.pace
    while time.monotonic() < end:
        if point.boot:
            if box.machine.boots() > boots:
                return "first boot"
        else:
            seen = centre.fleet.update(box_id)
            assert seen["id"] == order
            state, progress = seen["state"], seen["progress"] or 0
            if state in updates.FINAL and state != "confirmed":
                raise updates.Ended(seen)
            if state == point.state and progress >= point.progress:
                return f"{state} {progress} %"
            if state in updates.STATES and updates.STATES.index(state) > updates.STATES.index(point.state):
                return f"{state} (too late)"
        time.sleep(POLL_S)
    raise AssertionError(f"{point.name()} was not reached: {centre.fleet.update(box_id)}")


@pytest.mark.parametrize("point", points())
def test_power_cut(box: Box, centre: Centre, bundles: Bundles, report: Report, point: Point) -> None:
    identity, old = box.id(), box.version()
    bundle = bundles.good(other_than=old)
    held = centre.fleet.upload_bundle(bundle)
    box.machine.slow_network(True)
    boots = box.machine.boots()
    try:
        order = centre.fleet.order(identity, held["sha256"], deadlines=updates.deadlines(box))
        where = reach(box, centre, identity, order["id"], point, boots)
        time.sleep(point.seconds * (box.machine.pace if point.boot else 1))
        box.power_cut()
    finally:
        box.machine.slow_network(False)
    began = time.monotonic()
    box.power_on()
    box.wait_up(120)
    up_after = time.monotonic() - began
    seen = updates.wait_final(centre, box, identity, order["id"])
    box.wait_up(120)
    box.wait_for("the gate's word", box.gate_passed, 60)
    box.wait_for("the box is online", lambda: centre.fleet.settled(identity), 60)
    came_back = updates.truthful(centre, box, seen, bundle.version, old)
    trial = " (trial)" if box.gate()["trial"] else ""
    report.cuts.append(Cut(f"{point.name()}: {where}", came_back, f"passed{trial}", str(seen["state"]), up_after))
    # One cut is an ordinary thing: it costs no update.
    assert seen["state"] == "confirmed", seen["message"]
    assert box.failed_units() == []
