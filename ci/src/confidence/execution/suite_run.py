"""One suite from its start until nothing of it is alive: running, being stopped, over.

Nothing here waits: the caller looks again and again, so that one suite that dies slowly never holds up the others.
"""

import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from confidence.execution.command_evidence import PROCESS, CommandEvidence
from confidence.execution.commands import SuiteHome, command_of, environment_of, make_folders, marker_of
from confidence.execution.event_tail import EventTail
from confidence.execution.event_writer import EventWriter
from confidence.execution.run_directory import RunDirectory, write_json
from confidence.execution.run_identity import RunIdentity
from confidence.execution.watchdog import Expiry, expiry_of
from confidence.model.endings import Ending, LeakedProcess, SuiteEnding
from confidence.model.plan import EvidenceKind, Plan, SuiteSpec
from confidence.ports import Clock, Launcher, SuiteProcess

SETTLE_SECONDS = 1.0
"""How long a suite's processes may take to follow their command, before they count as leaked."""
NOTE_SECONDS = 1.0
UNKILLABLE_SECONDS = 10.0
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every suite of a run is run with."""

    tree: Path
    plan: Plan
    directory: RunDirectory
    launcher: Launcher
    clock: Clock
    python: str
    coverage_rcfile: Path
    stop_grace_seconds: float
    inherited: Mapping[str, str]


class SuiteRun:
    """A suite at work. ``start``, then ``look`` until it hands over the ending."""

    def __init__(self, workshop: Workshop, spec: SuiteSpec) -> None:
        self.spec = spec
        self._shop = workshop
        self._directory = workshop.directory
        temporary = Path(tempfile.mkdtemp(prefix="cf-"))
        self._home = SuiteHome(workshop.tree, workshop.directory, temporary, workshop.python, workshop.coverage_rcfile)
        self.command = command_of(spec, self._home)
        self.tail = EventTail(workshop.directory.events / spec.name)
        self._process: SuiteProcess | None = None
        self._evidence: CommandEvidence | None = None
        self._began_at: datetime = workshop.clock.now()
        self._began = self._alive_at = self._noted = workshop.clock.monotonic()
        self._log_size = 0
        self._command_gone: float | None = None
        self._expiry: Expiry | None = None
        self._stopped: float | None = None
        self._leaked: Sequence[LeakedProcess] = ()
        self._is_killed = False

    @property
    def age_seconds(self) -> float:
        """Since it was started."""
        return self._shop.clock.monotonic() - self._began

    def start(self) -> SuiteEnding | None:
        """Start the command.

        Returns:
            The ending, when it could not be started.
        """
        spec, log = self.spec, self._directory.log_of(self.spec.name)
        make_folders(spec, self._home)
        environment = environment_of(self._shop.plan, spec, self._home, self._shop.inherited)
        try:
            self._process = self._shop.launcher.start(
                self.command,
                folder=self._home.tree,
                environment=environment,
                log=log,
                marker=marker_of(self._shop.plan, spec, self._home),
            )
        except OSError as refused:
            self._expiry = Expiry(Ending.INFRASTRUCTURE, f"{self.command[0]} could not be started: {refused.strerror}")
            return self._finish(None)
        if spec.evidence is EvidenceKind.EXIT_CODE:
            identity = RunIdentity.of_environment(environment)
            if identity is not None:
                self._evidence = CommandEvidence(spec.name, EventWriter(identity, PROCESS, self._shop.clock.now))
                self._evidence.begin(self.command)
        return None

    def stop(self, reason: Expiry) -> None:
        """End the suite from outside; a suite whose time is up leaves its stacks first."""
        if self._process is None or self._stopped is not None:
            return
        if reason.ending in {Ending.TIMED_OUT, Ending.IDLE}:
            self._process.dump_stacks(self._directory.stacks_of(self.spec.name))
        self._expiry = reason
        self._begin_stopping()

    def hurry(self) -> None:
        """Grant no more grace."""
        if self._process is not None and self._stopped is not None:
            self._process.kill()
            self._is_killed = True

    def abandon(self) -> None:
        """End everything at once and write nothing down: the run itself has failed."""
        if self._process is not None:
            self._process.kill()
        shutil.rmtree(self._home.temporary, ignore_errors=True)

    def look(self) -> SuiteEnding | None:
        """Take one step.

        Returns:
            The ending, once nothing of the suite is alive.
        """
        process = self._process
        if process is None:
            return None
        self._notice_signs_of_life()
        status = process.exit_status()
        if self._stopped is not None:
            return self._look_at_stopping(process, status)
        if status is not None:
            return self._look_at_remains(process, status)
        self._note_members(process)
        now = self._shop.clock.monotonic()
        reason = expiry_of(self.spec, age_seconds=now - self._began, silence_seconds=now - self._alive_at)
        if reason is not None:
            self.stop(self._with_running_tests(reason))
        return None

    def _look_at_remains(self, process: SuiteProcess, status: int) -> SuiteEnding | None:
        """The command has ended by itself: whoever does not follow it soon was leaked."""
        now = self._shop.clock.monotonic()
        if self._command_gone is None:
            self._command_gone = now
        remains = process.members()
        if not remains:
            return self._finish(status)
        if now - self._command_gone >= SETTLE_SECONDS:
            self._leaked = remains
            self._begin_stopping()
        return None

    def _look_at_stopping(self, process: SuiteProcess, status: int | None) -> SuiteEnding | None:
        """The suite is being ended: first asked, then forced, and never waited for without end."""
        stopped = self._stopped or 0.0
        waited = self._shop.clock.monotonic() - stopped
        if not process.members():
            return self._finish(status)
        if not self._is_killed and waited >= self._shop.stop_grace_seconds:
            self._is_killed = True
            process.kill()
        if waited >= self._shop.stop_grace_seconds + UNKILLABLE_SECONDS:
            self._leaked = process.members()
            return self._finish(status)
        return None

    def _begin_stopping(self) -> None:
        if self._process is not None:
            self._stopped = self._shop.clock.monotonic()
            self._process.terminate()

    def _notice_signs_of_life(self) -> None:
        """Events are the sign of life of tests; output is that of commands which write none."""
        lives = self.tail.look()
        if self.spec.evidence is not EvidenceKind.EVENTS:
            size = self._directory.log_of(self.spec.name).stat().st_size
            lives, self._log_size = lives or size > self._log_size, size
        if lives:
            self._alive_at = self._shop.clock.monotonic()

    def _note_members(self, process: SuiteProcess) -> None:
        now = self._shop.clock.monotonic()
        if now - self._noted >= NOTE_SECONDS:
            self._noted = now
            process.note_members()

    def _with_running_tests(self, reason: Expiry) -> Expiry:
        running = self.tail.ids_running
        if not running:
            return Expiry(reason.ending, f"{reason.sentence}; no test was running")
        names = ", ".join(running[:_NAMES_SHOWN])
        more = f" and {len(running) - _NAMES_SHOWN} more" if len(running) > _NAMES_SHOWN else ""
        return Expiry(reason.ending, f"{reason.sentence} while running {names}{more}")

    def _finish(self, status: int | None) -> SuiteEnding:
        """Write down how it ended, and clear its temporary folder away."""
        ending = self._ending(status)
        if self._evidence is not None:
            log = self._directory.log_of(self.spec.name)
            self._evidence.end(ending.ending, ending.exit_code, ending.seconds, log)
        write_json(self._directory.ending_of(self.spec.name), ending.to_json())
        shutil.rmtree(self._home.temporary, ignore_errors=True)
        return ending

    def _ending(self, status: int | None) -> SuiteEnding:
        log, stacks = self._directory.log_of(self.spec.name), self._directory.stacks_of(self.spec.name)
        reason = self._expiry or Expiry(Ending.FINISHED, _finished_sentence(status, self._leaked))
        return SuiteEnding(
            suite=self.spec.name,
            priority=self.spec.priority,
            command=self.command,
            started_at=iso(self._began_at),
            finished_at=iso(self._shop.clock.now()),
            seconds=round(self.age_seconds, 3),
            exit_code=status if status is not None and status >= 0 else None,
            signal=_signal_name(status),
            ending=reason.ending,
            sentence=reason.sentence,
            leaked_processes=tuple(self._leaked),
            log=self._directory.relative(log) if log.exists() else "",
            stacks=self._directory.relative(stacks) if stacks.exists() else "",
            plan_digest=self._shop.plan.plan_digest,
        )


def ending_without_start(
    plan: Plan, spec: SuiteSpec, directory: RunDirectory, now: datetime, reason: Expiry
) -> SuiteEnding:
    """Write down that a planned suite never began."""
    ending = SuiteEnding(
        suite=spec.name,
        priority=spec.priority,
        command=spec.command,
        started_at=iso(now),
        finished_at=iso(now),
        seconds=0.0,
        exit_code=None,
        signal=None,
        ending=reason.ending,
        sentence=reason.sentence,
        plan_digest=plan.plan_digest,
    )
    write_json(directory.ending_of(spec.name), ending.to_json())
    return ending


def iso(moment: datetime) -> str:
    """A UTC moment as evidence writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _signal_name(status: int | None) -> str | None:
    if status is None or status >= 0:
        return None
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _finished_sentence(status: int | None, leaked: Sequence[LeakedProcess]) -> str:
    end = f"ended by {_signal_name(status)}" if _signal_name(status) else f"ended with {status}"
    if not leaked:
        return f"the command {end}"
    names = "; ".join(f"{process.command} (process {process.pid})" for process in leaked)
    return f"the command {end} and left processes behind, which were ended: {names}"
