"""Ordering updates, and what came of them: what the box says beside what is."""

from typing import Any

from .box import Box
from .centre import Centre
from .fleet import Refused

FINAL = ("confirmed", "rolled_back", "failed", "expired", "withdrawn")
# In the order in which they come.
STATES = ("waiting", "downloading", "installing", "rebooting", "trial", "confirmed")
# Seconds, for an idle developer's machine; the box gets the same ones, stretched.
DEADLINES = {"download_s": 120, "install_s": 120, "reboot_s": 120, "trial_s": 60}


def deadlines(box: Box) -> dict[str, int]:
    return {name: int(seconds * box.machine.pace) for name, seconds in DEADLINES.items()}


def state(centre: Centre, box_id: str) -> str:
    return str(centre.fleet.update(box_id)["state"])


def reached(centre: Centre, box_id: str, wanted: str) -> bool:
    """Whether it is in this state or beyond it. An end that was not wanted raises: nothing follows it."""
    seen = centre.fleet.update(box_id)
    now = str(seen["state"])
    if now == wanted:
        return True
    if now in FINAL:
        if wanted in STATES and now == "confirmed":
            return True
        raise Ended(seen)
    return wanted in STATES and now in STATES and STATES.index(now) >= STATES.index(wanted)


class Ended(AssertionError):
    """The update is over in another way than the test wants."""

    def __init__(self, seen: dict[str, Any]) -> None:
        super().__init__(f"the update ended as {seen['state']}: {seen['message']}")
        self.seen = seen


def wait_final(centre: Centre, box: Box, box_id: str, order: str, timeout: float = 240) -> dict[str, Any]:
    """The server's view of an update that is over."""

    def look() -> dict[str, Any] | None:
        seen = centre.fleet.update(box_id)
        return seen if seen["id"] == order and seen["state"] in FINAL else None

    seen = box.wait_for("the update is over", look, timeout, 0.5)
    assert seen is not None
    return seen


def withdraw_whatever(centre: Centre, box_id: str) -> None:
    """Leaves nothing behind for the next test."""
    try:
        if state(centre, box_id) not in FINAL:
            centre.fleet.call("DELETE", f"/boxes/{box_id}/update")
    except Refused as refused:
        if refused.status not in (404, 409):
            raise


def truthful(centre: Centre, box: Box, seen: dict[str, Any], new: str, old: str) -> str:
    """Checks what was reported against the slot that really runs; says what came back, for the table."""
    slot, version = box.slot(), box.version()
    assert box.active("boot-complete.target"), "the slot that runs has not passed its health gate"
    assert seen["slot"] == slot, f"reported slot {seen['slot']}, running {slot}"
    if seen["state"] == "confirmed":
        assert version == new, f"reported {new} as confirmed, running {version}"
    else:
        assert version == old, f"reported {seen['state']}, yet {version} runs and not {old}"
    assert centre.fleet.summary(box.id())["state"] == "online"
    return f"{slot} {version}"
