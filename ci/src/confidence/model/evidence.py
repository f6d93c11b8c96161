"""Evidence: all that one run left behind, read, checked and folded, before anybody judges it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from confidence.model.endings import Ending, RunEnding, SuiteEnding
from confidence.model.plan import Plan, SuiteSpec
from confidence.model.records import RED_OUTCOMES, CaseOutcome, CaseRecord, Counts, count


class Flaw(enum.StrEnum):
    """What can be wrong with a piece of evidence."""

    MISSING = "missing"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    FOREIGN = "foreign"
    STALE = "stale"
    DUPLICATED = "duplicated"


@dataclass(frozen=True, slots=True)
class EvidenceProblem:
    """A piece of evidence that cannot be believed, by its name; a harmless one only explains something else."""

    flaw: Flaw
    source: str
    sentence: str
    is_harmless: bool = False


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One pytest process of a suite; without an end it was killed, or left without a word."""

    process: str
    pid: int
    is_worker: bool
    started_at: str
    finished_at: str | None = None
    exit_status: int | None = None


@dataclass(frozen=True, slots=True)
class CollectFailure:
    """A file or class whose tests could not be collected, so nobody knows what it would have said."""

    id: str
    longrepr: str


@dataclass(frozen=True, slots=True)
class Crash:
    """A worker process that died, with the tests at work in it."""

    worker: str
    ids_running: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file that a test says belongs to it; the path is relative to the run directory."""

    case_id: str
    attempt: int
    kind: str
    path: str


@dataclass(frozen=True)
class SuiteEvidence:
    """What one planned suite left: how it ended, and what became of each test."""

    spec: SuiteSpec
    endings: tuple[SuiteEnding, ...] = ()
    cases: tuple[CaseRecord, ...] = ()
    deselected: tuple[str, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    collect_failures: tuple[CollectFailure, ...] = ()
    crashes: tuple[Crash, ...] = ()
    attachments: tuple[AttachedFile, ...] = ()
    scenarios: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By test the scenarios that it says it plays."""

    @property
    def name(self) -> str:
        """The suite's name in the plan."""
        return self.spec.name

    @cached_property
    def counts(self) -> Counts:
        """Tests by outcome."""
        return count(self.cases)

    @cached_property
    def red_cases(self) -> tuple[CaseRecord, ...]:
        """Tests that are not proved and were not left out on purpose."""
        return tuple(case for case in self.cases if case.outcome in RED_OUTCOMES)

    @cached_property
    def executed(self) -> tuple[CaseRecord, ...]:
        """Tests that really ran to an end of their own: neither skipped nor lost."""
        idle = {CaseOutcome.SKIPPED, CaseOutcome.LOST}
        return tuple(case for case in self.cases if case.outcome not in idle)

    @property
    def ended_by_itself(self) -> bool:
        """Whether there is an ending, and nobody had to end any part of the suite."""
        return bool(self.endings) and all(ending.ending is Ending.FINISHED for ending in self.endings)

    @property
    def seconds(self) -> float:
        """Wall time; shards run side by side, so the longest counts."""
        return max((ending.seconds for ending in self.endings), default=0.0)

    @property
    def is_green(self) -> bool:
        """The suite ended well, something ran, and nothing in it is red."""
        well = self.ended_by_itself and all(ending.exit_code == 0 for ending in self.endings)
        return well and bool(self.executed) and not self.red_cases and not self.collect_failures


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """Statements and branches of one source file, never mixed into one figure."""

    path: str
    statements: int
    statements_covered: int
    branches: int
    branches_covered: int
    missing_lines: tuple[int, ...] = ()

    @property
    def line_percent(self) -> float:
        """Statements that ran, of a hundred, rounded down so that a floor is never reached by rounding."""
        return _percent(self.statements_covered, self.statements)

    @property
    def branch_percent(self) -> float:
        """Branches taken, of a hundred, rounded down."""
        return _percent(self.branches_covered, self.branches)


def _percent(covered: int, total: int) -> float:
    return (covered * 10_000 // total) / 100 if total else 100.0


@dataclass(frozen=True, slots=True)
class CoverageEvidence:
    """The combined coverage of a run, or the reasons why there is none."""

    suites: tuple[str, ...]
    data_files: tuple[str, ...] = ()
    files: Mapping[str, FileCoverage] = field(default_factory=dict)
    problems: tuple[EvidenceProblem, ...] = ()
    json_path: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every expected data file was read whole and something was measured."""
        return bool(self.files) and not self.problems


@dataclass(frozen=True, slots=True)
class ArtifactEntry:
    """One file of the bundle; a required one that does not exist counts as missing."""

    path: str
    kind: str
    sha256: str
    bytes: int
    required: bool
    exists: bool


@dataclass(frozen=True, slots=True)
class BrowserFile:
    """A trace, screenshot or other browser artefact, with the command that opens it."""

    path: str
    kind: str
    suite: str
    case_id: str
    attempt: int
    open_command: str
    redactions: int


@dataclass(frozen=True)
class Evidence:
    """One run, complete enough to be judged by pure functions; nothing here is younger or older than the run."""

    run_dir: Path
    plan: Plan
    suites: tuple[SuiteEvidence, ...]
    run: RunEnding | None = None
    problems: tuple[EvidenceProblem, ...] = ()
    coverage: CoverageEvidence | None = None
    gated_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each glob of the coverage gate the source files that it matches."""
    artifacts: tuple[ArtifactEntry, ...] = ()
    browser_files: tuple[BrowserFile, ...] = ()
    baseline: frozenset[str] | None = None
    """Node ids that must exist; nothing where no baseline was frozen with the plan."""
    where: str = ""
    """The run directory as a command that is typed in the repository names it."""
    sources: tuple[str, ...] = ()
    """The bundles that were merged into this one."""

    @cached_property
    def counts(self) -> Counts:
        """Tests of all suites by outcome."""
        return count([case for suite in self.suites for case in suite.cases])

    @property
    def missing_artifacts(self) -> tuple[ArtifactEntry, ...]:
        """Required files that are not there."""
        return tuple(entry for entry in self.artifacts if entry.required and not entry.exists)

    @property
    def serious_problems(self) -> tuple[EvidenceProblem, ...]:
        """Flaws that forbid a verdict."""
        return tuple(problem for problem in self.problems if not problem.is_harmless)

    @property
    def is_interrupted(self) -> bool:
        """Somebody ended the run before it was over."""
        if self.run is not None and self.run.interrupted:
            return True
        return any(ending.ending is Ending.INTERRUPTED for suite in self.suites for ending in suite.endings)

    @property
    def is_infrastructure(self) -> bool:
        """The machine, not the product, failed the run."""
        if self.run is not None and self.run.infrastructure:
            return True
        return any(ending.ending is Ending.INFRASTRUCTURE for suite in self.suites for ending in suite.endings)
