"""Gate: nobody asked this run for less than the configuration does."""

from confidence.gates.base import named
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class NoWeakeningOverrides:
    """A lowered threshold, a replaced command or fewer suites may help at a desk; it is never a launch."""

    name = "no-weakening-overrides"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Overrides that only ask for more are recorded and harmless."""
        del spec
        weakening = [override for override in evidence.plan.overrides if override.weakens]
        if not evidence.plan.suites:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="There is no plan that could have been weakened.",
                expected="no weakening override",
                actual="no plan",
                next_command=f"confidence run --tier {evidence.plan.tier}",
            )
        if weakening:
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why="; ".join(f"{override.name}={override.value}: {override.sentence}" for override in weakening) + ".",
                expected="no weakening override",
                actual=named([f"{override.name}={override.value}" for override in weakening]),
                next_command=_undo(evidence, [override.name for override in weakening]),
                weakened=True,
            )
        recorded = len(evidence.plan.overrides)
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="Nothing asked this run for less than the configuration does.",
            expected="no weakening override",
            actual=f"{recorded} overrides, none weakens" if recorded else "no override",
        )


def _undo(evidence: Evidence, names: list[str]) -> str:
    """The same run without what weakened it; options of the command line simply fall away."""
    variables = "".join(f" -u {name}" for name in names if not name.startswith("-"))
    command = f"confidence run --tier {evidence.plan.tier}"
    return f"env{variables} {command}" if variables else command
