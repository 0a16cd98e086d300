"""The stand-in for the boot loader keeps the launcher's rules."""

from pathlib import Path

import pytest

from nodi_hw.launcher import MAX_TRIES, Launcher, NoSlot, State


def test_a_new_box_starts_with_a(tmp_path: Path) -> None:
    assert Launcher(tmp_path).choose(cold=True) == "A"


def test_a_trial_is_given_up_after_three_attempts(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    launcher.save(State(next="B", trial="B"))
    assert [launcher.choose(cold=False) for _ in range(4)] == ["B", "B", "B", "A"]
    assert launcher.load() == State(next="A", tries_a=MAX_TRIES - 1, tries_b=0, status_b=255)


def test_power_cuts_count_in_a_trial_only(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    launcher.save(State(next="B", trial="B"))
    assert [launcher.choose(cold=True) for _ in range(4)] == ["B", "B", "B", "A"]
    assert [launcher.choose(cold=True) for _ in range(9)] == ["A"] * 9


def test_a_damaged_copy_is_not_believed(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    launcher.save(State(next="B"))
    first = tmp_path / "launcher/state1"
    first.write_text(first.read_text().replace("next=B", "next=A"))
    assert launcher.load() == State(next="B")


def test_no_slot_is_left(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    launcher.save(State(status_a=255, status_b=255))
    with pytest.raises(NoSlot):
        launcher.choose(cold=True)
