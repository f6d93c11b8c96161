"""Gate: the run changed no file that the repository tracks."""

from confidence.gates.base import named
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class TrackedFilesUnchanged:
    """Tests that rewrite their own expectations, or the product, prove something else than what is committed."""

    name = "tracked-files-unchanged"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Compare the state of the tracked files before the first suite with that after the last."""
        del spec
        expected = "no tracked file changed by the run"
        before = evidence.plan.tracked_digest
        if evidence.run is None or not before or not evidence.run.tracked_digest:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="The state of the tracked files is not known both before and after the run.",
                expected=expected,
                actual="unknown",
                next_command="git status",
            )
        changes = list(evidence.run.tracked_changes)
        if changes or evidence.run.tracked_digest != before:
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"The run left tracked files changed: {named(changes) or 'their digest differs'}.",
                expected=expected,
                actual=f"{len(changes)} changed",
                next_command="git diff",
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="The tracked files are what they were before the run.",
            expected=expected,
            actual="0 changed",
        )
