"""Gate: every piece of evidence is of this run, whole, and readable."""

from confidence.gates.base import named
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict


class EvidenceWhole:
    """A verdict over a missing, truncated, stale or foreign file would be a guess. Always judged, listed or not."""

    name = "evidence-whole"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """No evidence as soon as one flaw forbids a verdict; a dry run has none at all."""
        del spec
        expected = "every file of the run present, whole and its own"
        if evidence.plan.dry_run:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="A dry run starts nothing, so it proves nothing.",
                expected=expected,
                actual="a dry run",
                next_command=f"confidence run --tier {evidence.plan.tier}",
            )
        flaws = evidence.serious_problems
        if flaws:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why=". ".join(flaw.sentence for flaw in flaws[:5]) + ".",
                expected=expected,
                actual=f"{len(flaws)} flawed: {named([f'{flaw.source} ({flaw.flaw})' for flaw in flaws])}",
                next_command=f"confidence run --tier {evidence.plan.tier}",
            )
        files = len(evidence.artifacts)
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why="Every file of the run was read whole and belongs to it.",
            expected=expected,
            actual=f"{files} files",
        )
