"""The gates: one file each, found by name; the plan says which of them judge a run."""

from confidence.gates.all_suites_ran import AllSuitesRan
from confidence.gates.artifacts_complete import ArtifactsComplete
from confidence.gates.base import Gate
from confidence.gates.coverage_per_file import CoveragePerFile
from confidence.gates.evidence_whole import EvidenceWhole
from confidence.gates.ledger_verified import LedgerVerified
from confidence.gates.matrix_complete import MatrixComplete
from confidence.gates.minimum_counts import MinimumCounts
from confidence.gates.no_failures import NoFailures
from confidence.gates.no_weakening_overrides import NoWeakeningOverrides
from confidence.gates.nothing_lost import NothingLost
from confidence.gates.nothing_vanished import NothingVanished
from confidence.gates.p0_twice_green import P0TwiceGreen
from confidence.gates.time_budget import TimeBudget
from confidence.gates.tracked_files_unchanged import TrackedFilesUnchanged
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict

__all__ = ["GATES", "GATE_NAMES", "Gate", "judge_all"]

GATES: dict[str, Gate] = {
    gate.name: gate
    for gate in (
        EvidenceWhole(),
        AllSuitesRan(),
        NoFailures(),
        NothingLost(),
        NothingVanished(),
        MinimumCounts(),
        ArtifactsComplete(),
        TimeBudget(),
        TrackedFilesUnchanged(),
        NoWeakeningOverrides(),
        CoveragePerFile(),
        LedgerVerified(),
        P0TwiceGreen(),
        MatrixComplete("scenario-matrix-complete"),
        MatrixComplete("trust-matrix-complete", matrix="trust"),
        MatrixComplete("failure-matrix-complete", matrix="failures"),
    )
}
GATE_NAMES = frozenset(GATES)


def judge_all(evidence: Evidence) -> tuple[Verdict, ...]:
    """The verdict of every gate of the plan, after that on the evidence itself, which no plan can leave out."""
    always = GateSpec(EvidenceWhole.name)
    asked = [spec for spec in evidence.plan.gates if spec.name != always.name]
    return tuple(_judge(evidence, spec) for spec in [always, *asked])


def _judge(evidence: Evidence, spec: GateSpec) -> Verdict:
    gate = GATES.get(spec.name)
    if gate is None:
        return Verdict(
            name=spec.name,
            outcome=Outcome.NO_EVIDENCE,
            why=f"The plan asks for gate {spec.name}, which nobody here can judge.",
            expected="a known gate",
            actual="unknown",
        )
    return gate.judge(evidence, spec)
