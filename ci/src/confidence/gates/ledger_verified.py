"""Gate: every suite that moves money ended with the books verified."""

from confidence.gates.base import named, rerun
from confidence.model.evidence import Evidence, SuiteEvidence
from confidence.model.plan import GateSpec
from confidence.model.records import CaseRecord
from confidence.model.verdicts import Outcome, Verdict

PROPERTY = "ledger_verified"


class LedgerVerified:
    """Tests that move money record whether the books balanced afterwards (user property ``ledger_verified``)."""

    name = "ledger-verified"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Settings: ``suites``, the planned suites that move money. Each needs one true record and no false one."""
        wanted = set(spec.settings.get("suites", ()))
        moving = [suite for suite in evidence.suites if {suite.name, suite.spec.repeats} & wanted]
        expected = "the books verified in every suite that moves money"
        if not moving:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why="No suite that moves money was planned.",
                expected=expected,
                actual="no such suite",
                next_command=rerun(evidence, sorted(wanted)),
            )
        wrong = [case.id for suite in moving for case in _wrong(suite)]
        silent = [suite.name for suite in moving if not _verified(suite)]
        if wrong:
            return Verdict(
                name=self.name,
                outcome=Outcome.VIOLATED,
                why=f"The books did not balance after {named(wrong)}.",
                expected=expected,
                actual=f"{len(wrong)} tests left books that do not balance",
                next_command=rerun(evidence, [suite.name for suite in moving if _wrong(suite)]),
            )
        if silent:
            return Verdict(
                name=self.name,
                outcome=Outcome.NO_EVIDENCE,
                why=f"No test of {named(silent)} recorded that the books were verified.",
                expected=expected,
                actual=f"{len(moving) - len(silent)} of {len(moving)} suites",
                next_command=rerun(evidence, silent),
            )
        verified = sum(_verified(suite) for suite in moving)
        return Verdict(
            name=self.name,
            outcome=Outcome.PASSED,
            why=f"The books balanced after each of {verified} tests that moved money.",
            expected=expected,
            actual=f"{len(moving)} suites, {verified} verifications",
        )


def _wrong(suite: SuiteEvidence) -> list[CaseRecord]:
    return [case for case in suite.cases if _recorded(case.properties) is False]


def _verified(suite: SuiteEvidence) -> int:
    return sum(_recorded(case.properties) is True for case in suite.cases)


def _recorded(properties: object) -> bool | None:
    """What the test says of its books; anything but a clear yes counts as no, and silence is neither."""
    if not hasattr(properties, "get"):
        return None
    value = properties.get(PROPERTY)
    if value is None:
        return None
    return value is True or str(value).lower() in {"true", "1", "yes"}
