"""Waiting for conditions, with a deadline that says what did not come."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Late(AssertionError):
    """Something did not come in time."""


def until(what: str, look: Callable[[], T], timeout: float, every: float = 0.2) -> T:
    """The first truthy answer of `look`. What it raises counts as "not yet", and is shown when the time is over."""
    end = time.monotonic() + timeout
    while True:
        last: object = None
        try:
            found = look()
            if found:
                return found
            last = found
        except Exception as error:  # the box is rebooting, the server starts
            last = error
        if time.monotonic() > end:
            reason = last if isinstance(last, Exception) else None
            raise Late(f"{what}: not within {timeout:.0f} s; last: {last!r}") from reason
        time.sleep(every)


def holds(what: str, look: Callable[[], object], seconds: float, every: float = 0.5) -> None:
    """That `look` stays truthy for so long: for what must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert look(), what
        time.sleep(every)
