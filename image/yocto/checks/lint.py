"""oelint-adv over all recipes and configuration of the layer: what the Yocto project's style asks for in our series."""

import re
import subprocess
import sys
from pathlib import Path

from finding import Finding
from parse import LAYER, recipes

SERIES = "wrynose"
CONSTANTS = Path("image/yocto/checks/oelint.json")
# Rules that do not fit, each with its reason.
NOT_OURS = {
    # It asks for a web server's answer.
    "oelint.vars.homepageping": "checks need no network",
    # Boards are overrides of their own.
    "oelint.vars.noncoreoverride": "a layer for boards overrides by board",
    # Licences' texts come from openembedded-core.
    "oelint.var.licenseremotefile": "our own files have no licence file beside them",
    # The sources are the checkout.
    "oelint.var.mandatoryvar.SRC_URI": "recipes that build the checkout, and images, download nothing",
}
LINE = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+):(?P<rest>\w+:.*)$")


def files(root: Path) -> list[Path]:
    return sorted([*recipes(root), *(root / LAYER).rglob("*.conf")])


def command(root: Path) -> list[str]:
    tool = Path(sys.executable).with_name("oelint-adv")
    options = ["--quiet"]
    for rule in NOT_OURS:
        options += ["--suppress", rule]
    options += ["--release", SERIES, "--hide", "info", "--extra-layer", "rauc", f"--constantmods=+{root / CONSTANTS}"]
    return [str(tool), *options, "--", *map(str, files(root))]


def check(root: Path) -> list[Finding]:
    done = subprocess.run(command(root), cwd=root, capture_output=True, text=True, check=False)
    findings = []
    for line in done.stderr.splitlines() + done.stdout.splitlines():
        if match := LINE.match(line):
            findings.append(Finding(Path(match["file"]), f"line {match['line']}: {match['rest']}"))
    if done.returncode != 0 and not findings:
        said = (done.stderr or done.stdout).strip()
        findings.append(Finding(root / LAYER, f"oelint-adv ended with {done.returncode}: {said}"))
    return findings
