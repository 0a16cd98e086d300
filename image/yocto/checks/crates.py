"""The recipe's list of crates is Cargo.lock, in the form in which bitbake's update_crates writes it: bitbake downloads each crate
itself and compares it with the checksum, and cargo then finds all of them without a network."""

import re
import tomllib
from pathlib import Path

from finding import Finding

LIST = Path("image/yocto/meta-nodi/recipes-nodi/nodi-appliance/nodi-appliance-crates.inc")
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
HOW = "run scripts/check-yocto --write"
# How many differences are told one by one.
SHOWN = 5

Crate = tuple[str, str]


def locked(root: Path) -> tuple[dict[Crate, str], list[Finding]]:
    """Checksum by name and version of all that comes from the registry."""
    lock = root / "Cargo.lock"
    crates: dict[Crate, str] = {}
    findings = []
    for package in tomllib.loads(lock.read_text())["package"]:
        source = package.get("source")
        name = f"{package['name']} {package['version']}"
        if source is None:
            continue
        if source != REGISTRY or "checksum" not in package:
            findings.append(Finding(lock, f"{name} comes from {source}: the recipe knows crates of the registry only"))
            continue
        crates[package["name"], package["version"]] = package["checksum"]
    return crates, findings


def render(crates: dict[Crate, str]) -> str:
    lines = ["# Written by scripts/check-yocto --write", "", "# from Cargo.lock", 'SRC_URI += "\\']
    lines += [f"    crate://crates.io/{name}/{version} \\" for name, version in crates]
    lines += ['"', ""]
    lines += [f'SRC_URI[{name}-{version}.sha256sum] = "{checksum}"' for (name, version), checksum in crates.items()]
    return "\n".join(lines) + "\n"


def listed(text: str) -> tuple[set[Crate], dict[str, str]]:
    """What a list downloads, and the checksums in it."""
    names = set(re.findall(r"^\s+crate://crates\.io/([^/\s]+)/(\S+) \\$", text, re.MULTILINE))
    sums = dict(re.findall(r'^SRC_URI\[(\S+)\.sha256sum\] = "([0-9a-f]{64})"$', text, re.MULTILINE))
    return names, sums


def differences(text: str, crates: dict[Crate, str]) -> list[str]:
    names, sums = listed(text)
    found = [f"{name} {version} is missing" for name, version in sorted(crates.keys() - names)]
    found += [f"{name} {version} is not in Cargo.lock" for name, version in sorted(names - crates.keys())]
    for (name, version), checksum in sorted(crates.items()):
        if (name, version) in names and sums.get(f"{name}-{version}") != checksum:
            found.append(f"{name} {version} has another checksum than in Cargo.lock")
    known = {f"{name}-{version}" for name, version in crates}
    found += [f"there is a checksum for {key}, which is not in Cargo.lock" for key in sorted(sums.keys() - known)]
    if not found and text != render(crates):
        found.append("is not written as scripts/check-yocto writes it")
    return found


def check(root: Path) -> list[Finding]:
    crates, findings = locked(root)
    path = root / LIST
    if not path.exists():
        return [*findings, Finding(path, f"is missing: {HOW}")]
    found = differences(path.read_text(), crates)
    findings += [Finding(path, f"{fault}: {HOW}") for fault in found[:SHOWN]]
    if len(found) > SHOWN:
        findings.append(Finding(path, f"and {len(found) - SHOWN} more: {HOW}"))
    return findings


def write(root: Path) -> None:
    crates, _ = locked(root)
    (root / LIST).write_text(render(crates))
