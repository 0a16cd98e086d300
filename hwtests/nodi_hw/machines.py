"""Which machine an environment gives."""

from typing import Any, cast

import pytest
from labgrid.exceptions import NoDriverFoundError

from .box import Machine


def machine_of(target: Any) -> Machine:
    """The first that the target has. What an environment cannot be without is said when it is activated."""
    for name in ("NspawnDriver", "QemuBoxDriver", "BoardDriver"):
        try:
            return cast(Machine, target.get_driver(name))
        except NoDriverFoundError:
            continue
        except PermissionError as missing:
            pytest.skip(str(missing))
    raise LookupError(f"{target.name} has no driver that is a whole machine")
