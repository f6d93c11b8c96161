"""Verdicts: several causes at once are all listed, the gravest names the run, and nothing at all is no pass."""

import pytest

from confidence.model.verdicts import Outcome, OverallStatus, Verdict, causes, overall_status


def a_verdict(outcome: Outcome) -> Verdict:
    return Verdict(name="some-gate", outcome=outcome, why="because")


class TestTheOverallStatus:
    def test_only_passed_gates_are_a_pass(self) -> None:
        found = causes([a_verdict(Outcome.PASSED)])

        assert found == ()
        assert overall_status(found) is OverallStatus.PASS

    def test_no_gate_at_all_is_no_evidence(self) -> None:
        found = causes([])

        assert overall_status(found) is OverallStatus.NO_EVIDENCE

    @pytest.mark.parametrize(
        ("interrupted", "infrastructure", "expected"),
        [
            (True, True, OverallStatus.INTERRUPTED),
            (False, True, OverallStatus.INFRASTRUCTURE),
            (False, False, OverallStatus.FAIL),
        ],
    )
    def test_the_gravest_cause_names_the_run(
        self, *, interrupted: bool, infrastructure: bool, expected: OverallStatus
    ) -> None:
        verdicts = [a_verdict(Outcome.VIOLATED), a_verdict(Outcome.NO_EVIDENCE), a_verdict(Outcome.PASSED)]

        found = causes(verdicts, interrupted=interrupted, infrastructure=infrastructure)

        assert overall_status(found) is expected
        assert found[-2:] == (OverallStatus.FAIL, OverallStatus.NO_EVIDENCE)

    def test_a_dry_run_is_not_run_whatever_its_gates_say(self) -> None:
        found = causes([a_verdict(Outcome.PASSED)], dry_run=True)

        assert overall_status(found) is OverallStatus.NOT_RUN
