"""Reads ``confidence.toml``: the suites of a repository, its tiers, and the settings of its gates."""

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidence.model.plan import EvidenceKind, Priority, PytestSelection, SuiteSpec
from confidence.suites.errors import ConfigurationError
from confidence.suites.tables import Table, nearest

DISTRIBUTIONS = ("load", "loadfile", "loadgroup", "loadscope", "worksteal")
_SECTIONS = ("gates", "project", "suites", "tiers")
SUITE_SETTINGS = (
    *("command", "dist", "environment", "evidence", "min_tests", "priority", "pytest", "required_artifacts"),
    *("retries", "timeout_idle_seconds", "timeout_suite_seconds", "timeout_test_seconds", "weight", "workers"),
)


@dataclass(frozen=True, slots=True)
class Tier:
    """A named set of suites and gates for one occasion."""

    name: str
    suites: tuple[str, ...]
    gates: tuple[str, ...]
    budget_seconds: float
    alias: str = ""
    p0_rounds: int = 1
    """How often the P0 suites run inside one run of this tier."""
    coverage: tuple[str, ...] = ()
    """The suites that are measured: the same suite is quick in one tier and measured in another."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that ``confidence.toml`` says."""

    project: str
    artifacts: str
    coverage_rcfile: str
    coverage_override_prefix: str
    """Variables ``<PREFIX>_<CLASS>_<LINE|BRANCH>`` set the floors of the coverage gate; empty where none may."""
    stop_grace_seconds: float
    suites: Mapping[str, SuiteSpec]
    tiers: Mapping[str, Tier]
    gates: Mapping[str, Mapping[str, Any]]
    digest: str
    """Of the file's bytes."""

    def tier(self, name: str) -> Tier:
        """The tier of that name or alias.

        Raises:
            ConfigurationError: there is none.
        """
        for tier in self.tiers.values():
            if name in {tier.name, tier.alias}:
                return tier
        raise ConfigurationError(f"there is no tier {name!r}{nearest(name, self.tiers)}")


def read_configuration(path: Path, known_gates: Collection[str]) -> Configuration:
    """Read and check the file.

    Args:
        path: the file.
        known_gates: the gates that exist; a tier that names another one would be judged by nothing.

    Raises:
        ConfigurationError: the file is absent, is no TOML, or asks for something that makes no sense.
    """
    try:
        content = path.read_bytes()
        value = tomllib.loads(content.decode("utf-8"))
    except FileNotFoundError as absent:
        raise ConfigurationError(f"{path} does not exist") from absent
    except (OSError, ValueError) as unreadable:
        raise ConfigurationError(f"{path} cannot be read: {unreadable}") from unreadable
    return parse_configuration(value, known_gates, digest=hashlib.sha256(content).hexdigest())


def parse_configuration(value: Mapping[str, Any], known_gates: Collection[str], *, digest: str = "") -> Configuration:
    """Check what a file says.

    Raises:
        ConfigurationError: it asks for something that makes no sense.
    """
    top = Table(value, "")
    for name in top.names():
        if name not in _SECTIONS:
            raise ConfigurationError(f"there is no section {name!r}{nearest(name, _SECTIONS)}")
    project = top.table("project")
    project.only(("artifacts", "coverage_override_prefix", "coverage_rcfile", "name", "stop_grace_seconds"))
    suites = {name: _suite(name, top.table("suites").table(name)) for name in top.table("suites").names()}
    gates = {name: top.table("gates").table(name).as_mapping() for name in top.table("gates").names()}
    _refuse_unknown_gates(gates, known_gates, "gates")
    tiers = {name: _tier(name, top.table("tiers").table(name)) for name in top.table("tiers").names()}
    for tier in tiers.values():
        _check_tier(tier, suites, known_gates)
    _check_aliases(tiers)
    return Configuration(
        project=project.text("name"),
        artifacts=_inside(project.text("artifacts", "artifacts/confidence"), "project.artifacts"),
        coverage_rcfile=project.text("coverage_rcfile", "pyproject.toml"),
        coverage_override_prefix=_optional_text(project, "coverage_override_prefix"),
        stop_grace_seconds=project.number("stop_grace_seconds", 5),
        suites=suites,
        tiers=tiers,
        gates=gates,
        digest=digest,
    )


def _optional_text(table: Table, name: str) -> str:
    return table.text(name) if table.has(name) else ""


def _suite(name: str, table: Table) -> SuiteSpec:
    table.only(SUITE_SETTINGS)
    if table.has("command") == table.has("pytest"):
        raise ConfigurationError(f"{table.where} needs either a command or pytest")
    if name != Path(name).name or name.startswith("."):
        raise ConfigurationError(f"{table.where}: a suite's name is also a file's name, {name!r} is none")
    spec = SuiteSpec(
        name=name,
        priority=Priority(table.choice("priority", tuple(Priority))),
        command=table.texts("command", ()),
        pytest=_selection(table.table("pytest")) if table.has("pytest") else None,
        evidence=EvidenceKind(table.choice("evidence", tuple(EvidenceKind), EvidenceKind.EVENTS)),
        workers=table.count("workers", 0),
        dist=table.choice("dist", DISTRIBUTIONS, "load"),
        weight=table.count("weight", 1, at_least=1),
        timeout_test_seconds=table.number("timeout_test_seconds", 60),
        timeout_idle_seconds=table.number("timeout_idle_seconds", 120),
        timeout_suite_seconds=table.number("timeout_suite_seconds", 600),
        retries=table.count("retries", 0),
        min_tests=table.count("min_tests", 1, at_least=1),
        required_artifacts=tuple(
            _inside(glob, f"{table.where}.required_artifacts") for glob in table.texts("required_artifacts", ())
        ),
        environment=table.text_table("environment"),
    )
    _check_suite(spec, table)
    return spec


def _selection(table: Table) -> PytestSelection:
    table.only(("args", "paths"))
    paths = table.texts("paths")
    if not paths:
        raise ConfigurationError(f"{table.where}.paths is empty: pytest would run whatever it finds")
    return PytestSelection(paths, table.texts("args", ()))


def _check_suite(spec: SuiteSpec, table: Table) -> None:
    """Refuse combinations that would be green without evidence."""
    if spec.pytest is not None and spec.evidence is not EvidenceKind.EVENTS:
        raise ConfigurationError(f"{table.where}: pytest always leaves events, evidence cannot be {spec.evidence}")
    if not spec.command and spec.pytest is None:
        raise ConfigurationError(f"{table.where}.command is empty")
    if spec.retries:
        sentence = "a test that passes only when repeated is flaky, and this runner does not repeat it"
        raise ConfigurationError(f"{table.where}.retries must be 0: {sentence}")
    if spec.pytest is not None and spec.timeout_idle_seconds <= spec.timeout_test_seconds:
        sentence = "must be longer than timeout_test_seconds, or a slow test is taken for a hanging suite"
        raise ConfigurationError(f"{table.where}.timeout_idle_seconds {sentence}")
    if spec.pytest is not None and spec.timeout_suite_seconds <= spec.timeout_test_seconds:
        raise ConfigurationError(f"{table.where}.timeout_suite_seconds must be longer than timeout_test_seconds")


def _tier(name: str, table: Table) -> Tier:
    table.only(("alias", "budget_seconds", "coverage", "gates", "p0_rounds", "suites"))
    return Tier(
        name=name,
        suites=table.texts("suites"),
        gates=table.texts("gates"),
        budget_seconds=table.number("budget_seconds"),
        alias=table.text("alias", name),
        p0_rounds=table.count("p0_rounds", 1, at_least=1),
        coverage=table.texts("coverage", ()),
    )


def _check_tier(tier: Tier, suites: Mapping[str, SuiteSpec], known_gates: Collection[str]) -> None:
    where = f"tiers.{tier.name}"
    if not tier.suites or not tier.gates:
        raise ConfigurationError(f"{where} needs suites and gates: nothing run or nothing judged is no verdict")
    for name in tier.suites:
        if name not in suites:
            raise ConfigurationError(f"{where}: there is no suite {name!r}{nearest(name, suites)}")
    for name in tier.coverage:
        if name not in tier.suites:
            raise ConfigurationError(f"{where}.coverage: the tier has no suite {name!r}{nearest(name, tier.suites)}")
    for names in (tier.suites, tier.gates):
        if len(set(names)) < len(names):
            raise ConfigurationError(f"{where} names something twice: {', '.join(names)}")
    _refuse_unknown_gates(tier.gates, known_gates, where)


def _refuse_unknown_gates(names: Collection[str], known: Collection[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigurationError(f"{where}: there is no gate {name!r}{nearest(name, known)}")


def _check_aliases(tiers: Mapping[str, Tier]) -> None:
    names = [name for tier in tiers.values() for name in {tier.name, tier.alias}]
    if len(set(names)) < len(names):
        raise ConfigurationError("two tiers answer to one name")


def _inside(path: str, where: str) -> str:
    """A path that stays below the folder that it is relative to."""
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ConfigurationError(f"{where}: {path!r} must be a relative path without '..'")
    return path
