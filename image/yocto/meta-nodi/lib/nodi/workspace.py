"""The Cargo workspace."""

import os
import tomllib

# Where the members lie that are processes of a box, or that only those use.
BOX = "appliance"


def checkout():
    """The repository that this file belongs to."""
    path = os.path.abspath(__file__)
    for _ in range(len(("image", "yocto", "meta-nodi", "lib", "nodi", "workspace.py"))):
        path = os.path.dirname(path)
    return path


def _toml(path):
    with open(path, "rb") as file:
        return tomllib.load(file)


def version(root):
    """The version of all members."""
    return _toml(os.path.join(root, "Cargo.toml"))["workspace"]["package"]["version"]


def _members(root):
    """Path of each member by its package's name."""
    found = {}
    for member in _toml(os.path.join(root, "Cargo.toml"))["workspace"]["members"]:
        manifest = _toml(os.path.join(root, member, "Cargo.toml"))
        found[manifest["package"]["name"]] = member
    return found


def processes(root):
    """Names of the packages that a box runs, sorted: members below appliance/ that are a program."""
    return sorted(
        name
        for name, member in _members(root).items()
        if member.split("/")[0] == BOX and os.path.exists(os.path.join(root, member, "src", "main.rs"))
    )


def sources(root, packages):
    """Directories that these packages are built from: theirs, and those of the members that they need."""
    members = _members(root)
    needs = {}
    for package in _toml(os.path.join(root, "Cargo.lock"))["package"]:
        # "name", or "name version" where there are several.
        needs[package["name"]] = [need.split()[0] for need in package.get("dependencies", [])]
    found, waiting = set(), list(packages)
    while waiting:
        name = waiting.pop()
        if name in members and name not in found:
            found.add(name)
            waiting.extend(needs.get(name, []))
    return sorted(members[name] for name in found)


def files(directory):
    """Everything below a directory: files, and links as "name>target", since what they point to may be elsewhere."""
    plain, links = [], []
    for place, directories, names in os.walk(directory):
        for name in names + directories:
            path = os.path.join(place, name)
            if os.path.islink(path):
                links.append(f"{os.path.relpath(path, directory)}>{os.readlink(path)}")
            elif name in names:
                plain.append(path)
    return sorted(plain), sorted(links)
