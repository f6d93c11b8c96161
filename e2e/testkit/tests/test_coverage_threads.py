"""Measured processes end, however many of their threads end at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

# Threads end while the main thread runs; it hung in two runs of three where main greenlets were not kept, and nearly
# always where greenlet searched for leaks, for which it imports `gc`.
MANY_THREADS = """
import sys
import threading

sys.setswitchinterval(1e-6)
for _ in range(3000):
    sys.modules.pop("gc", None)
    threading.Thread(target=lambda: [each for each in range(3)]).start()
print("done")
"""


class TestManyThreads:
    @pytest.mark.timeout(60)
    def test_that_end_at_once_do_not_hang_a_measured_process(self, tmp_path: Path) -> None:
        script = tmp_path / "many_threads.py"
        script.write_text(MANY_THREADS, encoding="ascii")

        measured = subprocess.run(
            [
                *(sys.executable, "-m", "coverage", "run"),
                *("--rcfile", PROJECT / "pyproject.toml", "--data-file", tmp_path / "coverage", script),
            ],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=45,
            check=False,
        )

        assert (measured.returncode, measured.stdout) == (0, "done\n"), measured.stderr
