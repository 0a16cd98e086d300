"""What only the board can show."""

import time
from pathlib import Path
from typing import Any

import pytest

from nodi_hw import stream
from nodi_hw.box import Box
from nodi_hw.centre import CHANNEL, Centre
from nodi_hw.places import ROOT, tool
from nodi_hw.process import Process
from nodi_hw.stream import Publisher

pytestmark = [pytest.mark.lg_feature("board")]

LADDER_S = 600
THERMAL_S = 1800
# Of all cores together: demultiplexing, cutting and sending of one 1080p60 session, while the encoder does the encoding.
CPU_SHARE = 0.35
CLIP_S = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1080p60 as OBS sends it, encoded once so that this machine's speed does not count."""
    place = tmp_path_factory.mktemp("clip") / "1080p60.flv"
    command = [
        tool("ffmpeg"), "-loglevel", "warning",
        "-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=60", "-f", "lavfi", "-i", "sine=sample_rate=48000",
        "-t", str(CLIP_S), "-c:v", "libx264", "-preset", "veryfast", "-b:v", "6M", "-maxrate", "6M", "-bufsize", "6M",
        "-g", "120", "-keyint_min", "120", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k",
        str(place),
    ]  # fmt: skip
    assert Process("clip", command, place.parent).wait(LADDER_S) == 0
    return place


def status(box: Box) -> dict[str, Any]:
    """What the newest worker says of itself."""
    return dict(box.json(f"cat $(ls -t /var/spool/nodi/{CHANNEL}/*/status.json | head -n 1)"))


def test_the_elements_are_what_the_table_says(box: Box) -> None:
    """Every property that the back end sets, with type, range and default, as the driver on this board has it."""
    box.run("nodi-transcode --config /etc/nodi/transcode.toml check-elements", 120)


def test_the_encoder_encodes(box: Box, centre: Centre, clip: Path) -> None:
    with Publisher(centre, box, clip=clip) as publisher:
        stream.wait_live(centre, box, publisher, least=3)
        assert status(box)["backend"] == "jetson"
        time.sleep(20)
        seen = centre.fleet.summary(box.id())
        assert (seen["encoder"] or 0) > 0, "the encoder is idle while something is encoded"
        assert (seen["cpu"] or 1) <= CPU_SHARE, f"{seen['cpu']:.0%} of the processor for one 1080p60 session"


def dropped(sample: dict[str, Any]) -> int:
    """Frames that should have been encoded and were not, on all rungs."""
    return sum(int(rung["dropped"]) for rung in sample["rungs"])


def run_for(box: Box, centre: Centre, clip: Path, seconds: int) -> list[dict[str, Any]]:
    """The worker's status, every ten seconds."""
    samples = []
    with Publisher(centre, box, clip=clip) as publisher:
        stream.wait_live(centre, box, publisher, least=2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            publisher.check()
            samples.append(status(box))
            time.sleep(10)
    return samples


def test_no_frame_is_dropped_in_ten_minutes(box: Box, centre: Centre, clip: Path) -> None:
    samples = run_for(box, centre, clip, LADDER_S)
    assert dropped(samples[-1]) == 0, samples[-1]
    assert all(sample["overload"] == "none" and not sample["warnings"] for sample in samples), samples[-1]


def test_heat_does_not_slow_it_down(box: Box, centre: Centre, clip: Path) -> None:
    samples = run_for(box, centre, clip, THERMAL_S)
    seen = centre.fleet.summary(box.id())
    assert all(reason["code"] not in ("hot", "throttling") for reason in seen["reasons"]), seen["reasons"]
    assert dropped(samples[-1]) == 0, samples[-1]


def test_flashing_from_nothing(box: Box) -> None:
    """Last, since it leaves nothing of the box: needs the wire to the recovery button and an image."""
    target = getattr(box.machine, "target", None)
    assert target is not None
    flash = target.get_driver("InitrdFlashDriver")
    if not (ROOT / "target").exists():
        pytest.skip("no image was built")
    flash.flash()
    box.power_on()
    box.wait_up(180)
    assert not box.succeeds("test -e /var/lib/nodi/agent/identity/enrolled.json")
