"""The command line refuses in one sentence, with the exit code of the cause, before anything is started."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from confidence.cli import app
from confidence.exit_codes import MEANINGS, ExitCode, exit_code_of
from confidence.gates import GATES
from confidence.model.verdicts import OverallStatus

SHOP = Path(__file__).parents[1] / "functional" / "samples" / "shop"
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "exit-codes.md"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the sample project, as the current folder."""
    shutil.copytree(SHOP, tmp_path / "shop")
    for name in [name for name in os.environ if name.startswith("CONFIDENCE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path / "shop")
    yield tmp_path / "shop"
    monkeypatch.undo()


def confidence(*arguments: str) -> Result:
    """Call the command line in this process."""
    return CliRunner().invoke(app, list(arguments))


class TestRefusals:
    """What makes no sense starts nothing."""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("run", "--tier", "qick"), "did you mean 'quick'?"),
            (("run",), "name a tier"),
            (("run", "--tier", "quick", "--suite", "receipts"), "there is no suite 'receipts'"),
            (("run", "--suite", "recipts"), "did you mean 'receipts'?"),
            (("run", "--tier", "quick", "--run-id", "../elsewhere"), "plain folder name"),
            (("run", "--tier", "quick", "--repeat", "0"), "greater than or equal to 1"),
            (("run", "--tier", "quick", "--timeout", "soon"), "as a number"),
            (("gate", "no-such-folder"), "no-such-folder"),
            (("explain", "no-failure"), "did you mean 'no-failures'?"),
        ],
    )
    def test_a_request_that_makes_no_sense(self, shop: Path, arguments: tuple[str, ...], sentence: str) -> None:
        refused = confidence(*arguments)

        assert refused.exit_code == ExitCode.USAGE, refused.output
        assert sentence in " ".join(refused.output.split())
        assert not list((shop / "artifacts").glob("[!.]*"))

    def test_a_variable_that_nobody_reads(self, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONFIDENCE_TIMEOUT_SUITE", "5")

        refused = confidence("run", "--tier", "quick")

        assert refused.exit_code == ExitCode.USAGE
        assert "CONFIDENCE_TIMEOUT_SUITE_SECONDS" in refused.output
        assert not (shop / "artifacts" / "latest").exists()

    def test_a_run_id_that_was_used_before(self, shop: Path) -> None:
        (shop / "artifacts" / "first").mkdir(parents=True)

        refused = confidence("run", "--tier", "quick", "--run-id", "first")

        assert refused.exit_code == ExitCode.USAGE
        assert "used before" in refused.output

    def test_a_folder_without_configuration(self, shop: Path) -> None:
        (shop / "confidence.toml").unlink()

        refused = confidence("run", "--tier", "quick")

        assert refused.exit_code == ExitCode.USAGE
        assert "no ci/confidence.toml or confidence.toml" in refused.output

    def test_a_place_for_artifacts_that_cannot_be_written(self, shop: Path) -> None:
        (shop / "artifacts").write_text("a file is in the way", encoding="utf-8")

        refused = confidence("run", "--tier", "quick")

        assert refused.exit_code == ExitCode.INFRASTRUCTURE
        assert "the machine failed" in refused.output


class TestDryRun:
    """A dry run shows the plan; it proves nothing and takes nobody's place."""

    def test_it_is_no_evidence_and_never_the_latest(self, shop: Path) -> None:
        dry = confidence("run", "--tier", "quick", "--dry-run", "--run-id", "dry")

        assert dry.exit_code == ExitCode.NO_EVIDENCE, dry.output
        assert (shop / "artifacts" / "dry" / "plan.json").exists()
        assert not os.path.lexists(shop / "artifacts" / "latest")
        assert dry.output.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"


class TestExplanations:
    """Whatever a run can end with can be explained."""

    @pytest.mark.parametrize("code", list(ExitCode))
    def test_every_code_by_number_and_by_name(self, code: ExitCode) -> None:
        by_number = confidence("explain", str(code.value)).output
        by_name = confidence("explain", code.name.lower().replace("_", "-")).output

        assert by_number == by_name
        assert MEANINGS[code] in by_number

    @pytest.mark.parametrize("gate", sorted(GATES))
    def test_every_gate(self, gate: str) -> None:
        explained = confidence("explain", gate)

        assert explained.exit_code == ExitCode.GREEN
        assert len(explained.output.splitlines()) >= 2


class TestExitCodes:
    """A number never changes its meaning, and the page that promises it says the same."""

    def test_the_numbers_are_the_documented_ones(self) -> None:
        page = REFERENCE.read_text(encoding="utf-8")

        assert [code.value for code in ExitCode] == [0, 1, 2, 3, 4, 5]
        for code, meaning in MEANINGS.items():
            assert f"| {code.value} | {code.name.lower().replace('_', '-')} | {meaning} |" in page

    def test_only_a_pass_is_green(self) -> None:
        green = [status for status in OverallStatus if exit_code_of(status) is ExitCode.GREEN]

        assert green == [OverallStatus.PASS]
