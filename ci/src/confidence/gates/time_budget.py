"""Gate: the run stayed within its tier's wall-time budget."""

from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class TimeBudget:
    """A gate that takes too long is switched off sooner or later."""

    name = "time-budget"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Compare the run's own wall time with the plan's budget."""
        del spec
        budget = evidence.plan.budget_seconds
        if evidence.run is None or budget <= 0:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="The run left no time of its own, or the tier has no budget.",
                expected=f"at most {budget:g} s",
                actual="unknown",
                next_command=f"confidence run --tier {evidence.plan.tier}",
            )
        seconds = evidence.run.seconds
        actual = f"{seconds:.1f} s"
        if seconds > budget:
            slowest = max(evidence.suites, key=lambda suite: suite.seconds, default=None)
            where = f"; the longest suite, {slowest.name}, took {slowest.seconds:.1f} s" if slowest else ""
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"The run took {seconds - budget:.1f} s more than its budget{where}.",
                expected=f"at most {budget:g} s",
                actual=actual,
                next_command=f"confidence report {evidence.where}",
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="The run stayed within its budget.",
            expected=f"at most {budget:g} s",
            actual=actual,
        )
