"""Where tests must lie so that a suite finds them. Otherwise one that nobody runs would look like one that passes."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]
PRODUCT = "backend/src/billing"


def configuration() -> dict[str, Any]:
    """What the gate runs, and how it judges."""
    return tomllib.loads((PROJECT / "ci" / "confidence.toml").read_text(encoding="utf-8"))


def suite(name: str) -> dict[str, list[str]]:
    """What a suite hands to pytest."""
    handed: dict[str, list[str]] = configuration()["suites"][name]["pytest"]
    return handed


def gated(name: str) -> set[str]:
    """The files that a class of the coverage gate holds to its floors."""
    globs = configuration()["gates"]["coverage-per-file"]["classes"][name]["files"]
    return {path.relative_to(PROJECT).as_posix() for glob in globs for path in PROJECT.glob(glob)}


def collected(*arguments: str) -> set[str]:
    """The ids of the tests that pytest finds."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=50)
    return {line for line in found.stdout.splitlines() if "::" in line}


def test_what_backend_full_leaves_to_backend_critical_is_found_there() -> None:
    """A test that backend-full leaves out, in a folder that backend-critical never reads, is run by nobody."""
    critical, full = suite("backend-critical"), suite("backend-full")
    left_out = [argument for argument in full["args"] if argument.startswith("--ignore")]
    marked = critical["args"][critical["args"].index("-m") + 1]

    read_by_critical = [f"--ignore={path}" for path in critical["paths"]]
    found_elsewhere = collected("backend/tests", "-m", marked, *left_out, *read_by_critical)

    assert full["args"][full["args"].index("-m") + 1] == "slow or not (money or trust)", "the rest of the other"
    assert marked == "(money or trust) and not slow"
    assert len(collected("backend/tests/api/test_webhooks_api.py", "-m", marked)) > 1, "or nothing is ever found"
    assert sorted(found_elsewhere) == []


@pytest.mark.parametrize("capability", ["payments", "subscriptions", "webhooks"])
def test_each_file_on_the_way_to_a_provider_has_the_floors_of_money(capability: str) -> None:
    """A file that no glob matches could lose its tests, and the coverage gate would stay green."""
    files = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / PRODUCT / capability).rglob("*.py")}

    doors = {path for path in files if path.endswith("endpoints.py")}

    assert doors, "a pattern that matches nothing would excuse nothing"
    assert sorted(doors - gated("routers")) == []
    assert sorted(files - doors - gated("money")) == []
