"""The artifact index and the manifest: what is missing, empty or changed has a name."""

from collections.abc import Callable
from typing import Any

import pytest

from confidence.evidence import assemble
from confidence.gates import judge_all
from confidence.model.evidence import Evidence, Flaw
from confidence.reports import write_reports

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]


def missing(evidence: Evidence) -> list[str]:
    return [entry.path for entry in evidence.missing_artifacts]


class TestTheIndex:
    def test_a_healthy_bundle_misses_nothing_and_lists_every_file(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()

        evidence = assemble(bundle.finish())

        listed = {entry.path for entry in evidence.artifacts}
        assert missing(evidence) == []
        assert listed == {path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*") if path.is_file()}
        assert all(len(entry.sha256) == 64 for entry in evidence.artifacts)

    @pytest.mark.parametrize("glob", ["traces/*.zip", "traces/**/*.zip", "server/api.log"])
    def test_a_required_glob_without_a_file_is_missing(
        self, new_bundle: NewBundle, suite_spec: SuiteSpecs, glob: str
    ) -> None:
        bundle = new_bundle(suite_spec(required_artifacts=(glob,)))
        bundle.healthy_suite()

        evidence = assemble(bundle.finish())

        assert missing(evidence) == [glob]

    @pytest.mark.parametrize("glob", ["server/*.log", "server/**/*.log", "server/api.log"])
    def test_a_file_with_content_satisfies_it(self, new_bundle: NewBundle, suite_spec: SuiteSpecs, glob: str) -> None:
        bundle = new_bundle(suite_spec(required_artifacts=(glob,)))
        bundle.healthy_suite()
        (bundle.path / "server").mkdir()
        (bundle.path / "server" / "api.log").write_text("started\n")

        evidence = assemble(bundle.finish())

        assert missing(evidence) == []

    def test_an_empty_file_does_not(self, new_bundle: NewBundle, suite_spec: SuiteSpecs) -> None:
        bundle = new_bundle(suite_spec(required_artifacts=("server/api.log",)))
        bundle.healthy_suite()
        (bundle.path / "server").mkdir()
        (bundle.path / "server" / "api.log").touch()

        evidence = assemble(bundle.finish())

        assert missing(evidence) == ["server/api.log"]

    def test_a_run_that_was_cut_off_has_no_ending(self, new_bundle: NewBundle) -> None:
        bundle = new_bundle()
        bundle.healthy_suite()

        evidence = assemble(bundle.path)

        assert "run.json" in missing(evidence)


class TestTheManifest:
    def judged(self, new_bundle: NewBundle) -> Any:
        bundle = new_bundle()
        bundle.healthy_suite()
        evidence = assemble(bundle.finish())
        write_reports(bundle.path, evidence, judge_all(evidence))
        return bundle

    def test_an_untouched_bundle_can_be_judged_again(self, new_bundle: NewBundle) -> None:
        bundle = self.judged(new_bundle)

        evidence = assemble(bundle.path)

        assert evidence.problems == ()

    @pytest.mark.parametrize("relative", ["junit/merged.xml", "events/rules/main.jsonl", "logs/rules.log"])
    def test_a_file_taken_out_afterwards_is_missing(self, new_bundle: NewBundle, relative: str) -> None:
        bundle = self.judged(new_bundle)
        (bundle.path / relative).unlink()

        evidence = assemble(bundle.path)

        assert Flaw.MISSING in {problem.flaw for problem in evidence.serious_problems if problem.source == relative}
        assert relative in missing(evidence)

    def test_a_file_changed_afterwards_is_named(self, new_bundle: NewBundle) -> None:
        bundle = self.judged(new_bundle)
        summary = bundle.path / "summary.json"
        summary.write_text(summary.read_text().replace("pass", "PASS"))

        evidence = assemble(bundle.path)

        assert [(problem.flaw, problem.source) for problem in evidence.problems] == [(Flaw.CORRUPT, "summary.json")]

    def test_a_file_added_afterwards_is_foreign(self, new_bundle: NewBundle) -> None:
        bundle = self.judged(new_bundle)
        bundle.process(process="gw7").passed("tests/rules.py::test_late")

        evidence = assemble(bundle.path)

        assert (Flaw.FOREIGN, "events/rules/gw7.jsonl") in {
            (problem.flaw, problem.source) for problem in evidence.serious_problems
        }

    @pytest.mark.parametrize("relative", ["events/rules/main.jsonl", "logs/rules.log", "run.json"])
    def test_judging_again_does_not_heal_what_was_changed(self, new_bundle: NewBundle, relative: str) -> None:
        bundle = self.judged(new_bundle)
        path = bundle.path / relative
        path.write_text(path.read_text() + "\n")
        for _ in range(2):
            evidence = assemble(bundle.path)
            write_reports(bundle.path, evidence, judge_all(evidence))

        again = assemble(bundle.path)

        assert (Flaw.CORRUPT, relative) in {(problem.flaw, problem.source) for problem in again.serious_problems}

    def test_what_is_derived_may_be_written_again(self, new_bundle: NewBundle) -> None:
        bundle = self.judged(new_bundle)
        (bundle.path / "junit" / "merged.xml").unlink()
        evidence = assemble(bundle.path)
        write_reports(bundle.path, evidence, judge_all(evidence))

        again = assemble(bundle.path)

        assert again.problems == ()

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"files": {"../x": {"sha256": "", "bytes": 0}}}'])
    def test_a_broken_manifest_is_no_evidence(self, new_bundle: NewBundle, content: str) -> None:
        bundle = self.judged(new_bundle)
        (bundle.path / "manifest.json").write_text(content)

        evidence = assemble(bundle.path)

        assert evidence.serious_problems[0].source == "manifest.json"
