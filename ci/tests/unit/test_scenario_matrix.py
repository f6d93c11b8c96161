"""The gates of the matrices: complete is green, a missing row is red by its name, silence is no evidence."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from confidence.evidence import assemble
from confidence.gates import judge_all
from confidence.model.plan import GateSpec, SuiteSpec
from confidence.model.verdicts import Outcome, Verdict

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., SuiteSpec]
A, B, C = (f"tests/rules.py::test_{letter}" for letter in "abc")
MARKS = {A: ("success",), B: ("timeout",), C: ("timeout", "cut")}
REQUIRED = {"success": 1, "timeout": 2, "cut": 1}
DOORS = {A: ("trust/one door", "success"), B: ("trust/another door",), C: ("trust/another door", "timeout")}
REQUIRED_DOORS = {"one door": 1, "another door": 2}


def judged(bundle: Any) -> Verdict:
    """The verdict of the gate; whatever is not a pass says what to do next."""
    found = judge_all(assemble(bundle.finish()))[-1]
    assert found.outcome is Outcome.PASSED or found.next_command.startswith("confidence run")
    return found


@pytest.fixture
def played(new_bundle: NewBundle, suite_spec: SuiteSpecs) -> Callable[..., Verdict]:
    """Judges a run whose tests have these marks; `failing`, `skipped` and `lost` name those that did not pass."""

    def judge(
        marks: Mapping[str, tuple[str, ...]],
        *,
        required: object = REQUIRED,
        gate: str = "scenario-matrix-complete",
        failing: tuple[str, ...] = (),
        skipped: tuple[str, ...] = (),
        lost: tuple[str, ...] = (),
    ) -> Verdict:
        gates = (GateSpec(gate, {"required": required}),)
        bundle = new_bundle(suite_spec("rules"), gates=gates)
        log = bundle.process()
        log.collected(A, B, C, scenarios=marks)
        for case_id in (A, B, C):
            if case_id in failing:
                log.failed(case_id)
            elif case_id in skipped:
                log.skipped(case_id)
            elif case_id not in lost:
                log.passed(case_id)
        log.end()
        bundle.ending()
        return judged(bundle)

    return judge


class TestAComplete:
    def test_matrix_is_green(self, played: Callable[..., Verdict]) -> None:
        found = played(MARKS)

        assert found.outcome is Outcome.PASSED
        assert (found.expected, found.actual) == ("3 scenarios with 4 tests, all passed", "3 scenarios, 4 tests")

    def test_matrix_may_have_more_tests_than_demanded(self, played: Callable[..., Verdict]) -> None:
        assert played(MARKS, required={**REQUIRED, "timeout": 1}).outcome is Outcome.PASSED


class TestAMissingRow:
    def test_is_red_by_its_name(self, played: Callable[..., Verdict]) -> None:
        found = played({A: ("success",), B: ("timeout",), C: ("timeout",)})

        assert (found.outcome, found.why) == (Outcome.VIOLATED, "Not proved: cut.")

    def test_that_lost_a_cell_is_red_with_its_count(self, played: Callable[..., Verdict]) -> None:
        found = played({A: ("success",), C: ("timeout", "cut")})

        assert (found.outcome, found.why) == (Outcome.VIOLATED, "Not proved: timeout (1 of 2).")

    def test_that_was_renamed_is_noticed_at_both_ends(self, played: Callable[..., Verdict]) -> None:
        found = played({**MARKS, A: ("sucess",)})

        assert found.why == "Not proved: success; Demanded by nobody: sucess."

    def test_whose_mark_has_no_name_is_noticed(self, played: Callable[..., Verdict]) -> None:
        found = played({**MARKS, A: ("",)})

        assert found.why == "Not proved: success; Demanded by nobody: a mark without a name."


class TestARowThatWasNotProved:
    def test_because_it_failed_is_red(self, played: Callable[..., Verdict]) -> None:
        found = played(MARKS, failing=(A,))

        assert (found.outcome, found.why) == (Outcome.VIOLATED, f"Not proved: success; Red: {A}.")

    def test_because_one_of_its_tests_failed_is_red_though_others_passed(self, played: Callable[..., Verdict]) -> None:
        found = played(MARKS, required={**REQUIRED, "timeout": 1}, failing=(B,))

        assert (found.outcome, found.why) == (Outcome.VIOLATED, f"Red: {B}.")

    def test_because_it_was_skipped_is_red(self, played: Callable[..., Verdict]) -> None:
        assert played(MARKS, skipped=(A,)).why == "Not proved: success."

    def test_because_it_was_lost_is_red(self, played: Callable[..., Verdict]) -> None:
        assert played(MARKS, lost=(A,)).why == f"Not proved: success; Red: {A}."


class TestNoEvidence:
    def test_is_a_run_without_scenarios(self, played: Callable[..., Verdict]) -> None:
        found = played({})

        assert found.outcome is Outcome.NO_EVIDENCE
        assert "success" in found.why

    def test_is_a_run_that_skipped_them_all(self, played: Callable[..., Verdict]) -> None:
        assert played(MARKS, skipped=(A, B, C)).outcome is Outcome.NO_EVIDENCE

    @pytest.mark.parametrize("required", [None, {}, ["success"], {"success": 0}, {"success": True}, {"success": "1"}])
    def test_is_a_demand_that_demands_nothing(self, played: Callable[..., Verdict], required: object) -> None:
        assert played(MARKS, required=required).outcome is Outcome.NO_EVIDENCE


class TestSeveralSuites:
    def bundle(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> Any:
        """One test in two suites, green in the first."""
        gates = (GateSpec("scenario-matrix-complete", {"required": {"success": 2}}),)
        bundle = new_bundle(suite_spec("rules"), suite_spec("again"), gates=gates)
        for suite in ("rules", "again"):
            log = bundle.process(suite)
            log.collected(A, scenarios={A: ("success",)})
            bundle.ending(suite)
        bundle.logs["rules", "main"].passed(A)
        return bundle

    def test_one_test_counts_once(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = self.bundle(new_bundle, suite_spec)
        bundle.logs["again", "main"].passed(A)

        assert judged(bundle).why == "Not proved: success (1 of 2)."

    def test_a_test_that_is_red_in_one_of_them_is_red(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = self.bundle(new_bundle, suite_spec)
        bundle.logs["again", "main"].failed(A)

        assert judged(bundle).why == f"Not proved: success (1 of 2); Red: {A}."


class TestAnotherMatrix:
    def test_is_judged_by_its_own_rows_alone(self, played: Callable[..., Verdict]) -> None:
        found = played(DOORS, required=REQUIRED_DOORS, gate="trust-matrix-complete")

        assert (found.outcome, found.actual) == (Outcome.PASSED, "2 scenarios, 3 tests")

    def test_leaves_the_scenario_matrix_to_its_gate(self, played: Callable[..., Verdict]) -> None:
        assert played(DOORS, required={"success": 1, "timeout": 1}).outcome is Outcome.PASSED

    def test_that_lost_a_cell_is_red_with_its_count(self, played: Callable[..., Verdict]) -> None:
        marks = {A: ("trust/one door",), B: ("trust/another door",)}

        found = played(marks, required=REQUIRED_DOORS, gate="trust-matrix-complete")

        assert (found.outcome, found.why) == (Outcome.VIOLATED, "Not proved: another door (1 of 2).")

    def test_with_a_red_cell_is_red(self, played: Callable[..., Verdict]) -> None:
        found = played(DOORS, required=REQUIRED_DOORS, gate="trust-matrix-complete", failing=(B,))

        assert found.why == f"Not proved: another door (1 of 2); Red: {B}."

    def test_with_a_renamed_row_is_noticed_at_both_ends(self, played: Callable[..., Verdict]) -> None:
        marks = {**DOORS, A: ("trust/one dor",)}

        found = played(marks, required=REQUIRED_DOORS, gate="trust-matrix-complete")

        assert found.why == "Not proved: one door; Demanded by nobody: one dor."

    def test_that_is_misspelt_is_demanded_by_nobody(self, played: Callable[..., Verdict]) -> None:
        marks = {A: ("success",), B: ("trsut/one door",)}

        assert played(marks, required={"success": 1}).why == "Demanded by nobody: trsut/one door."

    def test_is_told_from_yet_another(self, played: Callable[..., Verdict]) -> None:
        marks = {A: ("failures/one call", "trust/one door"), B: ("failures/one call",)}

        found = played(marks, required={"one call": 2}, gate="failure-matrix-complete")

        assert (found.outcome, found.actual) == (Outcome.PASSED, "1 scenarios, 2 tests")

    def test_that_nobody_played_is_no_evidence(self, played: Callable[..., Verdict]) -> None:
        found = played(MARKS, required=REQUIRED_DOORS, gate="trust-matrix-complete")

        assert found.outcome is Outcome.NO_EVIDENCE
