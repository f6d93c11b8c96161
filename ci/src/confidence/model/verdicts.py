"""Verdicts: what one gate says about the evidence, and what all of them say together."""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """Three answers, because the absence of evidence is neither a pass nor a violation."""

    PASSED = "passed"
    VIOLATED = "violated"
    NO_EVIDENCE = "no_evidence"


class OverallStatus(enum.StrEnum):
    """What a whole run amounts to; only `PASS` is green."""

    PASS = "pass"  # noqa: S105 - a status, not a password
    FAIL = "fail"
    NO_EVIDENCE = "no_evidence"
    INFRASTRUCTURE = "infrastructure"
    INTERRUPTED = "interrupted"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One gate's answer: what it expected, what it saw, why that matters, and what to do next."""

    name: str
    outcome: Outcome
    why: str
    expected: str = ""
    actual: str = ""
    next_command: str = ""
    weakened: bool = False


# Several causes at once are all listed; the first of them names the run.
_GRAVEST_FIRST = (
    OverallStatus.INTERRUPTED,
    OverallStatus.INFRASTRUCTURE,
    OverallStatus.FAIL,
    OverallStatus.NOT_RUN,
    OverallStatus.NO_EVIDENCE,
)


def causes(
    verdicts: Iterable[Verdict], *, interrupted: bool = False, infrastructure: bool = False, dry_run: bool = False
) -> tuple[OverallStatus, ...]:
    """Why the run is not green, gravest first; nothing when it is. No verdict at all is the absence of evidence."""
    outcomes = {verdict.outcome for verdict in verdicts}
    holds = {
        OverallStatus.INTERRUPTED: interrupted,
        OverallStatus.INFRASTRUCTURE: infrastructure,
        OverallStatus.FAIL: Outcome.VIOLATED in outcomes,
        OverallStatus.NOT_RUN: dry_run,
        OverallStatus.NO_EVIDENCE: Outcome.NO_EVIDENCE in outcomes or not outcomes,
    }
    return tuple(status for status in _GRAVEST_FIRST if holds[status])


def overall_status(found: Sequence[OverallStatus]) -> OverallStatus:
    """The gravest of the causes; a pass when there is none."""
    return found[0] if found else OverallStatus.PASS
