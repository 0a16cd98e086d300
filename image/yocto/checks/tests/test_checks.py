"""Each check finds what it is for, in a copy of the layer that is broken in one place."""

import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve()
ROOT = HERE.parents[4]
sys.path.insert(0, str(HERE.parents[1]))

import boards
import crates
import layout
import lint
import parse
import units

IGNORED = shutil.ignore_patterns("__pycache__")
APPLIANCE = parse.LAYER / "recipes-nodi/nodi-appliance/nodi-appliance_git.bb"
BUNDLE = parse.LAYER / "recipes-core/bundles/nodi-bundle_1.0.bb"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the checks read of a checkout."""
    for name in ("image/yocto", "systemd"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=IGNORED, symlinks=True)
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    for member in tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]:
        (tmp_path / member / "src").mkdir(parents=True)
        shutil.copy(ROOT / member / "Cargo.toml", tmp_path / member)
        if (ROOT / member / "src/main.rs").exists():
            (tmp_path / member / "src/main.rs").touch()
    crates.write(tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def said(findings: list, root: Path) -> str:
    return "\n".join(finding.text(root) for finding in findings)


def test_a_list_of_crates_that_was_just_written_is_right(root: Path) -> None:
    assert crates.check(root) == []


def test_a_crate_that_was_added_is_missing(root: Path) -> None:
    lock = root / "Cargo.lock"
    entry = '[[package]]\nname = "zzz"\nversion = "1.2.3"\nsource = "{}"\nchecksum = "{}"\n'
    lock.write_text(lock.read_text() + "\n" + entry.format(crates.REGISTRY, "ab" * 32))
    assert "zzz 1.2.3 is missing: run scripts/check-yocto --write" in said(crates.check(root), root)


def test_another_checksum_is_noticed(root: Path) -> None:
    path = root / crates.LIST
    line = next(line for line in path.read_text().splitlines() if line.startswith("SRC_URI[anyhow-"))
    edit(path, line, line[:-65] + "0" * 64 + '"')
    assert "anyhow" in said(crates.check(root), root)
    assert "another checksum" in said(crates.check(root), root)


def test_a_crate_from_elsewhere_is_refused(root: Path) -> None:
    edit(root / "Cargo.lock", crates.REGISTRY, "git+https://example.org/x#0000")
    assert "Cargo.lock" in said(crates.check(root), root)
    assert "registry only" in said(crates.check(root), root)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("inherit bundle", "inherit bumble", "bumble"),
        ('RAUC_BUNDLE_FORMAT = "verity"', 'RAUC_BUNDLE_FORMAT = "verity', "unparsed line"),
        ('"${NODI_RAUC_KEY}"', '"${@nodi.nothing()}"', "RAUC_KEY_FILE"),
    ],
)
def test_a_recipe_that_does_not_parse(root: Path, old: str, new: str, fault: str) -> None:
    edit(root / BUNDLE, old, new)
    text = said(parse.check(root), root)
    assert str(BUNDLE) in text
    assert fault in text


def test_the_linter_speaks_of_the_series(root: Path) -> None:
    edit(root / BUNDLE, "inherit bundle", 'RDEPENDS_${PN} = "x"\n\ninherit bundle')
    text = said(lint.check(root), root)
    assert "nodi-bundle_1.0.bb: line" in text
    assert "oelint" in text


def test_a_user_without_a_fixed_id(root: Path) -> None:
    edit(root / "systemd/box/usr/lib/sysusers.d/nodi-box.conf", "861", "-")
    text = said(parse.check(root), root)
    assert "nodi-ingest has no fixed id" in text


def test_a_file_that_no_package_has(root: Path) -> None:
    (root / "systemd/box/opt").mkdir()
    (root / "systemd/box/opt/lost").touch()
    assert "systemd/box/opt/lost: is installed and in no package" in said(units.check(root), root)


def test_a_tree_that_nobody_installs(root: Path) -> None:
    (root / "systemd/rooftop/etc").mkdir(parents=True)
    assert "systemd/rooftop: is installed on no board" in said(units.check(root), root)


def test_a_process_that_the_recipe_lacks(root: Path) -> None:
    edit(root / APPLIANCE, "nodi-agent nodi-bootslot", "nodi-bootslot")
    assert "NODI_PROCESSES lacks nodi-agent" in said(units.check(root), root)


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (
            "base.yml",
            "commit: 38da0e5866a953e664001ba90b5edad68d68cd5d",
            "commit: 38da0e5",
            "repos.meta-rauc: commit is '38da0e5', not a full hash",
        ),
        ("base.yml", "    commit: 38da0e5866a953e664001ba90b5edad68d68cd5d\n", "", "repos.meta-rauc: commit is None"),
        ("base.yml", "distro: nodi", "distros: nodi", "distros"),
        ("orin-nx.yml", "tegra.yml", "tegu.yml", "there is no image/yocto/tegu.yml"),
        ("orin-nx.yml", "p3768-0000-p3767-0000", "jetson-orin-nano-devkit", "is also the one of"),
        ("debug.yml", "header:", "header: [", "is no YAML"),
    ],
)
def test_a_kas_file_that_is_wrong(root: Path, file: str, old: str, new: str, fault: str) -> None:
    edit(root / "image/yocto" / file, old, new)
    assert fault in said(boards.check(root), root)


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (
            layout.LAYOUT,
            'name="APP_b" id="2"',
            'name="APP_b" id="5"',
            "APP_b is partition 5, and RAUC writes it to /dev/nvme0n1p2",
        ),
        (layout.LAYOUT, "0x808", "0x8", "data does not fill the drive"),
        (layout.REPART, "Type=58d6d1fb", "Type=00000000", "it would be made twice"),
        (layout.FSTAB, "PARTLABEL=data", "PARTLABEL=state", "does not look for the partition named data"),
    ],
)
def test_partitions_that_do_not_agree(root: Path, file: Path, old: str, new: str, fault: str) -> None:
    edit(root / file, old, new)
    assert fault in said(layout.check(root), root)


@pytest.mark.parametrize("check", [crates.check, parse.check, layout.check, boards.check, lint.check])
def test_nothing_is_found_where_nothing_is_wrong(root: Path, check: Callable[[Path], list]) -> None:
    assert said(check(root), root) == ""
