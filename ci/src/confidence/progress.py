"""Shows a person which suite runs, how far it is and how long it takes: live on a terminal, plain lines elsewhere."""

from collections.abc import Iterable

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from confidence.execution.suite_run import SuiteRun
from confidence.model.endings import Ending, SuiteEnding

STILL_RUNNING_SECONDS = 15.0
_GOOD = frozenset({"passed", "skipped", "xfailed"})
_NAMES_SHOWN = 1


class PlainProgress:
    """One line when a suite starts and ends, and one now and then while it works."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, float] = {}

    def suite_started(self, run: SuiteRun) -> None:
        """A suite begins."""
        self._say(f"{run.spec.name}: started ({run.spec.priority}, ends within {run.spec.timeout_suite_seconds:g} s)")

    def suites_looked_at(self, runs: Iterable[SuiteRun], waiting: int) -> None:
        """Another moment has passed."""
        for run in runs:
            if run.age_seconds - self._told.get(run.spec.name, 0.0) >= STILL_RUNNING_SECONDS:
                self._told[run.spec.name] = run.age_seconds
                self._say(f"{run.spec.name}: {run.age_seconds:.0f} s, {_counted(run)}; {waiting} suites wait")

    def suite_ended(self, run: SuiteRun, ending: SuiteEnding) -> None:
        """A suite is over."""
        self._say(f"{run.spec.name}: {_summed_up(run, ending)}")

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class LiveProgress:
    """A table of the suites at work that redraws itself, and a line for each that has ended."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def suite_started(self, run: SuiteRun) -> None:
        """A suite begins; it shows in the table."""

    def suites_looked_at(self, runs: Iterable[SuiteRun], waiting: int) -> None:
        """Another moment has passed."""
        table = Table.grid(padding=(0, 2))
        for run in runs:
            running = ", ".join(run.tail.ids_running[:_NAMES_SHOWN])
            table.add_row(Text(run.spec.name, "bold"), f"{run.age_seconds:.0f} s", _counted(run), Text(running, "dim"))
        if waiting:
            table.add_row(Text(f"{waiting} suites wait", "dim"))
        self._live.update(table)

    def suite_ended(self, run: SuiteRun, ending: SuiteEnding) -> None:
        """A suite is over."""
        style = "green" if _looks_good(run, ending) else "red"
        self._console.print(Text(f"{run.spec.name}: {_summed_up(run, ending)}", style), soft_wrap=True)


def _looks_good(run: SuiteRun, ending: SuiteEnding) -> bool:
    """Whether nothing bad was seen so far; only the gates judge."""
    return ending.ending is Ending.FINISHED and ending.exit_code == 0 and set(run.tail.outcomes) <= _GOOD


def _counted(run: SuiteRun) -> str:
    if not run.tail.outcomes:
        return "no test finished yet"
    return ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(run.tail.outcomes.items()))


def _summed_up(run: SuiteRun, ending: SuiteEnding) -> str:
    return f"{ending.seconds:.1f} s, {_counted(run)}; {ending.sentence}"
