"""summary.json: its shape is promised in a schema, and the same evidence always gives the same document."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from confidence.evidence import assemble, merge
from confidence.gates import GATE_NAMES, judge_all
from confidence.model.endings import Ending, LeakedProcess
from confidence.model.plan import GateSpec, Override
from confidence.model.verdicts import OverallStatus
from confidence.reports import Summary, write_reports

NewBundle = Callable[..., Any]
SuiteSpecs = Callable[..., Any]
SCHEMA = Path(__file__).parents[3] / "docs" / "reference" / "summary.schema.json"
EVERY_GATE = tuple(GateSpec(name) for name in sorted(GATE_NAMES))
A = "tests/rules.py::test_a"


def judged(path: Path) -> tuple[Summary, dict[str, Any]]:
    evidence = assemble(path)
    summary = write_reports(path, evidence, judge_all(evidence))
    document: dict[str, Any] = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    return summary, document


def check(document: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


def green(new_bundle: NewBundle) -> Path:
    bundle = new_bundle(gates=(GateSpec("all-suites-ran"), GateSpec("no-failures")))
    bundle.healthy_suite()
    path: Path = bundle.finish()
    return path


def red(new_bundle: NewBundle) -> Path:
    override = Override("BILLING_COVERAGE_MIN_UTILS_LINE", "80", weakens=True, sentence="the floor is 85 %")
    bundle = new_bundle(gates=EVERY_GATE, overrides=(override,))
    log = bundle.process()
    log.collected(A, "tests/rules.py::never")
    log.failed(A, teardown="E   LedgerError")
    log.crashed("gw0", A)
    bundle.ending(
        ending=Ending.TIMED_OUT, exit_code=None, signal="SIGKILL", leaked_processes=(LeakedProcess(7, "sleep", (80,)),)
    )
    path: Path = bundle.finish(interrupted=True)
    return path


def empty(new_bundle: NewBundle) -> Path:
    bundle = new_bundle(gates=EVERY_GATE, dry_run=True)
    path: Path = bundle.path
    return path


def planless(new_bundle: NewBundle) -> Path:
    path = empty(new_bundle)
    (path / "plan.json").unlink()
    return path


class TestTheSchema:
    @pytest.mark.parametrize("made", [green, red, empty, planless])
    def test_every_run_writes_what_it_promises(self, new_bundle: NewBundle, made: Callable[..., Path]) -> None:
        path = made(new_bundle)

        _, document = judged(path)

        check(document)

    def test_a_merged_bundle_does_too(self, new_bundle: NewBundle, tmp_path: Path) -> None:
        out = merge([green(new_bundle), tmp_path / "nowhere"], tmp_path / "out")

        _, document = judged(out)

        check(document)
        assert document["provenance"]["flags"]["merged_from"] == ["run", "nowhere"]


class TestTheDocument:
    def test_a_green_run_says_so_and_misses_nothing(self, new_bundle: NewBundle) -> None:
        summary, document = judged(green(new_bundle))

        assert summary.status is OverallStatus.PASS
        assert (document["overall_status"], document["causes"]) == ("pass", [])
        assert document["artifact_index"]["missing_count"] == 0
        assert {"report.html", "summary.md"} <= {entry["path"] for entry in document["artifact_index"]["entries"]}

    def test_all_causes_are_listed_and_the_gravest_names_the_run(self, new_bundle: NewBundle) -> None:
        summary, document = judged(red(new_bundle))

        assert summary.status is OverallStatus.INTERRUPTED
        assert document["causes"] == ["interrupted", "fail", "no_evidence"]
        assert summary.weakened
        assert document["counts"] == {
            **dict.fromkeys(("passed", "timed_out", "flaky", "skipped"), 0),
            "total": 2,
            "failed": 1,
            "lost": 1,
        }

    def test_a_dry_run_is_not_run(self, new_bundle: NewBundle) -> None:
        summary, _ = judged(empty(new_bundle))

        assert summary.status is OverallStatus.NOT_RUN

    def test_what_does_not_exist_yet_says_not_run(self, new_bundle: NewBundle) -> None:
        _, document = judged(green(new_bundle))

        assert document["drill_summary"] == document["mutation_summary"] == {"status": "not_run"}

    def test_judging_again_gives_the_same_document(self, new_bundle: NewBundle) -> None:
        path = red(new_bundle)
        _, first = judged(path)

        _, second = judged(path)

        assert second == first

    def test_the_manifest_covers_every_file(self, new_bundle: NewBundle) -> None:
        path = green(new_bundle)
        judged(path)

        manifest = json.loads((path / "manifest.json").read_text())

        files = {item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file()}
        assert set(manifest["files"]) == files - {"manifest.json"}
