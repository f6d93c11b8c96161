"""Records: outcomes are derived from phases and attempts, and doubt is never a pass."""

import pytest

from confidence.model.records import Attempt, CaseOutcome, CaseRecord, PhaseRecord, count


def an_attempt(*phases: PhaseRecord, number: int = 1, is_finished: bool = True, reported: str = "passed") -> Attempt:
    return Attempt(
        number=number,
        process="gw0",
        started_at="2026-11-21T08:30:00+00:00",
        is_finished=is_finished,
        phases=phases,
        reported_outcome=reported,
    )


SETUP = PhaseRecord("setup", "passed", 0.1)
CALL = PhaseRecord("call", "passed", 0.2)
TEARDOWN = PhaseRecord("teardown", "passed", 0.1)
CALL_FAILED = PhaseRecord(
    "call", "failed", 0.2, longrepr="    assert 1 == 2\nE   assert 1 == 2\n\ntest_a.py:3: AssertionError"
)
TEARDOWN_FAILED = PhaseRecord("teardown", "failed", 0.1, longrepr="E   LedgerError: 7 missing")


class TestTheOutcomeOfAnAttempt:
    def test_three_passed_phases_and_an_end_are_a_pass(self) -> None:
        attempt = an_attempt(SETUP, CALL, TEARDOWN)

        outcome = attempt.outcome

        assert outcome is CaseOutcome.PASSED

    @pytest.mark.parametrize(
        ("phases", "expected"),
        [
            ((SETUP, CALL_FAILED, TEARDOWN), CaseOutcome.FAILED),
            ((SETUP, CALL_FAILED, TEARDOWN_FAILED), CaseOutcome.FAILED),
            ((SETUP, CALL, TEARDOWN_FAILED), CaseOutcome.ERROR),
            ((PhaseRecord("setup", "failed", 0.1), TEARDOWN), CaseOutcome.ERROR),
            ((SETUP, PhaseRecord("call", "timed_out", 60), TEARDOWN), CaseOutcome.TIMED_OUT),
            ((PhaseRecord("setup", "skipped", 0.1), TEARDOWN), CaseOutcome.SKIPPED),
            ((SETUP, PhaseRecord("call", "skipped", 0.1, wasxfail="known"), TEARDOWN), CaseOutcome.XFAILED),
            ((SETUP, PhaseRecord("call", "passed", 0.1, wasxfail="known"), TEARDOWN), CaseOutcome.XPASSED),
        ],
    )
    def test_it_follows_from_the_phases(self, phases: tuple[PhaseRecord, ...], expected: CaseOutcome) -> None:
        attempt = an_attempt(*phases)

        outcome = attempt.outcome

        assert outcome is expected

    def test_passed_phases_without_an_end_are_lost(self) -> None:
        attempt = an_attempt(SETUP, CALL, is_finished=False)

        outcome = attempt.outcome

        assert outcome is CaseOutcome.LOST

    def test_an_end_without_a_call_is_lost(self) -> None:
        attempt = an_attempt(SETUP, TEARDOWN)

        outcome = attempt.outcome

        assert outcome is CaseOutcome.LOST

    def test_a_failure_that_its_phases_do_not_show_is_an_error(self) -> None:
        attempt = an_attempt(SETUP, CALL, TEARDOWN, reported="failed")

        outcome = attempt.outcome

        assert outcome is CaseOutcome.ERROR

    def test_a_failed_call_and_a_broken_teardown_are_two_problems(self) -> None:
        attempt = an_attempt(SETUP, CALL_FAILED, TEARDOWN_FAILED)

        headlines = [problem.headline for problem in attempt.problems]

        assert headlines == ["assert 1 == 2", "LedgerError: 7 missing"]


class TestTheOutcomeOfATest:
    def test_a_test_without_an_attempt_is_lost(self) -> None:
        case = CaseRecord("rules", "test_a.py::test_a")

        assert case.outcome is CaseOutcome.LOST
        assert case.is_red

    @pytest.mark.parametrize("first", [(SETUP, CALL_FAILED, TEARDOWN), (SETUP,)])
    def test_a_pass_after_anything_else_is_flaky(self, first: tuple[PhaseRecord, ...]) -> None:
        attempts = (an_attempt(*first), an_attempt(SETUP, CALL, TEARDOWN, number=2))

        case = CaseRecord("rules", "test_a.py::test_a", attempts)

        assert case.outcome is CaseOutcome.FLAKY

    def test_a_failure_after_a_pass_is_a_failure(self) -> None:
        attempts = (an_attempt(SETUP, CALL, TEARDOWN), an_attempt(SETUP, CALL_FAILED, TEARDOWN, number=2))

        case = CaseRecord("rules", "test_a.py::test_a", attempts)

        assert case.outcome is CaseOutcome.FAILED


class TestCounts:
    def test_every_test_is_in_exactly_one_class(self) -> None:
        shapes: list[tuple[PhaseRecord, ...]] = [
            (SETUP, CALL, TEARDOWN),
            (SETUP, CALL_FAILED),
            (SETUP, CALL, TEARDOWN_FAILED),
            (SETUP, PhaseRecord("call", "timed_out", 60)),
            (PhaseRecord("setup", "skipped", 0),),
            (SETUP, PhaseRecord("call", "passed", 0, wasxfail="")),
            (),
        ]

        counts = count([CaseRecord("rules", str(shape), (an_attempt(*shape),)) for shape in shapes])

        assert (counts.passed, counts.failed, counts.timed_out, counts.skipped, counts.lost) == (1, 3, 1, 1, 1)
        assert counts.total == len(shapes)
