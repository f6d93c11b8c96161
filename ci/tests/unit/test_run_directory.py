"""A run directory is always fresh, and what is written into it is whole."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from confidence.execution.run_directory import RunDirectory, RunDirectoryError, run_id_of, write_json


class TestFreshness:
    """Evidence of two runs is never mixed."""

    def test_a_used_id_is_refused(self, tmp_path: Path) -> None:
        RunDirectory.create(tmp_path, "one")

        with pytest.raises(RunDirectoryError, match="used before"):
            RunDirectory.create(tmp_path, "one")

    @pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", "../a", "/a", "latest"])
    def test_an_id_that_is_no_folder_name_is_refused(self, tmp_path: Path, run_id: str) -> None:
        with pytest.raises(RunDirectoryError, match="plain folder name"):
            RunDirectory.create(tmp_path / "artifacts", run_id)

    def test_an_id_sorts_by_time_and_says_its_tier(self) -> None:
        moment = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)

        assert run_id_of(moment, "pr-fast", "ab12cd") == "20261121T083000Z-pr-fast-ab12cd"


class TestLatest:
    """``latest`` moves in one step and is relative, so that the artifacts can be moved as a whole."""

    def test_it_follows_the_last_run(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            RunDirectory.create(tmp_path, name).become_latest()

        assert (tmp_path / "latest").readlink() == Path("two")


class TestWholeFiles:
    """A reader never sees half a file."""

    def test_a_failed_write_leaves_the_old_content(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a.json", {"old": 1})

        with pytest.raises(TypeError):
            write_json(tmp_path / "a.json", {"new": object()})

        assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "old": 1\n}\n'
