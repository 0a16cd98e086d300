"""Every file of the layer through bitbake's own parser, the one that a build uses. The classes of other layers are not here: each
is an empty file of its name, so that a class that does not exist is noticed, and what it does is not."""

import contextlib
import logging
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finding import Finding

LAYER = Path("image/yocto/meta-nodi")
# Classes of openembedded-core and meta-rauc that our recipes inherit.
CLASSES = ("allarch", "bundle", "cargo", "core-image", "externalsrc", "pkgconfig", "systemd", "useradd")
# What bitbake.conf would say, as far as our recipes use it.
BASE = {
    "BPN": "${PN}",
    "PV": "1.0",
    "D": "/dest",
    "S": "/source",
    "B": "/build",
    "COMMON_LICENSE_DIR": "/licenses",
    "UNPACKDIR": "/unpack",
    "bindir": "/usr/bin",
    "datadir": "/usr/share",
    "localstatedir": "/var",
    "nonarch_libdir": "/usr/lib",
    "sysconfdir": "/etc",
    "systemd_system_unitdir": "/usr/lib/systemd/system",
}
# Boards by what distinguishes them for our recipes.
BOARDS = {
    "p3768-0000-p3767-0000": "tegra:tegra234:p3768-0000-p3767-0000",
    "jetson-agx-orin-devkit": "tegra:tegra234:jetson-agx-orin-devkit",
    "jetson-orin-nano-devkit": "tegra:tegra234:orin-nano:jetson-orin-nano-devkit",
    "qemux86-64": "qemux86-64",
}


def load() -> types.ModuleType:
    """The library, without the servers that only a build talks to."""
    for name in ("hashserv", "hashserv.client", "prserv", "prserv.serv", "layerindexlib"):
        sys.modules.setdefault(name, types.ModuleType(name))
    import bb
    import bb.data_smart
    import bb.parse
    import bb.parse.parse_py.BBHandler
    import bb.siggen

    bb.parse.siggen = bb.siggen.SignatureGenerator(bb.data_smart.DataSmart())
    logging.getLogger("BitBake").addHandler(logging.NullHandler())
    return bb


@contextlib.contextmanager
def stubs() -> Iterator[Path]:
    """A layer with the classes of the others. `base` is what bitbake gives every recipe."""
    with tempfile.TemporaryDirectory(prefix="nodi-yocto-") as directory:
        classes = Path(directory) / "classes"
        classes.mkdir()
        for name in (*CLASSES, "base"):
            (classes / f"{name}.bbclass").touch()
        yield Path(directory)


def configuration(root: Path, stub: Path, machine: str) -> Any:
    """What is known when a recipe is read: the layer's and the distribution's configuration on this board."""
    bb = load()
    layer = root / LAYER
    data = bb.data_smart.DataSmart()
    for name, value in BASE.items():
        data.setVar(name, value)
    data.setVar("BBPATH", f"{stub}:{layer}")
    data.setVar("MACHINE", machine)
    data.setVar("OVERRIDES", f"{BOARDS[machine]}:nodi:${{PN}}")
    data.setVar("LAYERDIR", str(layer))
    for name in ("conf/layer.conf", "conf/distro/nodi.conf"):
        data = bb.parse.handle(str(layer / name), data, True, baseconfig=True)
    # The library is loaded once, from wherever it is first needed; what it reads is this checkout.
    data.setVar("NODI_CHECKOUT", str(root))
    return data


def recipe(root: Path, stub: Path, path: Path, machine: str) -> Any:
    """The recipe's variables on this board."""
    bb = load()
    data = configuration(root, stub, machine)
    name = path.stem.partition("_")[0]
    data.setVar("PN", name)
    data.setVar("__bbclasstype", "recipe")
    data.setVar("FILE", str(path))
    data.setVar("THISDIR", str(path.parent))
    if path.suffix == ".bbappend":
        bb.parse.parse_py.BBHandler.handle(str(path), data, True)
        return data
    return bb.parse.handle(str(path), data)[""]


def faults(data: Any) -> list[str]:
    """What cannot be evaluated."""
    bb = load()
    found = []
    for name in sorted(data.keys()):
        try:
            data.getVar(name)
        except bb.data_smart.ExpansionError as error:
            found.append(f"{name}: {error}")
    return found


def recipes(root: Path) -> list[Path]:
    layer = root / LAYER
    return sorted([*layer.rglob("*.bb"), *layer.rglob("*.bbappend")])


def check(root: Path) -> list[Finding]:
    bb = load()
    findings = []
    with stubs() as stub:
        for path in recipes(root):
            jetson = "tegra" in path.relative_to(root / LAYER).parts
            for machine in BOARDS:
                if jetson and "tegra" not in BOARDS[machine]:
                    continue
                try:
                    found = faults(recipe(root, stub, path, machine))
                except (bb.parse.ParseError, bb.data_smart.ExpansionError, bb.BBHandledException, SyntaxError) as error:
                    found = [f"does not parse: {error}"]
                if found:
                    findings += [Finding(path, f"on {machine}: {fault}") for fault in found]
                    break
    return findings
