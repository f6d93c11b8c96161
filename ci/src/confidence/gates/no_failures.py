"""Gate: no test failed, broke, timed out, passed only on a retry, or could not be collected."""

from confidence.gates.base import named, no_plan, rerun
from confidence.model.endings import Ending
from confidence.model.evidence import Evidence, SuiteEvidence
from confidence.model.plan import GateSpec
from confidence.model.records import CaseOutcome
from confidence.model.verdicts import Outcome, Verdict


class NoFailures:
    """Every executed test passed at its first attempt, and the suite's own exit code agrees."""

    name = "no-failures"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Lost tests are another gate's matter; a run without any executed test is no evidence."""
        del spec
        if not evidence.suites:
            return no_plan(self.name)
        failures = {suite.name: found for suite in evidence.suites if (found := _failures(suite))}
        executed = sum(len(suite.executed) for suite in evidence.suites)
        if failures:
            every = [sentence for found in failures.values() for sentence in found]
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"Not proved: {named(every)}.",
                expected="0 failures",
                actual=f"{len(every)} in {named(list(failures))}",
                next_command=rerun(evidence, list(failures)),
            )
        if not executed:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="No test was executed, so none could fail.",
                expected="0 failures",
                actual="0 tests executed",
                next_command=rerun(evidence, []),
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why=f"All {executed} executed tests passed at their first attempt.",
            expected="0 failures",
            actual=f"0 of {executed}",
        )


def _failures(suite: SuiteEvidence) -> list[str]:
    found = [f"{case.id} ({case.outcome})" for case in suite.red_cases if case.outcome is not CaseOutcome.LOST]
    found.extend(f"{failure.id} (not collected)" for failure in suite.collect_failures)
    for ending in suite.endings:
        # A suite that executed nothing did not fail, it proved nothing: that is for all-suites-ran to say.
        if (
            ending.ending is Ending.FINISHED
            and ending.exit_code != 0
            and suite.executed
            and not (found or suite.red_cases)
        ):
            how = f"exit code {ending.exit_code}" if ending.signal is None else f"signal {ending.signal}"
            found.append(f"{suite.name} ended with {how} although no test failed")
    return found
