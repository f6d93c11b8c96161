"""Gate: each planned suite started, ended by itself, and executed something."""

from confidence.gates.base import named, no_plan, rerun
from confidence.model.endings import Ending
from confidence.model.evidence import Evidence, SuiteEvidence
from confidence.model.plan import GateSpec
from confidence.model.verdicts import Outcome, Verdict

_ENDED_FOR = {
    Ending.TIMED_OUT: "ran into its deadline",
    Ending.IDLE: "went silent and was ended",
    Ending.INTERRUPTED: "was interrupted",
}


class AllSuitesRan:
    """A suite that left no report did not pass; it did not run. One that had to be ended did not pass either."""

    name = "all-suites-ran"

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Violated by a suite that was ended from outside; no evidence for one that did not run or ran nothing."""
        del spec
        if not evidence.suites:
            return no_plan(self.name)
        ended = {suite.name: reason for suite in evidence.suites if (reason := _ended_from_outside(suite))}
        silent = {suite.name: reason for suite in evidence.suites if (reason := _silence(suite))}
        expected = f"{len(evidence.suites)} suites ran to their own end"
        if not ended and not silent:
            return Verdict(
                name=self.name,
                outcome=Outcome.PASSED,
                why="Every planned suite started, ended by itself and executed tests.",
                expected=expected,
                actual=f"{len(evidence.suites)} suites",
            )
        reasons = {**silent, **ended}
        return Verdict(
            name=self.name,
            outcome=Outcome.VIOLATED if ended else Outcome.NO_EVIDENCE,
            why=_told(reasons),
            expected=expected,
            actual=f"{len(evidence.suites) - len(reasons)} did; not {named(list(reasons))}",
            next_command=rerun(evidence, list(reasons)),
        )


def _told(reasons: dict[str, str]) -> str:
    """One sentence for each reason, with the suites that share it."""
    suites: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        suites.setdefault(reason, []).append(name)
    return " ".join(f"{named(names)} {reason}." for reason, names in suites.items())


def _ended_from_outside(suite: SuiteEvidence) -> str:
    return next((_ENDED_FOR[ending.ending] for ending in suite.endings if ending.ending in _ENDED_FOR), "")


def _silence(suite: SuiteEvidence) -> str:
    """Why the suite proves nothing, if so."""
    if not suite.endings:
        return "left no report"
    if any(ending.ending is Ending.NOT_STARTED for ending in suite.endings):
        return "was never started"
    if any(ending.ending is Ending.INFRASTRUCTURE for ending in suite.endings):
        return "could not be run: " + "; ".join(ending.sentence for ending in suite.endings if ending.sentence)
    if not suite.cases:
        deselected = f"{len(suite.deselected)} deselected, " if suite.deselected else ""
        return f"collected no test ({deselected}exit code {suite.endings[-1].exit_code})"
    if not suite.executed:
        return f"executed none of its {len(suite.cases)} tests: all were skipped or lost"
    return ""
