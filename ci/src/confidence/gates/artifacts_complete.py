"""Gate: every required file of the bundle is there and holds something."""

from confidence.gates.base import named
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class ArtifactsComplete:
    """A verdict that nobody can check afterwards is worth nothing: the bundle must be complete."""

    name = "artifacts-complete"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """A missing required file is the absence of evidence, not a violation by the product."""
        del spec
        required = sum(entry.required for entry in evidence.artifacts)
        missing = [entry.path for entry in evidence.missing_artifacts]
        if missing or not required:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why=f"Required and absent or empty: {named(missing)}." if missing else "The bundle holds no file.",
                expected="missing_count = 0",
                actual=f"missing_count = {len(missing)} of {required}",
                next_command=f"confidence run --tier {evidence.plan.tier}",
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="Every required file is there and holds something.",
            expected="missing_count = 0",
            actual=f"missing_count = 0 of {required}",
        )
