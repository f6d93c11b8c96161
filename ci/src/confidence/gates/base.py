"""What a gate is: a name, and a pure function from evidence to one verdict."""

from typing import Protocol

from confidence.model.evidence import Evidence
from confidence.model.plan import NO_TIER, GateSpec
from confidence.model.verdicts import Outcome, Verdict

NAMES_SHOWN_MAX = 5
SUITES_CHOSEN_MAX = 3


class Gate(Protocol):
    """One question to the evidence. Settings come from the plan, after every override."""

    name: str

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Answer the question; the absence of evidence is an answer of its own."""
        ...


def named(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    more = len(names) - NAMES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def no_plan(gate: str) -> Verdict:
    """The answer of every gate that speaks about suites when no suite was planned."""
    return Verdict(
        name=gate,
        outcome=Outcome.NO_EVIDENCE,
        why="No suite was planned, so nothing was proved.",
        expected="at least one planned suite",
        actual="none",
        next_command="confidence run --tier pr-fast",
    )


def rerun(evidence: Evidence, suites: list[str]) -> str:
    """The command that runs these suites of the tier again; the whole tier when they are most of it."""
    if evidence.plan.tier == NO_TIER:
        return "confidence run" + "".join(f" --suite {name}" for name in suites or sorted(evidence.plan.selected))
    few = len(suites) <= SUITES_CHOSEN_MAX and len(suites) < len(evidence.suites)
    chosen = "".join(f" --suite {name}" for name in suites) if few else ""
    return f"confidence run --tier {evidence.plan.tier}{chosen}"
