"""Gates: every row of a matrix that the configuration demands was played in this run, in each of its cells.

A test says with ``@pytest.mark.scenario("matrix/row")`` which row of which matrix it plays; a name without one of the
matrices before a slash is a scenario of the scenario matrix, so that a misspelt matrix is demanded by nobody there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from confidence.gates.base import named, no_plan, rerun
from confidence.model.evidence import Evidence
from confidence.model.plan import GateSpec
from confidence.model.records import CaseOutcome
from confidence.model.verdicts import Outcome, Verdict

REQUIRED = "required"
MATRICES = frozenset({"failures", "trust"})
"""Those that a mark names before a slash."""
_NAMELESS = "a mark without a name"


@dataclass(frozen=True, slots=True)
class _Scenario:
    """The tests that play one scenario; a test of two suites, or of two rounds, is one test."""

    passed: frozenset[str]
    red: frozenset[str]


class MatrixComplete:
    """A table of scenarios is only as good as its rows: one that is renamed or removed leaves the rest green."""

    def __init__(self, name: str, *, matrix: str = "") -> None:
        """The gate of this name; ``matrix`` is the word before the slash, nothing for the scenario matrix."""
        self.name = name
        self._matrix = matrix

    def judge(self, evidence: Evidence, spec: GateSpec) -> Verdict:
        """Settings: ``required``, by scenario how many different tests of this run must have played and passed it."""
        if not evidence.suites:
            return no_plan(self.name)
        required = _table(spec.settings.get(REQUIRED))
        if not required:
            return self._verdict(
                evidence,
                Outcome.NO_EVIDENCE,
                f"The setting {REQUIRED} is no table of scenarios with the number of their tests.",
                expected="at least one demanded scenario",
                actual="none",
            )
        played = self._played(evidence)
        expected = f"{len(required)} scenarios with {sum(required.values())} tests, all passed"
        passed = sum(len(played[name].passed) for name in required if name in played)
        actual = f"{sum(name in played and bool(played[name].passed) for name in required)} scenarios, {passed} tests"
        if not any(scenario.passed or scenario.red for scenario in played.values()):
            why = f"No test of this run played a scenario, of {named(sorted(required))}."
            return self._verdict(evidence, Outcome.NO_EVIDENCE, why, expected=expected, actual="none")
        faults = [*_missing(required, played), *_red(played), *_unknown(required, played)]
        if faults:
            return self._verdict(evidence, Outcome.VIOLATED, f"{'; '.join(faults)}.", expected=expected, actual=actual)
        why = "Every demanded scenario was played, and passed."
        return Verdict(name=self.name, outcome=Outcome.PASSED, why=why, expected=expected, actual=actual)

    def _verdict(self, evidence: Evidence, outcome: Outcome, why: str, *, expected: str, actual: str) -> Verdict:
        suites = [
            suite.name
            for suite in evidence.suites
            if any(self._row(name) is not None for names in suite.scenarios.values() for name in names)
        ]
        again = rerun(evidence, suites)
        return Verdict(self.name, outcome, why, expected=expected, actual=actual, next_command=again)

    def _played(self, evidence: Evidence) -> Mapping[str, _Scenario]:
        passed: dict[str, set[str]] = {}
        red: dict[str, set[str]] = {}
        for suite in evidence.suites:
            outcomes = {case.id: case for case in suite.cases}
            for case_id, names in suite.scenarios.items():
                case = outcomes.get(case_id)
                has_passed = case is not None and case.outcome is CaseOutcome.PASSED
                for row in [row for row in map(self._row, names) if row is not None]:
                    passed.setdefault(row, set()).update([case_id] if has_passed else [])
                    red.setdefault(row, set()).update([case_id] if case and case.is_red else [])
        return {row: _Scenario(frozenset(passed[row]), frozenset(red[row])) for row in sorted(passed)}

    def _row(self, name: str) -> str | None:
        """The row of this gate's matrix that the mark names; None where it names another matrix."""
        matrix, slash, row = name.partition("/")
        if not slash or matrix not in MATRICES:
            matrix, row = "", name
        return row if matrix == self._matrix else None


def _table(value: object) -> Mapping[str, int]:
    """The demanded scenarios; nothing where the setting is not what it must be."""
    if not isinstance(value, Mapping):
        return {}
    is_sound = all(isinstance(count, int) and not isinstance(count, bool) and count > 0 for count in value.values())
    return value if is_sound else {}


def _missing(required: Mapping[str, int], played: Mapping[str, _Scenario]) -> list[str]:
    """Scenarios that fewer tests proved than must."""
    proved = {name: len(played[name].passed) if name in played else 0 for name in required}
    short = [
        f"{name} ({proved[name]} of {count})" if proved[name] else name
        for name, count in required.items()
        if proved[name] < count
    ]
    return [f"Not proved: {named(short)}"] if short else []


def _red(played: Mapping[str, _Scenario]) -> list[str]:
    red = sorted({case_id for scenario in played.values() for case_id in scenario.red})
    return [f"Red: {named(red)}"] if red else []


def _unknown(required: Mapping[str, int], played: Mapping[str, _Scenario]) -> list[str]:
    unknown = [name or _NAMELESS for name in played if name not in required]
    return [f"Demanded by nobody: {named(unknown)}"] if unknown else []
