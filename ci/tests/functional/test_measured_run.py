"""A real run that measures coverage, and real runs that are joined, as another repository would do it."""

from typing import Any

import pytest

FLOORS = """
[gates.coverage-per-file]
json = "coverage/shop.json"

[gates.coverage-per-file.classes.rules]
files = ["till.py"]
line = {line}
branch = 50
"""
MEASURING = """
[tool.coverage.run]
branch = true
parallel = true
relative_files = true
source_pkgs = ["till"]
disable_warnings = ["no-data-collected", "module-not-imported"]
"""


@pytest.fixture
def measuring(shop: Any) -> Any:
    """The sample project, whose full tier gates the coverage of its one module."""
    shop.configure('suites = ["till", "receipts"]\nbudget_seconds = 300\ngates = ["all', COVERED)
    shop.write("pyproject.toml", (shop.path / "pyproject.toml").read_text(encoding="utf-8") + MEASURING)
    return shop


COVERED = """suites = ["till", "receipts"]
coverage = ["till"]
budget_seconds = 300
gates = ["coverage-per-file", "artifacts-complete", "all"""


class TestARunThatMeasures:
    def test_it_is_green_when_each_gated_file_reaches_its_floors(self, measuring: Any) -> None:
        measuring.write("confidence.toml", _config(measuring) + FLOORS.format(line=50))

        ended = measuring.confidence("run", "--tier", "full")

        bundle = measuring.bundle()
        assert ended.code == 0, ended.text
        assert [file["path"] for file in bundle.summary["coverage_summary"]["files"]] == ["till.py"]
        assert (bundle.path / "coverage" / "shop.json").is_file()

    def test_workers_each_leave_their_part(self, measuring: Any) -> None:
        measuring.write("confidence.toml", _config(measuring) + FLOORS.format(line=50))
        measuring.configure('[suites.till]\npriority = "P0"', '[suites.till]\npriority = "P0"\nworkers = 2')

        ended = measuring.confidence("run", "--tier", "full")

        assert ended.code == 0, ended.text
        assert measuring.bundle().summary["coverage_summary"]["data_files"] == 3

    def test_a_gated_file_that_no_test_imports_is_red(self, measuring: Any) -> None:
        measuring.write("confidence.toml", _config(measuring) + FLOORS.format(line=50).replace("till.py", "*.py"))
        measuring.write("refunds.py", "REFUNDS = 1\n")

        ended = measuring.confidence("run", "--tier", "full")

        assert ended.code == 1
        assert measuring.bundle().unmet_gates == {"coverage-per-file"}
        assert "refunds.py is not in the coverage data at all" in ended.text


class TestRunsThatAreJoined:
    def test_suites_that_ran_apart_become_one_green_bundle(self, shop: Any) -> None:
        for suite in ("till", "receipts"):
            shop.confidence("run", "--tier", "full", "--suite", suite, "--run-id", f"part-{suite}")

        ended = shop.confidence("merge", "artifacts/part-till", "artifacts/part-receipts", "--out", "artifacts/whole")

        assert ended.code == 0, ended.text
        assert shop.bundle("whole").summary["provenance"]["flags"]["merged_from"] == ["part-till", "part-receipts"]

    def test_a_missing_part_is_no_evidence_and_named(self, shop: Any) -> None:
        shop.confidence("run", "--tier", "full", "--suite", "till", "--run-id", "part-till")

        ended = shop.confidence("merge", "artifacts/part-till", "artifacts/part-receipts", "--out", "artifacts/whole")

        assert ended.code == 3
        assert "bundle part-receipts is not there" in ended.text
        assert shop.bundle("whole").summary["counts"]["passed"] > 0


def _config(project: Any) -> str:
    text: str = (project.path / "confidence.toml").read_text(encoding="utf-8")
    return text
