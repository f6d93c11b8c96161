"""The working tree as git sees it."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from confidence.model.plan import Provenance

_NO_COMMIT = "none"
_THE_COMMIT = "HEAD"
_PACKAGES = ("coverage", "pytest", "pytest-timeout", "pytest-xdist")
_ANSWER_SECONDS = 30


class GitTree:
    """A git working tree; a folder that is none has no commit and no tracked files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def provenance(self) -> Provenance:
        """Commit, branch and machine."""
        return Provenance(
            commit=self._ask("rev-parse", "HEAD").strip() or _NO_COMMIT,
            dirty=bool(self._ask("status", "--porcelain")),
            branch=self._ask("rev-parse", "--abbrev-ref", "HEAD").strip() or _NO_COMMIT,
            python=platform.python_version(),
            versions={name: importlib.metadata.version(name) for name in _PACKAGES},
            machine=platform.platform(),
            cores=len(os.sched_getaffinity(0)),
        )

    def tracked_state(self) -> Mapping[str, str]:
        """The tracked files that differ from the commit, each with a digest of its present content."""
        commit = self._answer("rev-parse", "HEAD")
        listed = self._answer("diff", "HEAD", "--name-only", "-z", "--no-renames", "--relative")
        if commit is None or listed is None:
            # A repository of which git says nothing is not an unchanged one: an empty state is an unknown one.
            return {} if (self._folder / ".git").exists() else {_THE_COMMIT: ""}
        changed = {name: self._digest(name) for name in listed.split("\0") if name}
        # A commit made meanwhile changes what was judged although no file differs from the (new) commit.
        return {_THE_COMMIT: commit.strip(), **changed}

    def _digest(self, name: str) -> str:
        try:
            return hashlib.sha256((self._folder / name).read_bytes()).hexdigest()
        except OSError as unreadable:
            return f"unreadable: {unreadable.strerror}"

    def _ask(self, *arguments: str) -> str:
        """What git answers, or nothing where there is no repository, no commit yet or no git."""
        return self._answer(*arguments) or ""

    def _answer(self, *arguments: str) -> str | None:
        """What git answers, which may be nothing; None where it does not answer."""
        command = ("git", "--no-optional-locks", "-C", str(self._folder), *arguments)
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ANSWER_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout if answer.returncode == 0 else None
