"""Drivers that labgrid lacks. Naming them in an environment file takes `imports: [nodi_hw.drivers]`."""

from .board import BoardDriver
from .flash import InitrdFlashDriver
from .nspawn import NspawnDriver, NspawnTree
from .qemu import NodiQemuDriver, QemuBoxDriver

__all__ = ["BoardDriver", "InitrdFlashDriver", "NodiQemuDriver", "NspawnDriver", "NspawnTree", "QemuBoxDriver"]
