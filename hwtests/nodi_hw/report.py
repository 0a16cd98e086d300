"""What a run says at its end: each test with its time, and each power cut with what came back."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .places import TARGET


@dataclass
class Cut:
    """One power cut."""

    point: str
    came_back: str
    gate: str
    reported: str
    seconds: float


@dataclass
class Report:
    """Of one run."""

    tests: list[tuple[str, str, float]] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    def lines(self) -> list[str]:
        rows = [f"{outcome:8} {seconds:7.1f} s  {name}" for name, outcome, seconds in self.tests]
        if self.cuts:
            rows += ["", f"{len(self.cuts)} power cuts"]
            table = [("cut at", "came back on", "health gate", "reported", "up after")]
            table += [(c.point, c.came_back, c.gate, c.reported, f"{c.seconds:.1f} s") for c in self.cuts]
            widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
            rows += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        return rows


class ReportPlugin:
    """Collects what pytest says, and shows it: a failure at once, since a run takes hours."""

    def __init__(self, environment: str) -> None:
        self.report = Report()
        self._environment = environment
        self._setup: dict[str, float] = {}
        self._terminal: pytest.TerminalReporter | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._terminal = session.config.pluginmanager.get_plugin("terminalreporter")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The time of what a test had to wait for first, such as a boot, is the test's too."""
        if report.when == "setup":
            self._setup[report.nodeid] = report.duration
        if report.when == "call" or report.outcome != "passed":
            seconds = report.duration + (self._setup.get(report.nodeid, 0.0) if report.when == "call" else 0.0)
            name = report.nodeid.removeprefix("tests/")
            if report.skipped and isinstance(report.longrepr, tuple):
                name += f"   ({report.longrepr[2].removeprefix('Skipped: ')})"
            self.report.tests.append((name, report.outcome, seconds))
        if report.failed and self._terminal is not None:
            self._terminal.write_line("")
            self._terminal.write_line(report.longreprtext)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = self.report.lines()
        terminalreporter.section(f"{self._environment}: tests and power cuts")
        for line in lines:
            terminalreporter.write_line(line)
        place = TARGET / "hwtests" / f"{self._environment}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text("\n".join(lines) + "\n")
