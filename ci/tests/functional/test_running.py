"""The command runs the suites of a tier and gives one verdict."""

import subprocess
from pathlib import Path

from ci.tests.functional.conftest import Project


class TestGreenRun:
    """A healthy project is green, and its evidence lies where it is said to lie."""

    def test_all_that_was_planned_ran(self, shop: Project) -> None:
        ended = shop.confidence("run", "--tier", "full", "--run-id", "first")

        assert ended.code == 0, ended.text
        assert ended.lines[-1] == "3 passed, 0 failed, 0 skipped"
        assert ended.lines[-2] == f"report: {shop.path / 'artifacts' / 'first' / 'report.html'}"
        assert shop.bundle().path.resolve() == shop.bundle("first").path
        assert {shop.bundle().ending(suite).ending for suite in ("till", "receipts")} == {"finished"}

    def test_a_tier_answers_to_its_alias(self, shop: Project) -> None:
        ended = shop.confidence("run", "--tier", "fast")

        assert ended.code == 0, ended.text
        assert shop.bundle().plan.tier == "quick"

    def test_p0_suites_run_as_often_as_the_tier_asks(self, shop: Project) -> None:
        ended = shop.confidence("run", "--tier", "twice")

        assert ended.code == 0, ended.text
        assert [spec.name for spec in shop.bundle().plan.suites] == ["till", "receipts", "till-round-2"]

    def test_nothing_is_left_in_the_tree_but_the_bundle_which_can_be_judged_again(self, shop: Project) -> None:
        before = {path for path in shop.path.rglob("*") if "__pycache__" not in path.parts}

        shop.confidence("run", "--tier", "quick", "--run-id", "first")
        again = shop.confidence("gate", "artifacts/first")

        after = {path for path in shop.path.rglob("*") if "__pycache__" not in path.parts}
        assert {path.relative_to(shop.path).parts[0] for path in after - before} == {"artifacts"}
        assert again.code == 0, again.text
        assert again.lines[-1] == "2 passed, 0 failed, 0 skipped"


class TestRedRun:
    """Whatever is not proved is red, with the exit code of its cause."""

    def test_a_failing_test_is_a_violated_gate_and_said_before_all_else(self, shop: Project) -> None:
        shop.write("tests/test_more.py", "def test_fails():\n    assert 1 == 2\n")

        ended = shop.confidence("run", "--tier", "quick")

        assert ended.code == 1
        assert shop.bundle().unmet_gates == {"no-failures"}
        assert ended.lines[-1] == "2 passed, 1 failed, 0 skipped"
        sentences = [line.strip().split(":")[0] for line in ended.lines]
        assert sentences.index("not met") < sentences.index("report")

    def test_a_command_that_does_not_start_is_the_machines_fault(self, shop: Project) -> None:
        shop.configure(
            'pytest = { paths = ["receipt_tests"], args = ["-p", "xdist.plugin", "-p", "pytest_timeout"] }',
            'command = ["no-such-program"]',
        )

        ended = shop.confidence("run", "--tier", "full")

        assert ended.code == 4, ended.text
        assert "no-such-program could not be started" in shop.bundle().ending("receipts").sentence

    def test_a_tracked_file_that_a_test_changes_is_named(self, shop: Project) -> None:
        commit_everything(shop.path)
        shop.write("tests/test_more.py", "def test_spoils():\n    open('till.py', 'a').write('# spoiled')\n")

        ended = shop.confidence("run", "--tier", "quick")

        assert ended.code == 1, ended.text
        assert shop.bundle().unmet_gates == {"tracked-files-unchanged"}
        assert shop.bundle().run.tracked_changes == ("till.py",)

    def test_a_required_artifact_that_is_missing_is_no_evidence(self, shop: Project) -> None:
        shop.configure('"minimum-counts", "time-budget"', '"minimum-counts", "artifacts-complete", "time-budget"')
        shop.configure('priority = "P0"', 'priority = "P0"\nrequired_artifacts = ["traces/{suite}/*.zip"]')

        ended = shop.confidence("run", "--tier", "quick")

        assert ended.code == 3, ended.text
        assert "traces/till/*.zip" in ended.text


class TestCommandSuite:
    """A command that runs no tests of its own is one test."""

    def test_it_passes_when_it_ends_with_0(self, shop: Project) -> None:
        make_receipts_a_command(shop, "pass")

        ended = shop.confidence("run", "--tier", "full")

        assert ended.code == 0, ended.text
        assert ended.lines[-1] == "3 passed, 0 failed, 0 skipped"

    def test_it_fails_with_its_last_words(self, shop: Project) -> None:
        make_receipts_a_command(shop, "import sys; sys.exit('paper is out')")

        ended = shop.confidence("run", "--tier", "full")

        assert ended.code == 1, ended.text
        assert "paper is out" in (shop.bundle().path / "events/receipts/runner.jsonl").read_text(encoding="ascii")


class TestPartOfATier:
    """What was left out was not proved."""

    def test_parts_are_no_evidence_alone_and_green_together(self, shop: Project) -> None:
        one = shop.confidence("run", "--tier", "full", "--suite", "till", "--run-id", "one")
        shop.confidence("run", "--tier", "full", "--suite", "receipts", "--run-id", "two")

        merged = shop.confidence("merge", "artifacts/one", "artifacts/two", "--out", "artifacts/both")

        assert one.code == 3, one.text
        assert "all-suites-ran" in shop.bundle("one").unmet_gates
        assert merged.code == 0, merged.text
        assert merged.lines[-1] == "3 passed, 0 failed, 0 skipped"

    def test_a_suite_for_its_own_sake_is_judged_by_itself(self, shop: Project) -> None:
        ended = shop.confidence("run", "--suite", "receipts")

        assert ended.code == 0, ended.text
        assert shop.bundle().plan.tier == "no-tier"


class TestOverrides:
    """Nobody makes a run easier without being named in its verdict."""

    def test_fewer_suites_are_never_green(self, shop: Project) -> None:
        ended = shop.confidence("run", "--tier", "full", environment={"CONFIDENCE_SUITES": "till"})

        assert ended.code == 1, ended.text
        assert shop.bundle().unmet_gates == {"no-weakening-overrides"}
        assert shop.bundle().summary["counts"]["passed"] == 2

    def test_pytests_own_variable_does_not_empty_a_suite(self, shop: Project) -> None:
        ended = shop.confidence("run", "--tier", "quick", environment={"PYTEST_ADDOPTS": "-k nothing"})

        assert ended.code == 0, ended.text
        assert ended.lines[-1] == "2 passed, 0 failed, 0 skipped"


def make_receipts_a_command(shop: Project, program: str) -> None:
    """Let the second suite be a Python program that is judged by its exit code."""
    shop.configure(
        'pytest = { paths = ["receipt_tests"], args = ["-p", "xdist.plugin", "-p", "pytest_timeout"] }',
        f'command = ["{{python}}", "-c", "{program}"]\nevidence = "exit_code"',
    )


def commit_everything(folder: Path) -> None:
    """Make a repository of the folder."""
    who = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid")
    for command in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "begin")):
        subprocess.run(("git", *command), cwd=folder, check=True)
