"""The box, its machine and its centre for all tests: one of each a run."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodi_hw.box import Box, Machine
from nodi_hw.bundles import Bundles
from nodi_hw.centre import Centre
from nodi_hw.machines import machine_of
from nodi_hw.report import Report, ReportPlugin

ORDER = (
    "test_launcher",
    "test_boot",
    "test_stream",
    "test_sandbox",
    "test_watchdog",
    "test_faults",
    "test_update",
    "test_power_cuts",
    "test_jetson",
)
_PLUGIN = pytest.StashKey[ReportPlugin]()
_FAILED = pytest.StashKey[bool]()
# The one of this run, once there is one.
_BOXES: list[Box] = []


def pytest_configure(config: pytest.Config) -> None:
    # Whoever ends the run leaves no machine, namespace or server behind.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    environment = config.getoption("lg_env", default=None)
    name = Path(environment).stem if environment else "none"
    plugin = ReportPlugin(name)
    config.stash[_PLUGIN] = plugin
    config.pluginmanager.register(plugin, "nodi-report")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """From what everything else needs to what asks the most."""
    items.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.stem in ORDER else 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failure shows what the box said last: by the time that somebody looks, it is gone."""
    report = yield
    if report.failed:
        item.session.stash[_FAILED] = True
        for box in _BOXES:
            report.sections.append(("console", box.machine.console()))
            status, journal = box.try_run("journalctl --no-pager -b -n 150 -o short-precise")
            if status == 0:
                report.sections.append(("journal", journal))
    return report


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[_PLUGIN].report


@pytest.fixture(scope="session")
def features(env: Any) -> set[str]:
    """Of the environment, as its file names them."""
    return set(env.get_features()) | set(env.get_target_features())


@pytest.fixture(scope="session")
def machine(target: Any) -> Iterator[Machine]:
    """Off, and never switched on before."""
    found = machine_of(target)
    yield found
    found.power_cut()


@pytest.fixture(scope="session")
def centre(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Centre]:
    directory = Path(tempfile.mkdtemp(prefix="nodi-hw-centre-"))
    running = Centre(directory, machine.reach())
    yield running
    running.stop()
    if request.session.stash.get(_FAILED, False):
        print(f"the centre's logs are kept in {running.logs}")  # noqa: T201 (for the person who looks into it)
    else:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def booted(machine: Machine, centre: Centre) -> Box:
    """Up for the first time, with nothing but a claim code."""
    machine.provision(centre.provisioning())
    box = Box(machine)
    _BOXES.append(box)
    box.power_on()
    box.wait_up()
    return box


@pytest.fixture(scope="session")
def claimed(booted: Box, centre: Centre) -> Box:
    """Has come in with it."""
    booted.wait_for("the box is the fleet's", lambda: centre.fleet.settled(booted.id()), 60)
    return booted


@pytest.fixture(scope="session")
def bundles(features: set[str]) -> Bundles:
    return Bundles("verity" if "verity" in features else "plain")


@pytest.fixture
def box(claimed: Box, centre: Centre) -> Box:
    """On, up and online, whatever the test before has left."""
    if not claimed.machine.is_on():
        claimed.power_on()
    claimed.machine.network_mend()
    claimed.wait_up()
    claimed.wait_for("the box is online", lambda: centre.fleet.settled(claimed.id()), 60)
    return claimed
