"""A process whose asserts are compiled away does nothing: they guard money."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # nothing of it is in any cache


def test_no_command_runs_without_its_asserts() -> None:
    command = [sys.executable, "-B", "-O", "-c", "from billing.cli import main; main()", "version"]

    refused = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "PYTHONOPTIMIZE" in refused.stderr
