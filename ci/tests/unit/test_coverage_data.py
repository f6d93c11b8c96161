"""Coverage: every expected data file is accounted for, and each gated file stands for itself."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from coverage import CoverageData

from confidence.evidence import assemble
from confidence.gates import judge_all
from confidence.model.evidence import Evidence, Flaw
from confidence.model.plan import GateSpec, Override
from confidence.model.verdicts import Outcome, Verdict

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]
SOURCE = """def sign(number):
    if number < 0:
        return -1
    return 1
"""
# (from, to) line pairs; negative ones enter and leave a function or the module.
WHOLE = [(-1, 1), (1, -1), (-1, 2), (2, 3), (3, -1), (2, 4), (4, -1)]
ONE_BRANCH = [(-1, 1), (1, -1), (-1, 2), (2, 4), (4, -1)]
ROUTERS = {"files": ["src/*/endpoints.py"], "line": 85, "branch": 65}
RULES = {"files": ["src/*/rules.py"], "line": 85, "branch": 70}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one capability."""
    root = tmp_path / "tree"
    for name in ("endpoints", "rules"):
        path = root / "src" / "wallets" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCE)
    (root / "pyproject.toml").write_text("[tool.coverage.run]\nbranch = true\nrelative_files = true\n")
    return root


def measure(bundle: Any, pid: int, **arcs: list[tuple[int, int]]) -> Path:
    """Leave the data file of one process."""
    folder = bundle.path / "coverage" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    path: Path = folder / f".coverage.rules.machine.pid{pid}.Xabc"
    data = CoverageData(basename=str(path))
    data.add_arcs({f"src/wallets/{name}.py": lines for name, lines in arcs.items()})
    data.write()
    return path


@pytest.fixture
def measured(new_bundle: NewBundle, suite_spec: SuiteSpecs) -> Callable[..., Any]:
    """A bundle whose suite of two workers measured; the second worker saw the branch that the first did not."""

    def make(classes: Mapping[str, Any] | None = None, overrides: tuple[Override, ...] = ()) -> Any:
        settings = {"json": "coverage/wallets.json", "classes": classes or {"routers": ROUTERS, "utils": RULES}}
        gates = (GateSpec("coverage-per-file", settings),)
        bundle = new_bundle(suite_spec(coverage=True), gates=gates, overrides=overrides)
        for process, pid in (("gw0", 101), ("gw1", 102)):
            log = bundle.process(process=process, pid=pid)
            log.collected(f"t.py::{process}")
            log.passed(f"t.py::{process}")
            log.end()
        bundle.ending()
        bundle.finish()
        measure(bundle, 101, endpoints=ONE_BRANCH, rules=ONE_BRANCH)
        measure(bundle, 102, endpoints=WHOLE, rules=WHOLE)
        return bundle

    return make


def verdict_of(bundle: Any, tree: Path) -> tuple[Evidence, Verdict]:
    evidence = assemble(bundle.path, tree)
    return evidence, judge_all(evidence)[1]


class TestWhatIsCombined:
    def test_the_data_of_all_processes_count_together(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured()

        evidence, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.PASSED
        assert evidence.coverage is not None
        assert evidence.coverage.files["src/wallets/rules.py"].branch_percent == 100

    def test_every_format_is_written(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured()

        evidence, _ = verdict_of(bundle, tree)

        written = {path.name for path in (bundle.path / "coverage").iterdir() if path.is_file()}
        assert {"wallets.json", "coverage.xml", "coverage.lcov"} <= written
        assert (bundle.path / "coverage" / "html" / "index.html").is_file()
        assert evidence.missing_artifacts == ()

    def test_a_judged_bundle_can_be_judged_again_without_the_sources(
        self, measured: Callable[..., Any], tree: Path
    ) -> None:
        bundle = measured()
        _, first = verdict_of(bundle, tree)
        shutil.rmtree(tree / "src")

        _, second = verdict_of(bundle, tree)

        assert second == first

    def test_a_json_that_was_written_by_hand_is_not_believed(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured({"utils": {**RULES, "branch": 100}})
        (bundle.path / "coverage" / "data" / ".coverage.rules.machine.pid102.Xabc").unlink()
        measure(bundle, 102, rules=ONE_BRANCH)
        verdict_of(bundle, tree)
        path = bundle.path / "coverage" / "wallets.json"
        flattered = json.loads(path.read_text())
        flattered["files"]["src/wallets/rules.py"]["summary"].update(covered_branches=2, covered_lines=4)
        path.write_text(json.dumps(flattered))

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.VIOLATED

    def test_sources_that_are_not_there_mean_no_verdict(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured()
        shutil.rmtree(tree / "src")

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.NO_EVIDENCE
        assert "could not be combined" in verdict.why


class TestWhatIsAccountedFor:
    def test_a_process_without_data_means_no_verdict(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured()
        (bundle.path / "coverage" / "data" / ".coverage.rules.machine.pid101.Xabc").unlink()

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.NO_EVIDENCE
        assert "process gw0 of suite rules left no coverage data file" in verdict.why

    @pytest.mark.parametrize(("kept", "flaw"), [(0, Flaw.EMPTY), (50, Flaw.CORRUPT), (5000, Flaw.TRUNCATED)])
    def test_a_file_cut_short_means_no_verdict(
        self, measured: Callable[..., Any], tree: Path, kept: int, flaw: Flaw
    ) -> None:
        bundle = measured()
        path = bundle.path / "coverage" / "data" / ".coverage.rules.machine.pid102.Xabc"
        path.write_bytes(path.read_bytes()[:kept])

        evidence, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.NO_EVIDENCE
        assert evidence.coverage is not None
        assert [problem.flaw for problem in evidence.coverage.problems] == [flaw]

    def test_damage_inside_means_no_verdict(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured()
        path = bundle.path / "coverage" / "data" / ".coverage.rules.machine.pid102.Xabc"
        raw = bytearray(path.read_bytes())
        raw[4096:20480] = b"\xff" * (20480 - 4096)
        path.write_bytes(bytes(raw))

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.NO_EVIDENCE

    def test_data_without_branches_mean_no_verdict(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured()
        path = bundle.path / "coverage" / "data" / ".coverage.rules.machine.pid103.Xabc"
        data = CoverageData(basename=str(path))
        data.add_lines({"src/wallets/rules.py": [1, 2]})
        data.write()

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.NO_EVIDENCE
        assert "without branches" in verdict.why

    def test_a_suite_that_left_nothing_means_no_verdict(
        self, new_bundle: NewBundle, suite_spec: SuiteSpecs, tree: Path
    ) -> None:
        bundle = new_bundle(
            suite_spec(coverage=True), gates=(GateSpec("coverage-per-file", {"classes": {"a": RULES}}),)
        )
        bundle.finish()

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.NO_EVIDENCE

    def test_a_run_that_measures_nothing_has_no_evidence(self, new_bundle: NewBundle, tree: Path) -> None:
        bundle = new_bundle(gates=(GateSpec("coverage-per-file", {"classes": {"utils": RULES}}),))
        bundle.healthy_suite()
        bundle.finish()

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.NO_EVIDENCE


class TestTheFloors:
    @pytest.mark.parametrize(
        ("floors", "sentence"),
        [
            ({"line": 85, "branch": 70}, "src/wallets/rules.py lines 75.00 % < 85 %"),
            ({"line": 70, "branch": 70}, "src/wallets/rules.py branches 50.00 % < 70 %"),
        ],
    )
    def test_lines_and_branches_are_judged_apart(
        self, measured: Callable[..., Any], tree: Path, floors: dict[str, int], sentence: str
    ) -> None:
        bundle = measured({"utils": {**RULES, **floors}})
        (bundle.path / "coverage" / "data" / ".coverage.rules.machine.pid102.Xabc").unlink()
        measure(bundle, 102, endpoints=WHOLE, rules=ONE_BRANCH)

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.VIOLATED
        assert sentence in verdict.why

    def test_one_file_below_its_floor_is_not_outweighed_by_others(
        self, measured: Callable[..., Any], tree: Path
    ) -> None:
        for name in ("a", "b", "c", "d"):
            (tree / "src" / name).mkdir()
            (tree / "src" / name / "rules.py").write_text(SOURCE)
        bundle = measured({"utils": RULES})
        data = CoverageData(basename=str(bundle.path / "coverage" / "data" / ".coverage.rules.machine.pid104.Xabc"))
        data.add_arcs({f"src/{name}/rules.py": WHOLE if name != "d" else ONE_BRANCH for name in "abcd"})
        data.write()

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.VIOLATED
        assert verdict.why == "src/d/rules.py lines 75.00 % < 85 %, src/d/rules.py branches 50.00 % < 70 %."

    def test_a_gated_file_that_nobody_imported_is_red(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured()
        (tree / "src" / "payments").mkdir()
        (tree / "src" / "payments" / "rules.py").write_text(SOURCE)

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.VIOLATED
        assert "src/payments/rules.py is not in the coverage data at all (0 %)" in verdict.why

    def test_a_glob_that_matches_no_file_is_red(self, measured: Callable[..., Any], tree: Path) -> None:
        bundle = measured({"utils": {**RULES, "files": ["src/*/rules.py", "src/*/renamed.py"]}})

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.VIOLATED
        assert "src/*/renamed.py matches no file" in verdict.why

    @pytest.mark.parametrize("weakens", [True, False])
    def test_a_lowered_floor_marks_the_verdict(
        self, measured: Callable[..., Any], tree: Path, *, weakens: bool
    ) -> None:
        override = Override("BILLING_COVERAGE_MIN_UTILS_LINE", "80", weakens=weakens, sentence="the floor is 85 %")
        bundle = measured(overrides=(override,))

        _, verdict = verdict_of(bundle, tree)

        assert verdict.outcome is Outcome.PASSED
        assert verdict.weakened is weakens
