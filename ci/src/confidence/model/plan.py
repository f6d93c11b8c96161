"""What a run promises before anything starts: its suites, its gates, and every override, frozen and digested.

``plan.json`` is the first file of a run directory. All that follows is judged against it: a suite that it names and
that left no evidence did not pass, it did not run.
"""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confidence.model.shapes import from_json, to_json

SCHEMA_VERSION = 1
NO_TIER = "no-tier"
"""The tier's name in a run of suites for their own sake."""


class Priority(enum.StrEnum):
    """How much a suite weighs: a red P0 suite stops a launch, whatever else is green."""

    P0 = "P0"
    P1 = "P1"


class EvidenceKind(enum.StrEnum):
    """Where the outcome of a suite's tests is read from."""

    EVENTS = "events"
    """Our pytest plugin, or a command that writes the same lines into ``CONFIDENCE_EVENTS_DIR``."""
    JUNIT = "junit"
    """A foreign runner, which leaves ``*.xml`` in ``CONFIDENCE_JUNIT_DIR`` (``junit/foreign/<suite>/``)."""
    EXIT_CODE = "exit_code"
    """A command that is one test: the runner itself writes its events (``events/<suite>/runner.jsonl``)."""


@dataclass(frozen=True, slots=True)
class PytestSelection:
    """What pytest is asked to run: paths relative to the repository, and further arguments such as ``-m``."""

    paths: tuple[str, ...]
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SuiteSpec:
    """One suite of the plan. Exactly one of ``command`` and ``pytest`` is given.

    A suite that runs twice in one run is planned twice: the repetition has a name of its own
    (``backend-critical-round-2``), says whose repetition it is, and is judged like any other suite.
    """

    name: str
    priority: Priority
    command: tuple[str, ...] = ()
    pytest: PytestSelection | None = None
    evidence: EvidenceKind = EvidenceKind.EVENTS
    workers: int = 0
    """Processes of pytest-xdist; 0 runs the tests in the main process."""
    dist: str = "load"
    weight: int = 1
    """Cores that the suite keeps busy; suites run side by side while their weights fit."""
    timeout_test_seconds: float = 60.0
    timeout_idle_seconds: float = 120.0
    timeout_suite_seconds: float = 600.0
    retries: int = 0
    min_tests: int = 1
    required_artifacts: tuple[str, ...] = ()
    """Globs relative to the run directory; each must match at least one file."""
    coverage: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    repeats: str = ""
    """The name of the suite that this one repeats, or nothing."""
    round: int = 1


@dataclass(frozen=True, slots=True)
class GateSpec:
    """A gate that judges this run, with its settings (thresholds) after every override."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Override:
    """A setting that the environment or the command line changed; one that weakens can never be GO."""

    name: str
    value: str
    weakens: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the evidence comes from."""

    commit: str
    dirty: bool
    branch: str
    python: str
    versions: Mapping[str, str]
    machine: str
    cores: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The frozen plan of one run. ``plan_digest`` covers everything that decides what runs and how it is judged."""

    run_id: str
    tier: str
    created_at: str
    """UTC, ISO 8601 with a trailing ``Z``."""
    budget_seconds: float
    suites: tuple[SuiteSpec, ...]
    gates: tuple[GateSpec, ...]
    overrides: tuple[Override, ...]
    provenance: Provenance
    config_digest: str
    selected: tuple[str, ...] = ()
    """The suites that this run executes. The others are left to runs elsewhere, whose bundles are merged with this one;
    alone it is no evidence of the whole plan. Not part of the digest, so that the parts know each other."""
    dry_run: bool = False
    tracked_digest: str = ""
    """Digest of the tracked files' state before the first suite; compared with the ending's."""
    project: str = ""
    plan_digest: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def suites_to_run(self) -> tuple[SuiteSpec, ...]:
        """The suites that this run executes."""
        return tuple(spec for spec in self.suites if spec.name in self.selected)

    @property
    def weakened(self) -> bool:
        """Whether an override asks for less than the configuration does."""
        return any(override.weakens for override in self.overrides)

    def suite(self, name: str) -> SuiteSpec:
        """The suite of that name.

        Raises:
            KeyError: the plan has no such suite.
        """
        return next((spec for spec in self.suites if spec.name == name), None) or _missing(name)

    def sealed(self) -> "Plan":
        """This plan with its digest."""
        return dataclasses.replace(self, plan_digest=self.computed_digest())

    def computed_digest(self) -> str:
        """What the digest must be; another one means that the plan was changed after it was frozen."""
        counted = {name: value for name, value in to_json(self).items() if name not in _NOT_DIGESTED}
        counted["commit"] = self.provenance.commit
        canonical = json.dumps(counted, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The JSON object of ``plan.json``."""
        written: dict[str, Any] = to_json(self)
        return written

    @staticmethod
    def from_json(value: Any) -> "Plan":
        """Read ``plan.json``.

        Raises:
            MalformedRecordError: a member is missing or has another type.
        """
        return from_json(Plan, value, "plan.json")


_NOT_DIGESTED = frozenset({"plan_digest", "run_id", "created_at", "selected", "provenance"})
"""What differs between the machines that run parts of one plan; the commit is counted by itself."""


def _missing(name: str) -> SuiteSpec:
    raise KeyError(name)
