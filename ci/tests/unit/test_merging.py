"""Merging: bundles of one plan are joined, a wrong one is named, and the rest is still shown."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confidence.evidence import assemble, merge
from confidence.evidence.merging import MergeTargetError
from confidence.gates import judge_all
from confidence.model.evidence import Evidence, Flaw
from confidence.model.plan import GateSpec
from confidence.model.verdicts import OverallStatus
from confidence.reports import Summary, write_reports

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]
GATES = tuple(GateSpec(name) for name in ("all-suites-ran", "no-failures", "nothing-lost", "artifacts-complete"))


@pytest.fixture
def parts(new_bundle: NewBundle, suite_spec: SuiteSpecs) -> Callable[..., Any]:
    """Bundles of one plan, each with the run of one suite."""

    def make(name: str, suite: str, **members: Any) -> Any:
        specs = (suite_spec("rules"), suite_spec("pages"))
        bundle = new_bundle(*specs, name=name, run_id=f"run-{name}", gates=GATES, **members)
        bundle.healthy_suite(suite, f"test_{name}_a", f"test_{name}_b")
        bundle.finish()
        return bundle

    return make


def judged(path: Path) -> tuple[Evidence, Summary]:
    evidence = assemble(path)
    return evidence, write_reports(path, evidence, judge_all(evidence))


class TestBundlesThatBelongTogether:
    def test_suites_that_ran_apart_become_one_green_bundle(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        one, two = parts("one", "rules"), parts("two", "pages")

        out = merge([one.path, two.path], tmp_path / "out")

        evidence, summary = judged(out)
        assert summary.status is OverallStatus.PASS, [verdict.why for verdict in summary.verdicts]
        assert evidence.counts.passed == 4
        assert evidence.sources == ("one", "two")

    def test_shards_of_one_suite_are_joined(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        shards = [parts("one", "rules"), parts("two", "rules"), parts("three", "pages")]

        out = merge([shard.path for shard in shards], tmp_path / "out")

        evidence, summary = judged(out)
        assert summary.status is OverallStatus.PASS, [verdict.why for verdict in summary.verdicts]
        assert len(evidence.suites[0].cases) == 4
        assert len(evidence.suites[0].endings) == 2

    def test_the_bundles_that_went_in_stay_as_they_were(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        one = parts("one", "rules")
        before = {path: path.read_bytes() for path in one.path.rglob("*") if path.is_file()}

        judged(merge([one.path], tmp_path / "out"))

        assert {path: path.read_bytes() for path in one.path.rglob("*") if path.is_file()} == before

    def test_a_taken_place_is_refused(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        one = parts("one", "rules")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "something").touch()

        with pytest.raises(MergeTargetError, match="not empty"):
            merge([one.path], tmp_path / "out")


def _remove(path: Path) -> None:
    shutil.rmtree(path)


def _empty(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def _cut_plan(path: Path) -> None:
    (path / "plan.json").write_text((path / "plan.json").read_text()[:50])


def _cut_run(path: Path) -> None:
    (path / "run.json").unlink()


def _cut_events(path: Path) -> None:
    events = path / "events" / "pages" / "main.jsonl"
    events.write_bytes(events.read_bytes()[:-30])


def _rewrite_plan(path: Path) -> None:
    plan = json.loads((path / "plan.json").read_text())
    plan["budget_seconds"] = 1
    (path / "plan.json").write_text(json.dumps(plan))


class TestABundleThatIsWrong:
    @pytest.mark.parametrize(
        ("damage", "flaw"),
        [
            (_remove, Flaw.MISSING),
            (_empty, Flaw.EMPTY),
            (_cut_plan, Flaw.TRUNCATED),
            (_cut_run, Flaw.MISSING),
            (_cut_events, Flaw.TRUNCATED),
            (_rewrite_plan, Flaw.CORRUPT),
        ],
    )
    def test_it_is_named_and_the_rest_is_shown(
        self, parts: Callable[..., Any], tmp_path: Path, damage: Callable[[Path], None], flaw: Flaw
    ) -> None:
        one, two = parts("one", "rules"), parts("two", "pages")
        damage(two.path)

        out = merge([one.path, two.path], tmp_path / "out")

        evidence, summary = judged(out)
        assert flaw in {problem.flaw for problem in evidence.serious_problems}
        assert any("two" in problem.source or "pages" in problem.source for problem in evidence.serious_problems)
        assert summary.status is OverallStatus.NO_EVIDENCE
        assert evidence.suites[0].counts.passed == 2

    def test_another_plan_is_foreign(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        one, two = parts("one", "rules"), parts("two", "pages", budget_seconds=1.0)

        evidence, summary = judged(merge([one.path, two.path], tmp_path / "out"))

        assert summary.status is OverallStatus.NO_EVIDENCE
        assert "two ran under plan" in evidence.serious_problems[0].sentence

    def test_another_commit_is_foreign(self, parts: Callable[..., Any], new_bundle: NewBundle, tmp_path: Path) -> None:
        one = parts("one", "rules")
        provenance = json.loads((one.path / "plan.json").read_text())["provenance"] | {"commit": "f" * 40}
        stranger = new_bundle(*one.plan.suites, name="two", run_id="run-two", gates=GATES)
        plan = json.loads((stranger.path / "plan.json").read_text()) | {"provenance": provenance}
        resealed = type(one.plan).from_json(plan).sealed()
        stranger.write_json("plan.json", resealed.to_json())
        stranger.finish()

        evidence, _ = judged(merge([one.path, stranger.path], tmp_path / "out"))

        assert "two is of commit ffffffffffff" in evidence.serious_problems[0].sentence

    def test_one_bundle_twice_is_a_duplicate(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        one, two = parts("one", "rules"), parts("two", "pages")
        shutil.copytree(one.path, tmp_path / "copy")

        evidence, _ = judged(merge([one.path, two.path, tmp_path / "copy"], tmp_path / "out"))

        assert [(problem.flaw, problem.source) for problem in evidence.serious_problems] == [(Flaw.DUPLICATED, "copy")]
        assert evidence.counts.total == 4

    def test_a_test_that_two_bundles_executed_is_a_duplicate(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        one = parts("one", "rules")
        two = parts("two", "pages")
        two.healthy_suite("rules", "test_one_a")

        evidence, summary = judged(merge([one.path, two.path], tmp_path / "out"))

        assert "executed 1 tests that one executed too" in evidence.serious_problems[0].sentence
        assert summary.status is OverallStatus.NO_EVIDENCE

    def test_a_bundle_that_was_changed_after_it_was_sealed_is_named(
        self, parts: Callable[..., Any], tmp_path: Path
    ) -> None:
        one, two = parts("one", "rules"), parts("two", "pages")
        judged(two.path)
        (two.path / "logs" / "pages.log").unlink()

        evidence, _ = judged(merge([one.path, two.path], tmp_path / "out"))

        assert "two/logs/pages.log" in {problem.source for problem in evidence.serious_problems}

    def test_a_suite_that_no_bundle_ran_is_missed(self, parts: Callable[..., Any], tmp_path: Path) -> None:
        one = parts("one", "rules")

        evidence, summary = judged(merge([one.path], tmp_path / "out"))

        ran = next(verdict for verdict in summary.verdicts if verdict.name == "all-suites-ran")
        assert ran.why == "pages left no report."
        assert evidence.suites[1].cases == ()

    def test_nothing_readable_at_all_is_no_evidence(self, tmp_path: Path) -> None:
        out = merge([tmp_path / "nowhere"], tmp_path / "out")

        _, summary = judged(out)

        assert summary.status is OverallStatus.NO_EVIDENCE
