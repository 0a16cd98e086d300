"""Development keys that sign bundles: made at the first build, never in the repository. A box is worth what its
keyring is worth, so an image for real boxes is built with keys from somewhere else."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import places

DAYS = "3650"


@dataclass(frozen=True)
class Signer:
    authority: Path
    certificate: Path
    key: Path


def signer(name: str = "development") -> Signer:
    """The one that boxes trust; with any other name, one that they do not."""
    directory = places.PKI / name
    signer = Signer(directory / "ca.pem", directory / "signer.pem", directory / "signer.key")
    if not signer.certificate.exists():
        make(directory, name)
    return signer


def make(directory: Path, name: str) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS]

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN=Nodi bundles ({name})",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    # Of a self-signed certificate and a request alike, only the extensions that are asked for here are in the result.
    openssl("req", "-x509", *key, "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "signer.key", "-out", "signer.new",
            "-subj", f"/CN=Nodi bundle signer ({name})", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "keyUsage=critical,digitalSignature")  # fmt: skip
    (directory / "signer.new").rename(directory / "signer.pem")
