"""Runs the real command on small sample projects, as another repository would."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from confidence.model.endings import RunEnding, SuiteEnding
from confidence.model.events import Event, event_from_line
from confidence.model.plan import Plan

SAMPLES = Path(__file__).parent / "samples"
COMMAND_SECONDS = 100  # a machine that is busy with other things needs patience; the command itself takes a second
collect_ignore_glob = ["samples/*"]  # these are other projects' tests


@dataclass(frozen=True)
class Ended:
    """What a command left on the terminal."""

    code: int
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Bundle:
    """A run directory, read with the model's own eyes."""

    path: Path

    @property
    def plan(self) -> Plan:
        return Plan.from_json(self.read("plan.json"))

    @property
    def run(self) -> RunEnding:
        return RunEnding.from_json(self.read("run.json"))

    @property
    def summary(self) -> Any:
        return self.read("summary.json")

    @property
    def unmet_gates(self) -> set[str]:
        return {gate["name"] for gate in self.summary["gates"] if gate["status"] != "passed"}

    def ending(self, suite: str) -> SuiteEnding:
        return SuiteEnding.from_json(self.read(f"suites/{suite}.json"))

    def events(self, suite: str, process: str = "main") -> list[Event]:
        lines = (self.path / "events" / suite / f"{process}.jsonl").read_text(encoding="ascii").splitlines()
        return [event_from_line(line) for line in lines]

    def read(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Project:
    """A copy of a sample project that a test may change as it likes."""

    path: Path

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def configure(self, old: str, new: str) -> None:
        text = (self.path / "confidence.toml").read_text(encoding="utf-8")
        assert old in text
        self.write("confidence.toml", text.replace(old, new))

    def confidence(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        with self.start(*arguments, environment=environment) as process:
            output, _ = process.communicate(timeout=COMMAND_SECONDS)
        return Ended(process.returncode, output.splitlines())

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "confidence", *arguments],
            cwd=self.path,
            env={**_quiet_environment(), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def bundle(self, run_id: str = "latest") -> Bundle:
        return Bundle(self.path / "artifacts" / run_id)


def _quiet_environment() -> dict[str, str]:
    """The environment without what a run around these tests hands down."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CONFIDENCE_", "COVERAGE_"))}


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """The sample project with two small suites, both green."""
    shutil.copytree(SAMPLES / "shop", tmp_path / "shop")
    return Project(tmp_path / "shop")
