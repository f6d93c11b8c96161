"""What the environment and the command line change in the configuration, and whether that asks for less.

Asking for more is only written down. Asking for less (fewer suites, a longer timeout, a lower floor, a bigger budget)
is written down as weakening: such a run is evidence for the person who made it, and can never be GO.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confidence.model.plan import NO_TIER, Override, SuiteSpec
from confidence.suites.configuration import Configuration, Tier
from confidence.suites.errors import ConfigurationError
from confidence.suites.tables import nearest

COVERAGE_GATE = "coverage-per-file"
_PERCENT_MAX = 100.0
_TIMEOUTS = {
    "CONFIDENCE_TIMEOUT_TEST_SECONDS": "timeout_test_seconds",
    "CONFIDENCE_TIMEOUT_IDLE_SECONDS": "timeout_idle_seconds",
    "CONFIDENCE_TIMEOUT_SUITE_SECONDS": "timeout_suite_seconds",
}
SETTINGS = ("CONFIDENCE_SUITES", "CONFIDENCE_BUDGET_SECONDS", *_TIMEOUTS)
_OF_A_SUITE = (
    *("RUN_ID", "RUN_DIR", "SUITE", "PLAN_DIGEST", "COMMIT", "EVENTS_DIR", "JUNIT_DIR", "TRACES_DIR"),
    *("SCREENSHOTS_DIR", "SERVER_DIR", "STACKS_DIR", "TMP_DIR"),
)
HANDED_DOWN = frozenset(f"CONFIDENCE_{name}" for name in _OF_A_SUITE)
"""What the processes of a suite carry: a run inside a suite of another run passes them over."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for: a tier, some suites of a tier, or suites for their own sake."""

    tier: str | None = None
    suites: tuple[str, ...] = ()
    timeout_suite_seconds: float | None = None
    repeat: int = 1
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to be run and how it is judged, after every override."""

    suites: tuple[SuiteSpec, ...]
    gates: Mapping[str, Mapping[str, Any]]
    budget_seconds: float
    overrides: tuple[Override, ...]


def settle(configuration: Configuration, request: Request, environment: Mapping[str, str]) -> Settled:
    """Apply every override.

    Raises:
        ConfigurationError: one is unknown or malformed.
    """
    tier = tier_of(configuration, request)
    refuse_unknown(environment)
    overrides: list[Override] = []
    names = _chosen_suites(tier, configuration, environment, overrides)
    _refuse_unknown_suites("--suite", request.suites, names)
    suites = tuple(_measured(configuration.suites[name], tier) for name in names)
    suites = _with_timeouts(suites, _wanted_timeouts(request, environment), overrides)
    budget = _budget(tier, environment, overrides)
    gates = {name: configuration.gates.get(name, {}) for name in tier.gates}
    gates = _with_coverage_floors(gates, configuration.coverage_override_prefix, environment, overrides)
    return Settled(suites, gates, budget, tuple(overrides))


def tier_of(configuration: Configuration, request: Request) -> Tier:
    """The tier that is asked for; suites without one are judged like the first tier that has one of them.

    Such a run claims nothing about a tier, so it weakens none, and no decision ever reads it.

    Raises:
        ConfigurationError: there is no such tier or suite, or nothing was asked for.
    """
    if request.tier is not None:
        return configuration.tier(request.tier)
    if not request.suites:
        raise ConfigurationError("name a tier (--tier) or a suite (--suite)")
    _refuse_unknown_suites("--suite", request.suites, configuration.suites)
    homes = [tier for tier in configuration.tiers.values() if set(tier.suites) & set(request.suites)]
    if not homes:
        raise ConfigurationError(f"no tier has a suite of {', '.join(request.suites)}, so no gates are known for them")
    budget = sum(configuration.suites[name].timeout_suite_seconds for name in request.suites)
    suites = tuple(dict.fromkeys(request.suites))
    return dataclasses.replace(homes[0], name=NO_TIER, suites=suites, budget_seconds=budget, p0_rounds=1)


def _refuse_unknown_suites(where: str, names: Sequence[str], known: Collection[str]) -> None:
    for suite in names:
        if suite not in known:
            raise ConfigurationError(f"{where}: there is no suite {suite!r}{nearest(suite, known)}")


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse a variable of ours that nobody reads: a mistyped override would silently change nothing.

    Raises:
        ConfigurationError: there is one.
    """
    for name in sorted(environment):
        if name.startswith("CONFIDENCE_") and name not in SETTINGS and name not in HANDED_DOWN:
            raise ConfigurationError(f"there is no setting {name}{nearest(name, SETTINGS)}")


def _measured(spec: SuiteSpec, tier: Tier) -> SuiteSpec:
    return dataclasses.replace(spec, coverage=spec.name in tier.coverage)


def _chosen_suites(
    tier: Tier, configuration: Configuration, environment: Mapping[str, str], overrides: list[Override]
) -> tuple[str, ...]:
    """The tier's suites, or those that the environment names: in the tier's order, then the others."""
    name = "CONFIDENCE_SUITES"
    wanted = tuple(part.strip() for part in environment.get(name, "").split(",") if part.strip())
    if not wanted or tier.name == NO_TIER:
        return tier.suites
    _refuse_unknown_suites(name, wanted, configuration.suites)
    absent = [suite for suite in tier.suites if suite not in wanted]
    sentence = f"{', '.join(absent)} of tier {tier.name} not run" if absent else "no suite of the tier is left out"
    overrides.append(Override(name, ",".join(wanted), weakens=bool(absent), sentence=sentence))
    added = [suite for suite in dict.fromkeys(wanted) if suite not in tier.suites]
    return (*(suite for suite in tier.suites if suite in wanted), *added)


def _wanted_timeouts(request: Request, environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """For each suite setting the name of the override and its text."""
    wanted = {
        setting: (variable, environment[variable])
        for variable, setting in _TIMEOUTS.items()
        if environment.get(variable)
    }
    if request.timeout_suite_seconds is not None:
        wanted["timeout_suite_seconds"] = ("--timeout", f"{request.timeout_suite_seconds:g}")
    return wanted


def _with_timeouts(
    suites: Sequence[SuiteSpec], wanted: Mapping[str, tuple[str, str]], overrides: list[Override]
) -> tuple[SuiteSpec, ...]:
    for setting, (name, text) in wanted.items():
        seconds = _positive(name, text)
        longer = [spec.name for spec in suites if seconds > getattr(spec, setting)]
        sentence = f"{setting} is longer than configured for {', '.join(longer)}" if longer else f"{setting} is shorter"
        overrides.append(Override(name, text, weakens=bool(longer), sentence=sentence))
        changes: dict[str, Any] = {setting: seconds}
        suites = [dataclasses.replace(spec, **changes) for spec in suites]
    return tuple(suites)


def _budget(tier: Tier, environment: Mapping[str, str], overrides: list[Override]) -> float:
    name = "CONFIDENCE_BUDGET_SECONDS"
    if not environment.get(name):
        return tier.budget_seconds
    seconds = _positive(name, environment[name])
    weakens = seconds > tier.budget_seconds
    sentence = f"the tier's budget is {tier.budget_seconds:g} s"
    overrides.append(Override(name, environment[name], weakens=weakens, sentence=sentence))
    return seconds


def _with_coverage_floors(
    gates: Mapping[str, Mapping[str, Any]], prefix: str, environment: Mapping[str, str], overrides: list[Override]
) -> dict[str, Mapping[str, Any]]:
    """Each class of gated files has a floor for lines and one for branches: ``<PREFIX>_<CLASS>_<LINE|BRANCH>``."""
    settings = gates.get(COVERAGE_GATE)
    given = {name: value for name, value in environment.items() if prefix and name.startswith(f"{prefix}_")}
    if settings is None or not given:
        return dict(gates)
    classes = {name: dict(floors) for name, floors in settings.get("classes", {}).items()}
    places = {
        f"{prefix}_{name.upper()}_{kind.upper()}": (name, kind) for name in classes for kind in ("line", "branch")
    }
    for variable, text in sorted(given.items()):
        if variable not in places:
            raise ConfigurationError(f"there is no setting {variable}{nearest(variable, places)}")
        name, kind = places[variable]
        percent = _percent(variable, text)
        weakens = percent < classes[name][kind]
        sentence = f"the configured floor is {classes[name][kind]:g} %"
        overrides.append(Override(variable, text, weakens=weakens, sentence=sentence))
        classes[name][kind] = percent
    return {**gates, COVERAGE_GATE: {**settings, "classes": classes}}


def _positive(name: str, text: str) -> float:
    seconds = _number(name, text)
    if seconds <= 0:
        raise ConfigurationError(f"{name} must be greater than zero, not {text!r}")
    return seconds


def _percent(name: str, text: str) -> float:
    percent = _number(name, text)
    if not 0 <= percent <= _PERCENT_MAX:
        raise ConfigurationError(f"{name} must be a percentage from 0 to 100, not {text!r}")
    return percent


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as malformed:
        raise ConfigurationError(f"{name} must be a number, not {text!r}") from malformed
    if not math.isfinite(value):
        raise ConfigurationError(f"{name} must be a finite number, not {text!r}")
    return value
