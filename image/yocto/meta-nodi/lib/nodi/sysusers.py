"""sysusers.d(5) as parameters of the useradd class: a root that is read-only cannot make users when it boots."""

import shlex
from collections.abc import Iterator
from pathlib import Path

NO_SHELL = "/sbin/nologin"
FIELDS = 6


class UnusableLine(Exception):
    """A line that cannot be turned into a user."""


def _lines(directories: list[str]) -> Iterator[tuple[str, list[str]]]:
    for directory in directories:
        for path in sorted(Path(directory).glob("*.conf")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                fields = shlex.split(line, comments=True)
                if fields:
                    yield f"{path}:{number}", (fields + ["-"] * FIELDS)[:FIELDS]


def _id(where: str, name: str, text: str) -> str:
    # Files on the data partition outlive the root file system: an id that each image chooses anew would give
    # them to somebody else.
    if not text.isdigit():
        raise UnusableLine(f"{where}: {name} has no fixed id ({text})")
    return text


def parameters(directories: list[str]) -> tuple[str, str]:
    """GROUPADD_PARAM and USERADD_PARAM of the users in these directories."""
    groups: list[str] = []
    users: dict[str, str] = {}
    memberships: dict[str, list[str]] = {}
    for where, (kind, name, second, _, home, shell) in _lines(directories):
        if kind == "g":
            groups.append(f"--system --gid {_id(where, name, second)} {name}")
        elif kind in ("u", "u!"):
            number = _id(where, name, second)
            groups.append(f"--system --gid {number} {name}")
            home = "/" if home == "-" else home
            shell = NO_SHELL if shell == "-" else shell
            users[name] = f"--system --uid {number} --gid {name} --no-create-home --home-dir {home} --shell {shell}"
        elif kind == "m":
            memberships.setdefault(name, []).append(second)
        else:
            raise UnusableLine(f"{where}: a line of kind {kind!r} is not known here")
    for name, names in memberships.items():
        if name not in users:
            raise UnusableLine(f"{name} is made a member of {', '.join(names)}, and is no user of ours")
        users[name] += f" --groups {','.join(names)}"
    return "; ".join(groups), "; ".join(f"{options} {name}" for name, options in users.items())
