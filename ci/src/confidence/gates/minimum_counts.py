"""Gate: each suite executed at least as many tests as it promises."""

from confidence.gates.base import named, no_plan, rerun
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class MinimumCounts:
    """A suite that shrinks to nothing stays green; the number in the configuration notices."""

    name = "minimum-counts"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Skipped and lost tests do not count; a suite without any test at all gives no evidence."""
        del spec
        if not evidence.suites:
            return no_plan(self.name)
        short = [suite for suite in evidence.suites if len(suite.executed) < suite.spec.min_tests]
        expected = f"at least {sum(suite.spec.min_tests for suite in evidence.suites)} executed tests, by suite"
        if short:
            facts = [
                f"{suite.name} executed {len(suite.executed)} of at least {suite.spec.min_tests}" for suite in short
            ]
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED if any(suite.executed for suite in short) else Outcome.NO_EVIDENCE,
                why=f"{named(facts)}.",
                expected=expected,
                actual=named(facts),
                next_command=rerun(evidence, [suite.name for suite in short]),
            )
        executed = sum(len(suite.executed) for suite in evidence.suites)
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="Every suite executed as many tests as it promises.",
            expected=expected,
            actual=f"{executed} executed",
        )
