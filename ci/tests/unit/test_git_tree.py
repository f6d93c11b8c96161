"""What the runner knows of the working tree."""

import subprocess
from pathlib import Path

import pytest

from confidence.adapters.git import GitTree
from confidence.suites.planning import digest_of_state

WHO = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid")


def git(folder: Path, *arguments: str) -> None:
    """Run git there."""
    subprocess.run(("git", *WHO, *arguments), cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one committed file."""
    (tmp_path / "a file.txt").write_text("one", encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "begin")
    return tmp_path


class TestTrackedState:
    """Any change of a tracked file changes the state, also of one that was changed before."""

    def test_a_changed_file_is_in_it(self, tree: Path) -> None:
        (tree / "a file.txt").write_text("two", encoding="utf-8")

        assert "a file.txt" in GitTree(tree).tracked_state()

    def test_a_changed_file_that_changes_again(self, tree: Path) -> None:
        (tree / "a file.txt").write_text("two", encoding="utf-8")
        before = GitTree(tree).tracked_state()

        (tree / "a file.txt").write_text("three", encoding="utf-8")

        assert GitTree(tree).tracked_state() != before

    def test_a_file_that_is_gone(self, tree: Path) -> None:
        before = GitTree(tree).tracked_state()

        (tree / "a file.txt").unlink()

        assert GitTree(tree).tracked_state() != before

    def test_a_commit_made_meanwhile(self, tree: Path) -> None:
        before = GitTree(tree).tracked_state()

        git(tree, "commit", "-q", "--allow-empty", "-m", "meanwhile")

        assert GitTree(tree).tracked_state() != before

    def test_an_untracked_file_is_nobodys_business(self, tree: Path) -> None:
        before = GitTree(tree).tracked_state()

        (tree / "new.txt").write_text("new", encoding="utf-8")

        assert GitTree(tree).tracked_state() == before

    def test_a_repository_that_git_cannot_read_has_no_known_state(self, tree: Path) -> None:
        (tree / ".git" / "HEAD").write_text("spoilt", encoding="utf-8")

        assert digest_of_state(GitTree(tree).tracked_state()) == ""


class TestProvenance:
    """Where there is no repository, the evidence says so instead of guessing."""

    def test_a_commit_and_what_differs_from_it(self, tree: Path) -> None:
        clean = GitTree(tree).provenance()
        (tree / "a file.txt").write_text("two", encoding="utf-8")

        assert len(clean.commit) == 40
        assert (clean.dirty, GitTree(tree).provenance().dirty) == (False, True)

    def test_a_folder_without_repository(self, tmp_path: Path) -> None:
        provenance = GitTree(tmp_path).provenance()

        assert (provenance.commit, provenance.branch, provenance.dirty) == ("none", "none", False)
