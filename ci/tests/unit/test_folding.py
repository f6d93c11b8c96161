"""Folding: every test that was collected or started is accounted for, whichever process spoke of it."""

from collections.abc import Callable
from typing import Any

from confidence.evidence import assemble
from confidence.model.endings import Ending
from confidence.model.evidence import Flaw, SuiteEvidence
from confidence.model.records import CaseOutcome

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]
A, B, C = "tests/test_a.py::test_a", "tests/test_a.py::test_b", "tests/test_a.py::test_c"


def the_suite(bundle: Any) -> SuiteEvidence:
    bundle.ending(ending=Ending.FINISHED, exit_code=1)
    return assemble(bundle.finish()).suites[0]


class TestWhatATestLeaves:
    def test_a_failed_call_and_a_teardown_error_stay_one_test_with_two_problems(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.collected(A)
        log.failed(A, teardown="E   LedgerError: 7 missing")

        suite = the_suite(bundle)

        assert [case.id for case in suite.cases] == [A]
        assert len(suite.cases[0].attempts[0].problems) == 2

    def test_started_without_finished_is_lost_by_name(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.collected(A, B)
        log.passed(A)
        log.started(B)

        suite = the_suite(bundle)

        assert [(case.id, case.outcome) for case in suite.red_cases] == [(B, CaseOutcome.LOST)]

    def test_collected_and_never_started_is_lost_by_name(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        for process in ("controller", "gw0", "gw1"):
            bundle.process(process=process).collected(A, B, C, deselected=("tests/test_a.py::test_slow",))
        bundle.logs["rules", "gw0"].passed(A)
        bundle.logs["rules", "gw0"].passed(C)

        suite = the_suite(bundle)

        assert [(case.id, len(case.attempts)) for case in suite.red_cases] == [(B, 0)]
        assert suite.deselected == ("tests/test_a.py::test_slow",)

    def test_a_retry_keeps_both_attempts(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.collected(A)
        log.failed(A)
        log.passed(A, attempt=2)

        suite = the_suite(bundle)

        assert [attempt.outcome for attempt in suite.cases[0].attempts] == [CaseOutcome.FAILED, CaseOutcome.PASSED]
        assert suite.cases[0].outcome is CaseOutcome.FLAKY

    def test_one_attempt_in_two_processes_is_named(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        for process in ("gw0", "gw1"):
            log = bundle.process(process=process)
            log.collected(A)
            log.passed(A)
        bundle.ending()

        evidence = assemble(bundle.finish())

        twice = [problem for problem in evidence.problems if problem.flaw is Flaw.DUPLICATED]
        assert "executed more than once" in twice[0].sentence

    def test_a_phase_of_a_test_that_never_started_is_corrupt(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.started(A)
        log.path.write_text(
            log.path.read_text().replace("test_started", "collected").replace(f'"id":"{A}"', '"ids":[]')
        )
        log.finished(A, CaseOutcome.PASSED)
        bundle.ending()

        evidence = assemble(bundle.finish())

        assert any("never said that it started" in problem.sentence for problem in evidence.problems)

    def test_crashes_collect_errors_and_attachments_are_kept(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process(process="controller")
        log.cannot_collect("tests/test_broken.py")
        log.crashed("gw0", A)
        log.attached(A, "trace", "traces/a.zip")

        suite = the_suite(bundle)

        assert [failure.id for failure in suite.collect_failures] == ["tests/test_broken.py"]
        assert suite.crashes[0].ids_running == (A,)
        assert suite.attachments[0].path == "traces/a.zip"


class TestHowAProcessLeaves:
    def test_leaving_without_a_word_and_exit_code_zero_is_no_evidence(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.collected(A)
        log.passed(A)
        bundle.ending()

        evidence = assemble(bundle.finish())

        assert [problem.flaw for problem in evidence.serious_problems] == [Flaw.TRUNCATED]
        assert "without ending its session" in evidence.serious_problems[0].sentence

    def test_a_half_written_line_after_a_kill_is_harmless(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        log = bundle.process()
        log.collected(A)
        log.started(A)
        log.path.write_text(log.path.read_text() + '{"event":"te')
        bundle.ending(ending=Ending.IDLE, exit_code=None)

        evidence = assemble(bundle.finish())

        cut = [problem for problem in evidence.problems if problem.flaw is Flaw.TRUNCATED]
        assert [problem.is_harmless for problem in cut] == [True]
        assert evidence.counts.lost == 1

    def test_a_half_written_line_after_a_good_end_is_not(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()
        log = bundle.logs["rules", "main"]
        log.path.write_text(log.path.read_text() + '{"event":"te')

        evidence = assemble(bundle.finish())

        assert "is not whole" in evidence.serious_problems[0].sentence


class TestWhatBelongsElsewhere:
    def test_events_of_an_unplanned_suite_are_foreign(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()
        bundle.process("stranger").passed(A)

        evidence = assemble(bundle.finish())

        assert [problem.flaw for problem in evidence.serious_problems] == [Flaw.FOREIGN]
        assert evidence.counts.total == 2

    def test_an_ending_of_another_plan_is_stale(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()
        bundle.ending(plan_digest="another")

        evidence = assemble(bundle.finish())

        assert evidence.suites[0].endings == ()
        assert evidence.serious_problems[0].flaw is Flaw.STALE

    def test_a_run_ending_of_another_run_is_stale(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()

        evidence = assemble(bundle.finish(run_id="an-earlier-run"))

        assert evidence.run is None
        assert evidence.serious_problems[0].flaw is Flaw.STALE

    def test_a_plan_that_was_changed_after_it_was_frozen_is_corrupt(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()
        plan = (bundle.path / "plan.json").read_text()
        (bundle.path / "plan.json").write_text(plan.replace('"min_tests": 1', '"min_tests": 0'))

        evidence = assemble(bundle.finish())

        assert "changed after it was frozen" in evidence.serious_problems[0].sentence

    def test_an_empty_directory_is_evidence_of_nothing(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        (bundle.path / "plan.json").unlink()

        evidence = assemble(bundle.path)

        assert {problem.source for problem in evidence.serious_problems} == {"plan.json", "run.json"}
        assert evidence.suites == ()
