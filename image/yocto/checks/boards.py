"""The kas files: kas's own schema, layers pinned by full commits, and each board under a name of its own."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from finding import Finding

PLACE = Path("image/yocto")
FULL_HASH = re.compile(r"[0-9a-f]{40}")
# This checkout needs neither address nor commit.
OURS = "nodi"


def schema() -> dict[str, Any]:
    return json.loads((files("kas") / "schema-kas.json").read_text())


def schema_faults(document: Any, validator: Any) -> list[str]:
    errors = sorted(validator.iter_errors(document), key=lambda error: list(error.absolute_path))
    return [f"{'.'.join(map(str, error.absolute_path)) or 'the file'}: {error.message}" for error in errors]


def pin_faults(document: Any) -> list[str]:
    found = []
    for name, repo in (document.get("repos") or {}).items():
        repo = repo or {}
        if name == OURS and "url" not in repo:
            continue
        if not FULL_HASH.fullmatch(str(repo.get("commit", ""))):
            found.append(f"repos.{name}: commit is {repo.get('commit')!r}, not a full hash")
        if not str(repo.get("url", "")).startswith("https://"):
            found.append(f"repos.{name}: url is {repo.get('url')!r}, not a public https address")
    return found


def include_faults(document: Any, root: Path) -> list[str]:
    names = (document.get("header") or {}).get("includes") or []
    return [f"header.includes: there is no {name}" for name in names if not (root / str(name)).is_file()]


def check(root: Path) -> list[Finding]:
    validator = jsonschema.Draft7Validator(schema())
    findings = []
    boards: dict[str, Path] = {}
    for path in sorted((root / PLACE).glob("*.yml")):
        try:
            document = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            findings.append(Finding(path, f"is no YAML: {error}"))
            continue
        if not isinstance(document, dict):
            findings.append(Finding(path, "is no kas file"))
            continue
        found = schema_faults(document, validator) + pin_faults(document) + include_faults(document, root)
        machine = document.get("machine")
        if machine in boards:
            found.append(f"machine: {machine} is also the one of {boards[machine].name}")
        elif machine:
            boards[machine] = path
        findings += [Finding(path, fault) for fault in found]
    return findings


def machines(root: Path) -> set[str]:
    """What there are kas files for."""
    documents = (yaml.safe_load(path.read_text()) for path in (root / PLACE).glob("*.yml"))
    return {document["machine"] for document in documents if "machine" in document}
