"""Gate: every test of the committed baseline still exists."""

from confidence.gates.base import named
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class NothingVanished:
    """A renamed file or a deleted test is a silent pass, unless the baseline is changed in the same commit."""

    name = "nothing-vanished"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Only ids of the folders that the planned suites look into are expected: a small tier runs fewer."""
        del spec
        expected = "every test of the baseline collected"
        if evidence.baseline is None:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="The bundle holds no baseline to compare with.",
                expected=expected,
                actual="no baseline",
                next_command=f"confidence run --tier {evidence.plan.tier}",
            )
        known = {case.id for suite in evidence.suites for case in suite.cases}
        known.update(case_id for suite in evidence.suites for case_id in suite.deselected)
        wanted = {case_id for case_id in evidence.baseline if _is_looked_for(case_id, evidence)}
        vanished = sorted(wanted - known)
        if vanished:
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"Gone from the baseline: {named(vanished)}.",
                expected=expected,
                actual=f"{len(wanted) - len(vanished)} of {len(wanted)}",
                next_command="git log -5 --summary --diff-filter=DR",
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="Every test of the baseline still exists.",
            expected=expected,
            actual=f"{len(wanted)} of {len(wanted)}",
        )


def _is_looked_for(case_id: str, evidence: Evidence) -> bool:
    """Whether a planned suite's selection covers the file of this test."""
    path = case_id.partition("::")[0]
    selections = (suite.spec.pytest.paths for suite in evidence.suites if suite.spec.pytest is not None)
    return any(path == chosen or path.startswith(chosen.rstrip("/") + "/") for paths in selections for chosen in paths)
