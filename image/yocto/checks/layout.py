"""The drive's partitions are named in four places, by three tools of other people: they have to mean the same ones."""

import configparser
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import parse
from finding import Finding

LAYOUT = parse.LAYER / "dynamic-layers/tegra/recipes-bsp/tegra-binaries/files/nodi-nvme.xml"
FSTAB = parse.LAYER / "recipes-core/base-files/base-files_%.bbappend"
REPART = parse.LAYER / "recipes-nodi/nodi-system/files/data.conf"
INITRAMFS = parse.LAYER / "dynamic-layers/tegra/recipes-nodi/nodi-initramfs/files/platform-pre-switchroot"
# As UEFI and meta-tegra's initramfs look for them.
SLOTS = {"NODI_SLOT_A": "APP", "NODI_SLOT_B": "APP_b"}
DATA = "data"
JETSON = "p3768-0000-p3767-0000"
FILL_TO_END = 0x800


def _text(partition: ElementTree.Element, name: str) -> str:
    return (partition.findtext(name) or "").strip()


def layout_faults(partitions: dict[str, ElementTree.Element], slots: dict[str, str]) -> list[str]:
    found = []
    for variable, name in SLOTS.items():
        number = re.search(r"p(\d+)$", slots[variable])
        if name not in partitions:
            found.append(f"there is no partition {name}, which UEFI boots")
        elif number is None or partitions[name].get("id") != number[1]:
            found.append(f"{name} is partition {partitions[name].get('id')}, and RAUC writes it to {slots[variable]}")
        elif _text(partitions[name], "size") != "APPSIZE":
            found.append(f"{name} has a size of its own, and both slots have to be as large as the image expects")
    if DATA not in partitions:
        found.append(f"there is no partition {DATA}")
    elif not int(_text(partitions[DATA], "allocation_attribute") or "0", 16) & FILL_TO_END:
        found.append(f"{DATA} does not fill the drive")
    return found


def check(root: Path) -> list[Finding]:
    path = root / LAYOUT
    try:
        partitions = {part.get("name", ""): part for part in ElementTree.parse(path).iter("partition")}
    except ElementTree.ParseError as error:
        return [Finding(path, f"is no XML: {error}")]
    with parse.stubs() as stub:
        data = parse.configuration(root, stub, JETSON)
        slots = {name: str(data.getVar(name)) for name in SLOTS}
    findings = [Finding(path, fault) for fault in layout_faults(partitions, slots)]

    repart = configparser.ConfigParser(interpolation=None)
    repart.read(root / REPART)
    grown = repart["Partition"]
    kind = _text(partitions[DATA], "partition_type_guid") if DATA in partitions else ""
    if grown.get("Type", "").lower() != kind.lower():
        findings.append(
            Finding(root / REPART, f"Type is {grown.get('Type')}, and the layout's {DATA} is {kind}: it would be made twice")
        )
    if grown.get("Label") != DATA:
        findings.append(Finding(root / REPART, f"Label is {grown.get('Label')}, not {DATA}"))
    for user in (FSTAB, INITRAMFS):
        if f"PARTLABEL={DATA} " not in (root / user).read_text():
            findings.append(Finding(root / user, f"does not look for the partition named {DATA}"))
    return findings
