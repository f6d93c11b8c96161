"""Gate: each P0 suite was green twice within this one run."""

from confidence.gates.base import named, rerun
from confidence.model.evidence import Evidence, SuiteEvidence
from confidence.model.plan import GateSpec, Priority
from confidence.model.verdicts import Outcome, Verdict

ROUNDS = 2


class P0TwiceGreen:
    """Once may be luck. The plan holds each P0 suite twice, the repetition under a name of its own."""

    name = "p0-twice-green"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """No evidence where a P0 suite was not planned or not executed twice; violated by a round that is not green."""
        del spec
        rounds: dict[str, list[SuiteEvidence]] = {}
        for suite in evidence.suites:
            if suite.spec.priority is Priority.P0:
                rounds.setdefault(suite.spec.repeats or suite.name, []).append(suite)
        expected = f"every P0 suite green {ROUNDS} times in this run"
        lonely = [name for name, found in rounds.items() if sum(bool(suite.executed) for suite in found) < ROUNDS]
        red = [suite.name for found in rounds.values() for suite in found if suite.executed and not suite.is_green]
        if red:
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"Not green: {named(red)}.",
                expected=expected,
                actual=f"{len(red)} rounds not green",
                next_command=rerun(evidence, red),
            )
        if lonely or not rounds:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why=f"Not executed {ROUNDS} times: {named(lonely)}." if lonely else "No P0 suite was planned.",
                expected=expected,
                actual=f"{len(rounds) - len(lonely)} of {len(rounds)} suites",
                next_command=rerun(evidence, []),
            )
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why=f"Each of {len(rounds)} P0 suites was green {ROUNDS} times.",
            expected=expected,
            actual=f"{len(rounds)} of {len(rounds)} suites",
        )
