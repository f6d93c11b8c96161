"""One run from the request to the verdict: plan, execute, assemble the evidence, judge it, report it.

Everything after the execution is a function of the run directory alone; `confidence gate` does it again at any time.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from confidence.evidence import assemble
from confidence.execution.lock import only_run
from confidence.execution.run_directory import RunDirectory, run_id_of, write_json
from confidence.execution.scheduling import Interruptions, Schedule, Watcher
from confidence.execution.suite_run import SuiteRun, Workshop, ending_without_start, iso
from confidence.execution.watchdog import Expiry
from confidence.gates import judge_all
from confidence.model.endings import Ending, RunEnding, SuiteEnding
from confidence.model.plan import Plan
from confidence.ports import Clock, Launcher, SourceTree
from confidence.reports import Summary, write_reports
from confidence.suites.configuration import Configuration
from confidence.suites.overrides import Request, tier_of
from confidence.suites.planning import digest_of_state, freeze_plan

_DRY = Expiry(Ending.NOT_STARTED, "a dry run starts nothing, and proves nothing")


@dataclass(frozen=True, slots=True)
class World:
    """What a run takes from outside."""

    tree: Path
    configuration: Configuration
    clock: Clock
    launcher: Launcher
    source_tree: SourceTree
    environment: Mapping[str, str]
    python: str
    chance: Callable[[], str]
    """A few characters that tell two runs of one second apart."""
    interruptions: Interruptions = field(default_factory=Interruptions)

    @property
    def artifacts(self) -> Path:
        """Where the run directories lie."""
        return self.tree / self.configuration.artifacts


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over."""

    directory: Path
    plan: Plan
    summary: Summary


def execute_run(
    world: World, request: Request, watcher: Watcher, *, run_id: str | None = None, wait_seconds: float = 0.0
) -> Run:
    """Do one run from beginning to end.

    Args:
        world: what the run takes from outside.
        request: what is to be run.
        watcher: who wants to see what happens.
        run_id: the name of the run; made from the moment when absent.
        wait_seconds: how long to wait for another run in this tree.

    Raises:
        ConfigurationError: the request makes no sense.
        TreeIsBusyError: another run is at work in this tree.
        RunDirectoryError: the run id was used before.
        OSError: the machine failed, for example its disk is full.
    """
    with _listening(world.interruptions), only_run(world.artifacts, world.clock, wait_seconds=wait_seconds):
        plan, directory, state = _begin(world, request, run_id)
        began_at, began = world.clock.now(), world.clock.monotonic()
        endings = _skip(plan, directory, began_at) if plan.dry_run else _execute(world, plan, directory, watcher)
        seconds = world.clock.monotonic() - began
        ending = _run_ending(world, plan, endings, state_before=state, began_at=began_at, seconds=seconds)
        write_json(directory.path / "run.json", ending.to_json())
    summary = conclude(directory.path)
    if not plan.dry_run:
        directory.become_latest()
    return Run(directory.path, plan, summary)


def conclude(directory: Path) -> Summary:
    """Judge a run directory and write its reports, as often as one likes.

    Args:
        directory: a run directory, or several merged into one.
    """
    evidence = assemble(directory)
    return write_reports(directory, evidence, judge_all(evidence))


def _begin(world: World, request: Request, run_id: str | None) -> tuple[Plan, RunDirectory, Mapping[str, str]]:
    now = world.clock.now()
    state = world.source_tree.tracked_state()
    tier = tier_of(world.configuration, request).name
    plan = freeze_plan(
        world.configuration,
        request,
        world.environment,
        run_id=run_id or run_id_of(now, tier, world.chance()),
        created_at=now,
        provenance=world.source_tree.provenance(),
        tracked_state=state,
    )
    directory = RunDirectory.create(world.artifacts, plan.run_id)
    directory.write_plan(plan)
    return plan, directory, state


def _execute(world: World, plan: Plan, directory: RunDirectory, watcher: Watcher) -> tuple[SuiteEnding, ...]:
    shop = Workshop(
        tree=world.tree,
        plan=plan,
        directory=directory,
        launcher=world.launcher,
        clock=world.clock,
        python=world.python,
        coverage_rcfile=world.tree / world.configuration.coverage_rcfile,
        stop_grace_seconds=world.configuration.stop_grace_seconds,
        inherited=world.environment,
    )
    cores = plan.provenance.cores
    return Schedule(shop, watcher, world.interruptions, cores=cores, start=lambda spec: SuiteRun(shop, spec)).run()


def _skip(plan: Plan, directory: RunDirectory, now: datetime) -> tuple[SuiteEnding, ...]:
    return tuple(ending_without_start(plan, spec, directory, now, _DRY) for spec in plan.suites_to_run)


def _run_ending(
    world: World,
    plan: Plan,
    endings: tuple[SuiteEnding, ...],
    *,
    state_before: Mapping[str, str],
    began_at: datetime,
    seconds: float,
) -> RunEnding:
    state = world.source_tree.tracked_state()
    infrastructure = any(ending.ending is Ending.INFRASTRUCTURE for ending in endings)
    return RunEnding(
        run_id=plan.run_id,
        started_at=iso(began_at),
        finished_at=iso(world.clock.now()),
        seconds=round(seconds, 3),
        interrupted=bool(world.interruptions.count),
        sentence=_run_sentence(plan, interrupted=bool(world.interruptions.count)),
        tracked_digest=digest_of_state(state),
        tracked_changes=tuple(sorted({name for name, _ in state_before.items() ^ state.items()})),
        infrastructure=infrastructure,
    )


def _run_sentence(plan: Plan, *, interrupted: bool) -> str:
    if plan.dry_run:
        return "a dry run: nothing was executed"
    return "somebody ended the run" if interrupted else "every suite had its turn"


@contextlib.contextmanager
def _listening(interruptions: Interruptions) -> Iterator[None]:
    """While suites are at work a signal only asks; afterwards it ends the command at once, as everywhere."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interruptions.ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
