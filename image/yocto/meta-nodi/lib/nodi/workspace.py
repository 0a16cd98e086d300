"""The Cargo workspace."""

import tomllib
from pathlib import Path
from typing import Any

# Where the members lie that are processes of a box, or that only those use.
BOX = "appliance"
# This file within the checkout.
HERE = Path("image/yocto/meta-nodi/lib/nodi/workspace.py")


def checkout() -> str:
    """The repository that this file belongs to."""
    return str(Path(__file__).resolve().parents[len(HERE.parts) - 1])


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def version(root: str) -> str:
    """The version of all members."""
    return _toml(Path(root, "Cargo.toml"))["workspace"]["package"]["version"]


def _members(root: str) -> dict[str, str]:
    """Path of each member by its package's name."""
    members = _toml(Path(root, "Cargo.toml"))["workspace"]["members"]
    return {_toml(Path(root, member, "Cargo.toml"))["package"]["name"]: member for member in members}


def processes(root: str) -> list[str]:
    """Names of the packages that a box runs, sorted: members below appliance/ that are a program."""
    return sorted(
        name
        for name, member in _members(root).items()
        if Path(member).parts[0] == BOX and Path(root, member, "src/main.rs").exists()
    )


def sources(root: str, packages: list[str]) -> list[str]:
    """Directories that these packages are built from: theirs, and those of the members that they need."""
    members = _members(root)
    needs = {}
    for package in _toml(Path(root, "Cargo.lock"))["package"]:
        # "name", or "name version" where there are several.
        needs[package["name"]] = [need.split()[0] for need in package.get("dependencies", [])]
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        if name in members and name not in found:
            found.add(name)
            waiting.extend(needs.get(name, []))
    return sorted(members[name] for name in found)


def files(directory: str) -> tuple[list[str], list[str]]:
    """Everything below a directory: files, and links as "name>target", since what they point to may be elsewhere."""
    paths = sorted(Path(directory).rglob("*"))
    links = [f"{path.relative_to(directory)}>{path.readlink()}" for path in paths if path.is_symlink()]
    return [str(path) for path in paths if path.is_file() and not path.is_symlink()], links
