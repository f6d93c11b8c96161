"""The directory that a run writes: always fresh, nothing outside it, and whole files only."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from confidence.model.plan import Plan

LATEST = "latest"
_FOLDERS = ("events", "suites", "logs", "junit/foreign", "traces", "screenshots", "coverage/data", "server")


class RunDirectoryError(Exception):
    """A run directory cannot be used as asked; the sentence says why."""


def run_id_of(moment: datetime, tier: str, chance: str) -> str:
    """A run id that sorts by time and says its tier, such as ``20261121T083000Z-pr-fast-ab12cd``."""
    return f"{moment:%Y%m%dT%H%M%SZ}-{tier}-{chance}"


class RunDirectory:
    """``<artifacts>/<run-id>/`` with the folders that suites write into."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def create(artifacts: Path, run_id: str) -> "RunDirectory":
        """Make the directory of a new run.

        Raises:
            RunDirectoryError: the id was used before, or is no plain name.
        """
        if run_id != Path(run_id).name or run_id in {"", ".", "..", LATEST}:
            raise RunDirectoryError(f"a run id is a plain folder name, not {run_id!r}")
        directory = RunDirectory(artifacts / run_id)
        try:
            directory.path.mkdir(parents=True)
        except FileExistsError as used:
            sentence = f"the run id {run_id} was used before; evidence of two runs is never mixed"
            raise RunDirectoryError(sentence) from used
        for folder in _FOLDERS:
            (directory.path / folder).mkdir(parents=True)
        return directory

    @property
    def events(self) -> Path:
        """Where the event logs lie, one folder per suite."""
        return self.path / "events"

    def log_of(self, suite: str) -> Path:
        """The suite's own output."""
        return self.path / "logs" / f"{suite}.log"

    def stacks_of(self, suite: str) -> Path:
        """The stacks of a suite that had to be ended."""
        return self.path / "logs" / f"{suite}.stacks.txt"

    def ending_of(self, suite: str) -> Path:
        """How the suite ended."""
        return self.path / "suites" / f"{suite}.json"

    def relative(self, path: Path) -> str:
        """A path as evidence names it."""
        return path.relative_to(self.path).as_posix()

    def write_plan(self, plan: Plan) -> None:
        """Freeze the plan."""
        write_json(self.path / "plan.json", plan.to_json())

    def become_latest(self) -> None:
        """Let ``latest`` point here, in one step: it never points nowhere."""
        pointer = self.path.parent / LATEST
        fresh = self.path.parent / f".{LATEST}-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.path.name)
        fresh.replace(pointer)


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)
