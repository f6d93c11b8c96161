"""Gates: each is green on healthy evidence, red on what it watches for, and silent evidence is never a pass."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from confidence.evidence import assemble
from confidence.gates import GATE_NAMES, judge_all
from confidence.model.endings import Ending
from confidence.model.events import Phase, PhaseOutcome
from confidence.model.plan import GateSpec, Override, Priority
from confidence.model.verdicts import Outcome, Verdict

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]
A, B = "tests/rules.py::test_a", "tests/rules.py::test_b"


def gate(name: str, **settings: Any) -> tuple[GateSpec, ...]:
    return (GateSpec(name, settings),)


def verdict(bundle: Any) -> Verdict:
    """The verdict of the one gate that the bundle's plan asks for."""
    found = judge_all(assemble(bundle.path))
    assert all(item.expected and item.actual for item in found)
    assert all(item.next_command for item in found if item.outcome is not Outcome.PASSED)
    return found[-1]


@pytest.fixture
def nothing(new_bundle: NewBundle) -> Callable[..., Any]:
    """A run of which only the plan is left."""
    return lambda name, **settings: new_bundle(gates=gate(name, **settings))


class TestTheRegistry:
    def test_the_evidence_itself_is_always_judged_first(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("no-failures"))
        bundle.healthy_suite()

        names = [item.name for item in judge_all(assemble(bundle.finish()))]

        assert names == ["evidence-whole", "no-failures"]

    def test_a_gate_that_nobody_knows_is_no_evidence(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("trust-me"))
        bundle.healthy_suite()

        found = judge_all(assemble(bundle.finish()))[-1]

        assert (found.name, found.outcome) == ("trust-me", Outcome.NO_EVIDENCE)

    @pytest.mark.parametrize("name", sorted(GATE_NAMES - {"tracked-files-unchanged", "no-weakening-overrides"}))
    def test_every_gate_calls_a_run_that_left_nothing_no_evidence(self, nothing: Callable[..., Any], name: str) -> None:
        bundle = nothing(name, suites=["rules"])

        found = verdict(bundle)

        assert found.outcome is Outcome.NO_EVIDENCE

    @pytest.mark.parametrize("name", sorted(GATE_NAMES))
    def test_every_gate_calls_a_directory_without_a_plan_no_evidence(
        self, nothing: Callable[..., Any], name: str
    ) -> None:
        bundle = nothing(name)
        (bundle.path / "plan.json").unlink()
        bare = replace(bundle.plan, suites=(), budget_seconds=0.0)

        found = judge_all(replace(assemble(bundle.path), plan=bare))[-1]

        assert (found.name, found.outcome) == (name, Outcome.NO_EVIDENCE)


class TestEvidenceWhole:
    def test_a_dry_run_proves_nothing(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(dry_run=True)
        bundle.healthy_suite()
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is Outcome.NO_EVIDENCE
        assert "dry run" in found.why

    def test_a_stale_event_file_is_named(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()
        bundle.process(process="gw0", run_id="yesterday").passed(A)
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is Outcome.NO_EVIDENCE
        assert "events/rules/gw0.jsonl belongs to run yesterday" in found.why


class TestAllSuitesRan:
    def test_a_suite_that_ended_by_itself_ran(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("all-suites-ran"))
        bundle.healthy_suite()
        bundle.finish()

        assert verdict(bundle).outcome is Outcome.PASSED

    @pytest.mark.parametrize(
        ("ending", "outcome"),
        [
            (Ending.TIMED_OUT, Outcome.VIOLATED),
            (Ending.IDLE, Outcome.VIOLATED),
            (Ending.INTERRUPTED, Outcome.VIOLATED),
            (Ending.NOT_STARTED, Outcome.NO_EVIDENCE),
            (Ending.INFRASTRUCTURE, Outcome.NO_EVIDENCE),
        ],
    )
    def test_any_other_end_is_not_green(self, new_bundle: NewBundle, ending: Ending, outcome: Outcome) -> None:
        bundle = new_bundle(gates=gate("all-suites-ran"))
        bundle.healthy_suite()
        bundle.ending(ending=ending, exit_code=None)
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is outcome
        assert "rules" in found.why

    def test_a_silent_suite_is_named(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = new_bundle(suite_spec("rules"), suite_spec("pages"), gates=gate("all-suites-ran"))
        bundle.healthy_suite("rules")
        bundle.finish()

        found = verdict(bundle)

        assert (found.outcome, found.why) == (Outcome.NO_EVIDENCE, "pages left no report.")
        assert found.next_command == "confidence run --tier pr-fast --suite pages"

    def test_a_suite_that_skipped_everything_proved_nothing(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("all-suites-ran"))
        log = bundle.process()
        log.skipped(A)
        log.end()
        bundle.ending()
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is Outcome.NO_EVIDENCE
        assert "all were skipped or lost" in found.why

    def test_a_suite_that_deselected_everything_proved_nothing(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("all-suites-ran"))
        log = bundle.process()
        log.collected(deselected=(A, B))
        log.end(5)
        bundle.ending(exit_code=5)
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is Outcome.NO_EVIDENCE
        assert "2 deselected, exit code 5" in found.why


class TestNoFailures:
    def test_tests_that_all_passed_are_green(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("no-failures"))
        bundle.healthy_suite()
        bundle.finish()

        assert verdict(bundle).outcome is Outcome.PASSED

    @pytest.mark.parametrize(
        "kind", ["failed", "teardown", "timed_out", "flaky", "xpassed", "not collected", "exit code"]
    )
    def test_anything_that_went_wrong_is_red(self, new_bundle: NewBundle, kind: str) -> None:
        bundle = new_bundle(gates=gate("no-failures"))
        log = bundle.process()
        log.passed(B)
        match kind:
            case "failed":
                log.failed(A)
            case "teardown":
                log.failed(A, outcome=PhaseOutcome.PASSED, teardown="E   LedgerError")
            case "timed_out":
                log.failed(A, outcome=PhaseOutcome.TIMED_OUT)
            case "flaky":
                log.failed(A)
                log.passed(A, attempt=2)
            case "xpassed":
                log.started(A)
                log.phase(A, Phase.CALL, PhaseOutcome.PASSED, wasxfail="known")
                log.finished(A, PhaseOutcome.PASSED)
            case "not collected":
                log.cannot_collect("tests/broken.py")
        log.end(1)
        bundle.ending(exit_code=1)
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is Outcome.VIOLATED
        assert (A if kind not in {"not collected", "exit code"} else kind) in found.why


class TestNothingLost:
    def test_tests_that_are_accounted_for_are_green(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("nothing-lost"))
        bundle.healthy_suite()
        bundle.finish()

        assert verdict(bundle).outcome is Outcome.PASSED

    def test_a_crash_loses_the_running_test_and_its_queue_by_name(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("nothing-lost"))
        log = bundle.process(process="gw0")
        log.collected(A, B)
        log.started(A)
        bundle.ending(exit_code=1)
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is Outcome.VIOLATED
        assert found.why == f"Lost: {A} (was running), {B} (never started)."


class TestNothingVanished:
    def with_baseline(self, new_bundle: NewBundle, *lines: str) -> Any:
        bundle = new_bundle(gates=gate("nothing-vanished"))
        bundle.healthy_suite()
        (bundle.path / "baseline").mkdir()
        (bundle.path / "baseline" / "tests.txt").write_text("\n".join(["# known tests", "", *lines, ""]))
        bundle.finish()
        return bundle

    def test_a_baseline_that_is_all_there_is_green(self, new_bundle: NewBundle) -> None:
        bundle = self.with_baseline(new_bundle, A, B)

        assert verdict(bundle).outcome is Outcome.PASSED

    def test_a_vanished_test_is_named(self, new_bundle: NewBundle) -> None:
        bundle = self.with_baseline(new_bundle, A, B, "tests/renamed.py::test_a")

        found = verdict(bundle)

        assert found.outcome is Outcome.VIOLATED
        assert "tests/renamed.py::test_a" in found.why

    def test_folders_that_no_planned_suite_looks_into_are_not_missed(self, new_bundle: NewBundle) -> None:
        bundle = self.with_baseline(new_bundle, A, B, "elsewhere/test_x.py::test_x")

        assert verdict(bundle).outcome is Outcome.PASSED


class TestMinimumCounts:
    @pytest.mark.parametrize(("least", "outcome"), [(2, Outcome.PASSED), (3, Outcome.VIOLATED)])
    def test_executed_tests_are_counted(
        self, new_bundle: NewBundle, suite_spec: SuiteSpecs, least: int, outcome: Outcome
    ) -> None:
        bundle = new_bundle(suite_spec(min_tests=least), gates=gate("minimum-counts"))
        bundle.healthy_suite()
        bundle.finish()

        assert verdict(bundle).outcome is outcome

    def test_skipped_tests_do_not_count(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = new_bundle(suite_spec(min_tests=2), gates=gate("minimum-counts"))
        log = bundle.process()
        log.passed(A)
        log.skipped(B)
        log.end()
        bundle.ending()
        bundle.finish()

        found = verdict(bundle)

        assert (found.outcome, found.why) == (Outcome.VIOLATED, "rules executed 1 of at least 2.")


class TestArtifactsComplete:
    def test_a_complete_bundle_is_green(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle(gates=gate("artifacts-complete"))
        bundle.healthy_suite()
        bundle.finish()

        assert verdict(bundle).outcome is Outcome.PASSED

    def test_a_missing_required_file_is_named(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = new_bundle(suite_spec(required_artifacts=("traces/*.zip",)), gates=gate("artifacts-complete"))
        bundle.healthy_suite()
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is Outcome.NO_EVIDENCE
        assert "traces/*.zip" in found.why


class TestTimeBudget:
    @pytest.mark.parametrize(("seconds", "outcome"), [(90.0, Outcome.PASSED), (90.1, Outcome.VIOLATED)])
    def test_the_wall_time_is_compared_with_the_budget(
        self, new_bundle: NewBundle, seconds: float, outcome: Outcome
    ) -> None:
        bundle = new_bundle(gates=gate("time-budget"))
        bundle.healthy_suite()
        bundle.finish(seconds=seconds)

        assert verdict(bundle).outcome is outcome


class TestTrackedFilesUnchanged:
    @pytest.mark.parametrize(
        ("members", "outcome"),
        [
            ({}, Outcome.PASSED),
            ({"tracked_digest": "0ther", "tracked_changes": ("README.md",)}, Outcome.VIOLATED),
            ({"tracked_digest": "0ther"}, Outcome.VIOLATED),
            ({"tracked_digest": ""}, Outcome.NO_EVIDENCE),
        ],
    )
    def test_the_state_after_must_be_the_state_before(
        self, new_bundle: NewBundle, members: dict[str, Any], outcome: Outcome
    ) -> None:
        bundle = new_bundle(gates=gate("tracked-files-unchanged"))
        bundle.healthy_suite()
        bundle.finish(**members)

        assert verdict(bundle).outcome is outcome


class TestNoWeakeningOverrides:
    @pytest.mark.parametrize(("weakens", "outcome"), [(False, Outcome.PASSED), (True, Outcome.VIOLATED)])
    def test_only_asking_for_less_is_red(self, new_bundle: NewBundle, *, weakens: bool, outcome: Outcome) -> None:
        override = Override("BILLING_COVERAGE_MIN_UTILS_LINE", "80", weakens=weakens, sentence="the floor is 85 %")
        bundle = new_bundle(gates=gate("no-weakening-overrides"), overrides=(override,))
        bundle.healthy_suite()
        bundle.finish()

        found = verdict(bundle)

        assert found.outcome is outcome
        assert found.weakened is weakens


class TestLedgerVerified:
    @pytest.mark.parametrize(
        ("properties", "outcome"),
        [
            ({"ledger_verified": True}, Outcome.PASSED),
            ({"ledger_verified": "true"}, Outcome.PASSED),
            ({"ledger_verified": False}, Outcome.VIOLATED),
            ({"ledger_verified": "perhaps"}, Outcome.VIOLATED),
            ({}, Outcome.NO_EVIDENCE),
        ],
    )
    def test_the_books_must_have_been_looked_at(
        self, new_bundle: NewBundle, properties: dict[str, Any], outcome: Outcome
    ) -> None:
        bundle = new_bundle(gates=gate("ledger-verified", suites=["rules"]))
        bundle.healthy_suite(properties=properties)
        bundle.finish()

        assert verdict(bundle).outcome is outcome

    def test_a_repetition_moves_money_too(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        specs = (suite_spec("rules"), suite_spec("rules-round-2", repeats="rules", round=2))
        bundle = new_bundle(*specs, gates=gate("ledger-verified", suites=["rules"]))
        bundle.healthy_suite("rules", properties={"ledger_verified": True})
        bundle.healthy_suite("rules-round-2")
        bundle.finish()

        found = verdict(bundle)

        assert (found.outcome, found.why.split()[3]) == (Outcome.NO_EVIDENCE, "rules-round-2")


class TestP0TwiceGreen:
    def rounds(self, new_bundle: NewBundle, suite_spec: SuiteSpecs, *, second: str) -> Any:
        specs = [suite_spec("rules"), suite_spec("extra", priority=Priority.P1)]
        if second != "unplanned":
            specs.append(suite_spec("rules-round-2", repeats="rules", round=2))
        bundle = new_bundle(*specs, gates=gate("p0-twice-green"))
        bundle.healthy_suite("rules")
        if second == "green":
            bundle.healthy_suite("rules-round-2")
        elif second == "red":
            log = bundle.process("rules-round-2")
            log.failed(A)
            log.end(1)
            bundle.ending("rules-round-2", exit_code=1)
        bundle.finish()
        return bundle

    @pytest.mark.parametrize(
        ("second", "outcome"),
        [
            ("green", Outcome.PASSED),
            ("red", Outcome.VIOLATED),
            ("silent", Outcome.NO_EVIDENCE),
            ("unplanned", Outcome.NO_EVIDENCE),
        ],
    )
    def test_both_rounds_count(
        self, new_bundle: NewBundle, suite_spec: SuiteSpecs, second: str, outcome: Outcome
    ) -> None:
        bundle = self.rounds(new_bundle, suite_spec, second=second)

        assert verdict(bundle).outcome is outcome
