"""Runs the suites of a plan side by side within the cores, and ends them all when somebody asks for it."""

from collections.abc import Callable, Iterable
from typing import Protocol

from confidence.execution.suite_run import SuiteRun, Workshop, ending_without_start
from confidence.execution.watchdog import Expiry
from confidence.model.endings import Ending, SuiteEnding
from confidence.model.plan import SuiteSpec

LOOK_SECONDS = 0.1
_INTERRUPTED = Expiry(Ending.INTERRUPTED, "somebody ended the run while the suite was at work")
_NEVER_BEGUN = Expiry(Ending.NOT_STARTED, "the run was ended before its turn came")


class Watcher(Protocol):
    """Somebody who wants to see what happens."""

    def suite_started(self, run: SuiteRun) -> None:
        """A suite begins."""
        ...

    def suites_looked_at(self, runs: Iterable[SuiteRun], waiting: int) -> None:
        """Another moment has passed."""
        ...

    def suite_ended(self, run: SuiteRun, ending: SuiteEnding) -> None:
        """A suite is over."""
        ...


class Interruptions:
    """How often somebody asked the run to end: once is a request, twice is impatience."""

    def __init__(self) -> None:
        self.count = 0

    def ask(self, *_: object) -> None:
        """Ask once more; a signal handler, so it only counts."""
        self.count += 1


def next_to_start(waiting: list[SuiteSpec], weight_at_work: int, cores: int) -> SuiteSpec | None:
    """The first waiting suite that fits beside those at work; one heavier than the machine runs alone."""
    for spec in waiting:
        if weight_at_work == 0 or weight_at_work + spec.weight <= cores:
            return spec
    return None


class Schedule:
    """The suites of one plan, on their way from waiting to ended."""

    def __init__(
        self,
        workshop: Workshop,
        watcher: Watcher,
        interruptions: Interruptions,
        *,
        cores: int,
        start: Callable[[SuiteSpec], SuiteRun],
    ) -> None:
        self._shop = workshop
        self._watcher = watcher
        self._interruptions = interruptions
        self._cores = cores
        self._start = start
        self._waiting = list(workshop.plan.suites_to_run)
        self._at_work: list[SuiteRun] = []
        self._endings: list[SuiteEnding] = []

    def run(self) -> tuple[SuiteEnding, ...]:
        """Run everything that is planned.

        Returns:
            One ending per suite that this run executes, whatever happened.
        """
        try:
            while self._waiting or self._at_work:
                self._step()
        finally:
            # Only a fault of the runner or of the disk leaves anybody at work here; nobody may outlive the run.
            for run in self._at_work:
                run.abandon()
        return tuple(self._endings)

    def _step(self) -> None:
        if self._interruptions.count:
            self._stop_everything()
        else:
            self._start_what_fits()
        self._look_at_everything()
        if self._at_work:
            self._shop.clock.rest(LOOK_SECONDS)

    def _start_what_fits(self) -> None:
        weight = sum(run.spec.weight for run in self._at_work)
        while (spec := next_to_start(self._waiting, weight, self._cores)) is not None:
            self._waiting.remove(spec)
            weight += spec.weight
            run = self._start(spec)
            self._watcher.suite_started(run)
            failed = run.start()
            if failed is None:
                self._at_work.append(run)
            else:
                self._end(run, failed)

    def _look_at_everything(self) -> None:
        for run in list(self._at_work):
            ending = run.look()
            if ending is not None:
                self._at_work.remove(run)
                self._end(run, ending)
        self._watcher.suites_looked_at(self._at_work, len(self._waiting))

    def _stop_everything(self) -> None:
        for run in self._at_work:
            run.stop(_INTERRUPTED)
            if self._interruptions.count > 1:
                run.hurry()
        for spec in self._waiting:
            now = self._shop.clock.now()
            ending = ending_without_start(self._shop.plan, spec, self._shop.directory, now, _NEVER_BEGUN)
            self._endings.append(ending)
        self._waiting.clear()

    def _end(self, run: SuiteRun, ending: SuiteEnding) -> None:
        self._endings.append(ending)
        self._watcher.suite_ended(run, ending)
