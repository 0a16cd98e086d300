"""Updates: there and back, refused, rolled back, and what ordinary power cuts do not do."""

import time
from collections.abc import Callable

import pytest

from nodi_hw import stream, updates
from nodi_hw.box import Box
from nodi_hw.bundles import Bundle, Bundles
from nodi_hw.centre import Centre
from nodi_hw.fleet import Refused
from nodi_hw.stream import Publisher

pytestmark = [pytest.mark.lg_feature("ab")]


def install(box: Box, centre: Centre, bundle: Bundle, **more: object) -> dict[str, object]:
    """Orders it and waits for the end."""
    held = centre.fleet.upload_bundle(bundle)
    order = centre.fleet.order(box.id(), held["sha256"], deadlines=updates.deadlines(box), **more)
    return updates.wait_final(centre, box, box.id(), order["id"])


def runs(box: Box, slot: str, version: str) -> None:
    """The slot has passed its gate and carries video."""
    assert (box.slot(), box.version()) == (slot, version)
    assert box.gate_passed()
    assert box.failed_units() == []


@pytest.mark.quick
def test_there_and_back(box: Box, centre: Centre, bundles: Bundles) -> None:
    identity = box.id()
    for _ in range(2):
        before, version = box.slot(), box.version()
        bundle = bundles.good(other_than=version)
        seen = install(box, centre, bundle)
        assert seen["state"] == "confirmed", seen["message"]
        assert (seen["from"], seen["to"]) == (version, bundle.version)
        updates.truthful(centre, box, seen, bundle.version, version)
        runs(box, "B" if before == "A" else "A", bundle.version)
        gate = box.gate()
        assert gate["trial"] is True
        assert all(check["passed"] for check in gate["checks"]), gate["checks"]
        assert not box.succeeds("test -e /var/lib/nodi/update/trial.json")
        assert box.id() == identity
        with Publisher(centre, box) as publisher:
            stream.wait_live(centre, box, publisher)


REFUSED: list[tuple[str, Callable[[Bundles], Bundle]]] = [
    ("wrong signature", Bundles.foreign),
    ("another board", Bundles.for_another_board),
    ("truncated", Bundles.truncated),
]


@pytest.mark.quick
@pytest.mark.parametrize("make", [make for _, make in REFUSED], ids=[name for name, _ in REFUSED])
def test_refused(box: Box, centre: Centre, bundles: Bundles, make: Callable[[Bundles], Bundle]) -> None:
    """By the server, or by the agent, and by RAUC in any case; nothing is changed by it."""
    slot, version = box.slot(), box.version()
    bundle = make(bundles)
    try:
        seen = install(box, centre, bundle)
    except Refused as refused:
        assert refused.status in (409, 422), refused
    else:
        assert seen["state"] == "failed", seen
        assert seen["message"]
        updates.truthful(centre, box, seen, bundle.version, version)
    box.copy(bundle.path, "/data/hwtest.raucb")
    try:
        status, output = box.try_run("rauc install /data/hwtest.raucb", 120)
        assert status != 0, output
    finally:
        box.run("rm -f /data/hwtest.raucb")
    runs(box, slot, version)
    box.cycle()
    runs(box, slot, version)


@pytest.mark.quick
def test_a_slot_without_ingest_rolls_back(box: Box, centre: Centre, bundles: Bundles) -> None:
    slot, version = box.slot(), box.version()
    bundle = bundles.broken("ingest")
    seen = install(box, centre, bundle)
    assert seen["state"] == "rolled_back", seen
    assert seen["message"], "no reason is given"
    updates.truthful(centre, box, seen, bundle.version, version)
    runs(box, slot, version)
    # The slot that failed takes the next update: on a Jetson it would be refused for ever if nobody cleared its status.
    good = bundles.good(other_than=version)
    seen = install(box, centre, good)
    assert seen["state"] == "confirmed", seen["message"]
    runs(box, "B" if slot == "A" else "A", good.version)


@pytest.mark.lg_feature("launcher")
@pytest.mark.parametrize("part", ["kernel", "init"])
def test_a_slot_that_does_not_start_rolls_back(box: Box, centre: Centre, bundles: Bundles, part: str) -> None:
    """No process of the new slot ever runs: the boot loader alone brings the box back."""
    slot, version = box.slot(), box.version()
    bundle = bundles.broken(part)
    seen = install(box, centre, bundle)
    assert seen["state"] == "rolled_back", seen
    updates.truthful(centre, box, seen, bundle.version, version)
    runs(box, slot, version)


def test_three_ordinary_power_cuts_roll_nothing_back(box: Box, centre: Centre) -> None:
    """Nor do four, and not those in the middle of a start either."""
    slot, version = box.slot(), box.version()
    for _ in range(2):
        box.cycle()
        runs(box, slot, version)
    for wait in (0.3, 0.6, 1.0):
        box.power_cut()
        box.power_on()
        pause(box, wait)
    box.power_cut()
    box.power_on()
    box.wait_up()
    box.wait_for("the gate's word", box.gate_passed, 30)
    runs(box, slot, version)
    box.wait_for("the box is online", lambda: centre.fleet.settled(box.id()), 60)


def pause(box: Box, seconds: float) -> None:
    """So long into a start; a slow machine gets as far in a longer time."""
    time.sleep(seconds * box.machine.pace)


def test_nothing_is_installed_while_live(box: Box, centre: Centre, bundles: Bundles) -> None:
    """The order waits for the stream's end; with `force` it does not."""
    boot, version = box.boot_id(), box.version()
    bundle = bundles.good(other_than=version)
    held = centre.fleet.upload_bundle(bundle)
    with Publisher(centre, box) as publisher:
        stream.wait_live(centre, box, publisher)
        order = centre.fleet.order(box.id(), held["sha256"], deadlines=updates.deadlines(box))
        box.wait_for(
            "it waits, with everything on the disk",
            lambda: updates.state(centre, box.id()) in ("waiting", "downloading"),
            30,
        )
        pause(box, 4)
        publisher.check()
        assert updates.state(centre, box.id()) in ("waiting", "downloading")
        assert box.boot_id() == boot
    seen = updates.wait_final(centre, box, box.id(), order["id"])
    assert seen["state"] == "confirmed", seen["message"]
    assert box.version() == bundle.version
