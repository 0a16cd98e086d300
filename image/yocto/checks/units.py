"""Nothing of a box is forgotten: every tree of systemd/ is either installed or the centre's, every file of those that are
installed ends up in the package, and every process of the workspace is built and packaged."""

import sys
import types
from pathlib import Path

import parse
from finding import Finding

TREES = Path("systemd")
RECIPE = parse.LAYER / "recipes-nodi/nodi-appliance/nodi-appliance_git.bb"
PACKAGE = "nodi-appliance"
# Installed with every other one.
COMMON = "common"
# Runs centrally: no board's.
CENTRE = "centre"
# What the class of all recipes packages without being told, as far as we install there.
BY_DEFAULT = ("/etc", "/usr/bin", "/var")


def workspace(root: Path) -> types.ModuleType:
    """The layer's own library."""
    library = str(root / parse.LAYER / "lib")
    if library not in sys.path:
        sys.path.append(library)
    import nodi.workspace

    return nodi.workspace


def variables(root: Path) -> dict[str, dict[str, str]]:
    """By board: what the recipe installs and packages."""
    names = ("NODI_TREES", "NODI_PROCESSES", "PACKAGES", f"FILES:{PACKAGE}", f"RDEPENDS:{PACKAGE}")
    found = {}
    with parse.stubs() as stub:
        for machine in parse.BOARDS:
            data = parse.recipe(root, stub, root / RECIPE, machine)
            found[machine] = {name: data.getVar(name) or "" for name in names}
    return found


def tree_faults(root: Path, by_board: dict[str, dict[str, str]]) -> list[Finding]:
    installed = {tree for board in by_board.values() for tree in board["NODI_TREES"].split()}
    there = {path.name for path in (root / TREES).iterdir() if path.is_dir()}
    found = [
        Finding(root / TREES / tree, "is installed on no board: name it in NODI_TREES, or it is the centre's")
        for tree in sorted(there - installed - {COMMON, CENTRE})
    ]
    found += [Finding(root / RECIPE, f"NODI_TREES names {tree}, which is not in {TREES}/") for tree in sorted(installed - there)]
    return found


def file_faults(root: Path, by_board: dict[str, dict[str, str]]) -> list[Finding]:
    found = {}
    for board in by_board.values():
        places = (*BY_DEFAULT, *board[f"FILES:{PACKAGE}"].split())
        for tree in (COMMON, *board["NODI_TREES"].split()):
            base = root / TREES / tree
            for path in sorted(base.rglob("*")):
                name = "/" + str(path.relative_to(base))
                is_file = path.is_symlink() or path.is_file()
                if is_file and not any(name.startswith(f"{place}/") for place in places):
                    found[path] = Finding(path, f"is installed and in no package: FILES:{PACKAGE} does not reach it")
    return list(found.values())


def process_faults(root: Path, board: dict[str, str]) -> list[Finding]:
    there = set(workspace(root).processes(str(root)))
    found = []
    for variable in ("NODI_PROCESSES", "PACKAGES", f"RDEPENDS:{PACKAGE}"):
        named = set(board[variable].split())
        if variable != "NODI_PROCESSES":
            named = {name for name in named if name.startswith("nodi-") and not name.startswith(PACKAGE)}
        for name in sorted(there - named):
            found.append(Finding(root / RECIPE, f"{variable} lacks {name}, a process of the workspace"))
        for name in sorted(named - there):
            found.append(Finding(root / RECIPE, f"{variable} names {name}, which is no process of the workspace"))
    return found


def check(root: Path) -> list[Finding]:
    by_board = variables(root)
    findings = tree_faults(root, by_board) + file_faults(root, by_board)
    return findings + process_faults(root, next(iter(by_board.values())))
