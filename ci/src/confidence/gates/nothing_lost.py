"""Gate: every test that was collected was started, and every test that was started was seen to end."""

from confidence.gates.base import named, no_plan, rerun
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.records import CaseOutcome
from confidence.model.verdicts import Outcome, Verdict


class NothingLost:
    """A crashed worker takes its queue with it; what is lost has a name and is not a pass."""

    name = "nothing-lost"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Violated by each lost test."""
        del spec
        if not evidence.suites:
            return no_plan(self.name)
        expected = "every collected test started and ended"
        lost = [case for suite in evidence.suites for case in suite.cases if case.outcome is CaseOutcome.LOST]
        if lost:
            running = [f"{case.id} (was running)" for case in lost if case.attempts]
            waiting = [f"{case.id} (never started)" for case in lost if not case.attempts]
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"Lost: {named([*running, *waiting])}.",
                expected=expected,
                actual=f"{len(running)} cut off, {len(waiting)} never started",
                next_command=rerun(evidence, list(dict.fromkeys(case.suite for case in lost))),
            )
        if not evidence.counts.total:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="No test was collected, so nobody knows what was lost.",
                expected=expected,
                actual="0 tests",
                next_command=rerun(evidence, []),
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why=f"All {evidence.counts.total} collected tests were started and seen to end.",
            expected=expected,
            actual=f"{evidence.counts.total} accounted for",
        )
