"""Where tests must lie so that a suite finds them. Otherwise one that nobody runs would look like one that passes."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def suite(name: str) -> dict[str, list[str]]:
    """What a suite hands to pytest."""
    configuration = tomllib.loads((PROJECT / "ci" / "confidence.toml").read_text(encoding="utf-8"))
    handed: dict[str, list[str]] = configuration["suites"][name]["pytest"]
    return handed


def collected(*arguments: str) -> set[str]:
    """The ids of the tests that pytest finds."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=50)
    return {line for line in found.stdout.splitlines() if "::" in line}


def test_what_backend_full_leaves_to_backend_critical_is_found_there() -> None:
    """A test that backend-full leaves out, in a folder that backend-critical never reads, is run by nobody."""
    critical, full = suite("backend-critical"), suite("backend-full")
    ignored = [argument for argument in full["args"] if argument.startswith("--ignore")]
    marked = critical["args"][critical["args"].index("-m") + 1]

    left_to_critical = collected("backend/tests", "-m", marked, *ignored)

    assert full["args"][full["args"].index("-m") + 1] == "slow or not (money or trust)", "the rest of the other"
    assert marked == "(money or trust) and not slow"
    assert len(left_to_critical) > 800
    assert [test for test in sorted(left_to_critical) if not test.startswith(tuple(critical["paths"]))] == []
