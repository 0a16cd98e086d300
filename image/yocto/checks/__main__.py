"""Whatever can be said of the Yocto layer without building it.

check-yocto            all checks; says file and fault, and ends with 1 if there is one
check-yocto --write    writes the recipe's list of crates anew from Cargo.lock
"""

import argparse
import sys
import time
from pathlib import Path

import boards
import crates
import layout
import lint
import parse
import units

ROOT = Path(__file__).resolve().parents[3]
# What each looks at, in words.
CHECKS = {
    "list of crates": crates.check,
    "parser": parse.check,
    "units and processes": units.check,
    "partitions": layout.check,
    "kas files": boards.check,
    "oelint-adv": lint.check,
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="write the list of crates anew")
    if arguments.parse_args().write:
        crates.write(ROOT)
        return 0
    began = time.monotonic()
    findings = []
    for name, check in CHECKS.items():
        try:
            findings += check(ROOT)
        except Exception as error:
            sys.exit(f"check-yocto: {name}: {type(error).__name__}: {error}")
    missing = boards.machines(ROOT) ^ set(parse.BOARDS)
    for machine in sorted(missing):
        print(f"image/yocto: {machine} has a kas file and no line in checks/parse.py, or the other way round")
    for finding in findings:
        print(finding.text(ROOT))
    if findings or missing:
        return 1
    recipes = len(parse.recipes(ROOT))
    print(f"check-yocto: {recipes} recipes on {len(parse.BOARDS)} boards, {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
