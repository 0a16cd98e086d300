"""A publisher, and what a viewer would see of it."""

import itertools
from pathlib import Path
from types import TracebackType
from urllib.parse import urljoin

import requests

from .box import Box
from .centre import Centre
from .places import tool
from .process import Process
from .wait import until

# A media playlist is polled like a player of plain HLS does it.
FETCH_S = 5


class Publisher:
    """ffmpeg with a moving picture and a tone, encoded as it goes: small, so that the test's encoder leaves the box's alone."""

    def __init__(self, centre: Centre, box: Box, size: str = "640x360", rate: int = 15, clip: Path | None = None) -> None:
        self._centre = centre
        self._box = box
        self._size, self._rate, self._clip = size, rate, clip
        self._process: Process | None = None

    def __enter__(self) -> "Publisher":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        ffmpeg = [tool("ffmpeg"), "-hide_banner", "-nostats", "-loglevel", "warning"]
        if self._clip is None:
            source = [
                "-re", "-f", "lavfi", "-i", f"testsrc2=size={self._size}:rate={self._rate}",
                "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
                "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
                "-b:v", "600k", "-g", str(self._rate * 2), "-c:a", "aac", "-b:a", "64k",
            ]  # fmt: skip
        else:
            source = ["-re", "-stream_loop", "-1", "-i", str(self._clip), "-c", "copy"]
        url = f"{self._box.rtmp_url()}/{self._centre.stream_key()}"
        self._process = Process("publisher", [*ffmpeg, *source, "-f", "flv", url], self._centre.logs)

    @property
    def process(self) -> Process:
        assert self._process is not None, "the publisher was not started"
        return self._process

    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def check(self) -> None:
        self.process.check()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None


def fetch(url: str) -> str:
    """A playlist; anything but success raises."""
    answer = requests.get(url, timeout=FETCH_S)
    answer.raise_for_status()
    return answer.text


def rungs(centre: Centre) -> dict[str, str]:
    """Of the multivariant playlist: the address of each video rung, by its name."""
    url = centre.playlist_url()
    lines = fetch(url).splitlines()
    found = {}
    for line, following in itertools.pairwise(lines):
        if line.startswith("#EXT-X-STREAM-INF:"):
            found[Path(following.split("?")[0]).stem] = urljoin(url, following)
    return found


def segments(playlist_url: str) -> list[str]:
    """Addresses of the complete segments in a media playlist."""
    lines = fetch(playlist_url).splitlines()
    return [urljoin(playlist_url, line) for line in lines if line and not line.startswith("#")]


def newest(playlist_url: str) -> int:
    """The media sequence number of the newest complete segment; -1 before the first."""
    lines = fetch(playlist_url).splitlines()
    first = next(int(line.split(":")[1]) for line in lines if line.startswith("#EXT-X-MEDIA-SEQUENCE:"))
    return first + sum(1 for line in lines if line and not line.startswith("#")) - 1


def wait_live(centre: Centre, box: Box, publisher: Publisher, least: int = 1, timeout: float = 40) -> dict[str, str]:
    """The rungs, once each of them has so many segments that can be fetched."""

    def look() -> dict[str, str] | None:
        publisher.check()
        found = rungs(centre)
        for url in found.values():
            listed = segments(url)
            if len(listed) < least:
                return None
            answer = requests.get(listed[-1], timeout=FETCH_S)
            answer.raise_for_status()
            if not answer.content:
                return None
        return found or None

    return until("every rung of the ladder can be watched", look, timeout * box.machine.pace, 0.5)


def wait_going_on(centre: Centre, box: Box, since: int, timeout: float = 40) -> int:
    """That the playlist grows beyond `since`; the newest number."""

    def look() -> int | None:
        now = max(newest(url) for url in rungs(centre).values())
        return now if now > since else None

    found = until(f"a segment after {since}", look, timeout * box.machine.pace, 0.5)
    assert found is not None
    return found
