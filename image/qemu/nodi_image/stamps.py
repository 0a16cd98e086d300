"""Which products are up to date: each has a stamp that names everything it was made from."""

import fcntl
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import places
from .steps import BuildError


def files_below(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_symlink() or path.is_file())


def digest_of(paths: Iterable[Path], *words: str) -> str:
    """Of names, modes and content of files, of where links point, and of words. Large files count by size and time."""
    large = 1 << 20
    total = hashlib.sha256()
    for path in paths:
        total.update(f"\0{path}\0".encode())
        if path.is_symlink():
            total.update(str(path.readlink()).encode())
            continue
        facts = path.stat()
        total.update(f"{facts.st_mode:o}\0".encode())
        if facts.st_size > large:
            total.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
        else:
            total.update(path.read_bytes())
    for word in words:
        total.update(f"\0{word}".encode())
    return total.hexdigest()


def own_sources() -> list[Path]:
    """The builder itself: what it makes depends on how it makes it."""
    return sorted((places.HERE / "nodi_image").glob("*.py"))


def stamp(product: Path) -> Path:
    where = hashlib.sha256(str(product.absolute()).encode()).hexdigest()[:8]
    return places.STAMPS / f"{product.name}.{where}"


def of(product: Path) -> str:
    """What a product that was built is made from."""
    return stamp(product).read_text()


def is_current(product: Path, digest: str) -> bool:
    return product.exists() and stamp(product).exists() and of(product) == digest


def mark(product: Path, digest: str) -> None:
    places.STAMPS.mkdir(parents=True, exist_ok=True)
    stamp(product).write_text(digest)


def remove(product: Path) -> None:
    """The stamp first, so that what is left of an interrupted build is never taken for the product."""
    stamp(product).unlink(missing_ok=True)
    # Whatever somebody mounted there is theirs.
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if Path(line.split()[1]).is_relative_to(product):
            raise BuildError(f"{line.split()[1]} is mounted: unmount it first")
    if product.is_dir() and not product.is_symlink():
        shutil.rmtree(product)
    else:
        product.unlink(missing_ok=True)


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other builder works here."""
    places.PRODUCTS.mkdir(parents=True, exist_ok=True)
    with (places.PRODUCTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
