"""Freezes the plan of a run: what runs, in which rounds, and which gates judge it with which settings."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime

from confidence.model.plan import GateSpec, Plan, Priority, Provenance, SuiteSpec
from confidence.suites.configuration import Configuration
from confidence.suites.overrides import Request, settle, tier_of

_SUITE_PLACEHOLDER = "{suite}"


def freeze_plan(
    configuration: Configuration,
    request: Request,
    environment: Mapping[str, str],
    *,
    run_id: str,
    created_at: datetime,
    provenance: Provenance,
    tracked_state: Mapping[str, str],
) -> Plan:
    """The plan, with its digest.

    Raises:
        ConfigurationError: the request or the environment asks for something that makes no sense.
    """
    tier = tier_of(configuration, request)
    settled = settle(configuration, request, environment)
    rounds = {Priority.P0: max(tier.p0_rounds, request.repeat), Priority.P1: request.repeat}
    suites = tuple(_in_rounds(settled.suites, rounds))
    return Plan(
        run_id=run_id,
        tier=tier.name,
        created_at=created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        budget_seconds=settled.budget_seconds,
        suites=suites,
        selected=tuple(spec.name for spec in suites if _is_asked_for(spec, request)),
        gates=tuple(GateSpec(name, settings) for name, settings in settled.gates.items()),
        overrides=settled.overrides,
        provenance=provenance,
        config_digest=configuration.digest,
        dry_run=request.dry_run,
        tracked_digest=digest_of_state(tracked_state),
        project=configuration.project,
    ).sealed()


def digest_of_state(tracked_state: Mapping[str, str]) -> str:
    """One word for the state of the tracked files; none for a state that is not known."""
    if not tracked_state:
        return ""
    return hashlib.sha256(json.dumps(dict(tracked_state), sort_keys=True).encode()).hexdigest()


def _is_asked_for(spec: SuiteSpec, request: Request) -> bool:
    """Whether this run has it at work: a part of a plan is run here, another elsewhere, and the bundles are merged."""
    return not request.suites or (spec.repeats or spec.name) in request.suites


def _in_rounds(suites: tuple[SuiteSpec, ...], rounds: Mapping[Priority, int]) -> Iterator[SuiteSpec]:
    """All suites once, then again those that run once more: a repetition never starts before its first round."""
    for number in range(1, max(rounds.values()) + 1):
        for spec in suites:
            if number <= rounds[spec.priority]:
                yield _placed(spec if number == 1 else _repetition(spec, number))


def _repetition(spec: SuiteSpec, number: int) -> SuiteSpec:
    return dataclasses.replace(spec, name=f"{spec.name}-round-{number}", repeats=spec.name, round=number)


def _placed(spec: SuiteSpec) -> SuiteSpec:
    """Each round leaves artifacts of its own: ``traces/{suite}/*.zip``."""
    globs = tuple(glob.replace(_SUITE_PLACEHOLDER, spec.name) for glob in spec.required_artifacts)
    return dataclasses.replace(spec, required_artifacts=globs)
