"""RTMP in, a ladder out at the origin."""

import pytest

from nodi_hw import stream
from nodi_hw.box import Box
from nodi_hw.centre import CHANNEL, Centre
from nodi_hw.stream import Publisher


def ladder(box: Box) -> set[str]:
    """The rungs that the worker says it encodes."""
    status = box.json(f"cat $(ls -t /var/spool/nodi/{CHANNEL}/*/status.json | head -n 1)")
    return {rung["name"] for rung in status["rungs"] if rung["state"]["state"] != "gone"}


@pytest.mark.quick
def test_streams_end_to_end(box: Box, centre: Centre) -> None:
    with Publisher(centre, box) as publisher:
        found = stream.wait_live(centre, box, publisher, least=2)
        assert ladder(box) <= set(found), "not every rung that is encoded can be watched"
        assert found
        assert box.sessions()[0]["channel"] == CHANNEL
        box.wait_for("the fleet sees the session", lambda: centre.fleet.summary(box.id())["sessions"] == 1, 20)
    box.wait_for("the session is over", lambda: not box.sessions(), 20)


def test_a_wrong_key_is_refused(box: Box, centre: Centre) -> None:
    publisher = Publisher(centre, box)
    key = centre.stream_key()
    centre_key, wrong = key, key[:-4] + ("AAAA" if not key.endswith("AAAA") else "BBBB")
    centre._key = wrong
    try:
        with publisher:
            box.wait_for("ffmpeg gives up", lambda: not publisher.running(), 20)
        assert box.sessions() == []
    finally:
        centre._key = centre_key


def test_a_killed_worker_is_replaced(box: Box, centre: Centre) -> None:
    with Publisher(centre, box) as publisher:
        found = stream.wait_live(centre, box, publisher)
        before = max(stream.newest(url) for url in found.values())
        box.run("systemctl kill --signal=KILL --kill-who=main 'nodi-transcode@*.service'")
        stream.wait_going_on(centre, box, before + 1)
        publisher.check()
    box.wait_for("the session is over", lambda: not box.sessions(), 20)
    box.run("systemctl reset-failed")
