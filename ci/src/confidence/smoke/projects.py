"""The small projects that the guard runs: one healthy purse with tests, and variations of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SUITE = "purse"
TIER = "sample"
GATES = (
    *("all-suites-ran", "no-failures", "nothing-lost", "minimum-counts", "artifacts-complete"),
    *("time-budget", "tracked-files-unchanged", "no-weakening-overrides"),
)
COVERAGE_GATE = "coverage-per-file"
SCENARIO_GATE = "scenario-matrix-complete"
SCENARIOS = ("taken", "overdrawn")

_PURSE = '''"""A purse that is never overdrawn."""


def taken(balance: int, amount: int) -> int:
    if amount > balance:
        raise ValueError("not enough")
    return balance - amount
'''
_TESTS = """import pytest
from purse import taken


@pytest.mark.scenario("taken")
def test_what_is_taken_is_gone():
    assert taken(5, 2) == 3


@pytest.mark.scenario("overdrawn")
def test_more_than_there_is_cannot_be_taken():
    with pytest.raises(ValueError, match="not enough"):
        taken(1, 2)
"""
_PYPROJECT = """[tool.pytest.ini_options]
pythonpath = ["."]
markers = ["scenario: a scenario that the gate demands"]

[tool.coverage.run]
branch = true
parallel = true
relative_files = true
source = ["."]
patch = ["subprocess"]
disable_warnings = ["no-data-collected"]
"""
# Only the plugins that a run needs: a machine full of others starts pytest half a second slower.
_ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
_ARGUMENTS = ("-p", "xdist.plugin", "-p", "pytest_timeout")


@dataclass(frozen=True, slots=True)
class SampleProject:
    """What is different from the healthy project."""

    tests: Mapping[str, str] = field(default_factory=lambda: {"test_purse.py": _TESTS})
    """Files of the folder ``tests``."""
    paths: tuple[str, ...] = ("tests",)
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    """Runs instead of pytest; its evidence is a foreign JUnit file."""
    workers: int = 0
    coverage: bool = False
    scenarios: tuple[str, ...] = ()
    """Those that the gate of the scenario matrix demands."""
    timeout_test_seconds: float = 30.0
    timeout_idle_seconds: float = 45.0


HEALTHY = SampleProject()


def write_project(project: SampleProject, folder: Path, gates: tuple[str, ...]) -> None:
    """Write the project into an empty folder.

    Args:
        project: what is different from the healthy one.
        folder: becomes the root of the project.
        gates: the gates that judge it.
    """
    (folder / "tests").mkdir(parents=True)
    for name, text in project.tests.items():
        (folder / "tests" / name).write_text(text, encoding="utf-8")
    (folder / "purse.py").write_text(_PURSE, encoding="utf-8")
    (folder / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
    (folder / "confidence.toml").write_text(_configuration(project, gates), encoding="utf-8")


def _configuration(project: SampleProject, gates: tuple[str, ...]) -> str:
    judged = [*gates, *([COVERAGE_GATE] if project.coverage else []), *([SCENARIO_GATE] if project.scenarios else [])]
    floors = {"files": ["purse.py"], "line": 85, "branch": 65}
    measured = [SUITE] if project.coverage else []
    return _toml(
        {
            "project": {"name": "sample", "artifacts": "artifacts", "stop_grace_seconds": 0.5},
            f"suites.{SUITE}": _suite(project),
            f"tiers.{TIER}": {"suites": [SUITE], "gates": judged, "budget_seconds": 300, "coverage": measured},
            f"gates.{COVERAGE_GATE}.classes.utils": floors,
            f"gates.{SCENARIO_GATE}.required": dict.fromkeys(project.scenarios, 1),
        }
    )


def _suite(project: SampleProject) -> dict[str, object]:
    selection: dict[str, object] = {"command": list(project.command), "evidence": "junit"}
    if not project.command:
        arguments = [*_ARGUMENTS, *project.arguments]
        selection = {"pytest": {"paths": list(project.paths), "args": arguments}, "environment": _ENVIRONMENT}
    return {
        "priority": "P0",
        **selection,
        "workers": project.workers,
        "timeout_test_seconds": project.timeout_test_seconds,
        "timeout_idle_seconds": project.timeout_idle_seconds,
        "timeout_suite_seconds": 90,
    }


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    lines: list[str] = []
    for name, members in tables.items():
        lines.append(f"[{name}]")
        lines.extend(f"{member} = {_value(value)}" for member, value in members.items())
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    """A TOML value; JSON writes the same for texts, numbers, truth values and lists."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_value(member)}" for name, member in value.items()) + "}"
    return json.dumps(value)
