"""Measured processes end, however many of their threads end at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

# Each hung without the plugin, and where main greenlets were kept but greenlet searched for leaks. The first is what a
# busy server does when it has had nothing to do for a while; in the second the search has to import `gc`.
IDLE_THREADS_OF_A_SERVER = """
import gc
import sys
import threading

gc.freeze()
sys.setswitchinterval(1e-6)
for _ in range(100):
    is_over = threading.Event()
    threads = [threading.Thread(target=is_over.wait) for _ in range(30)]
    for thread in threads:
        thread.start()
    is_over.set()
    for thread in threads:
        thread.join()
print("done")
"""
THREADS_WITHOUT_GC = """
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
    @pytest.mark.parametrize("threads", [IDLE_THREADS_OF_A_SERVER, THREADS_WITHOUT_GC], ids=["idle", "without-gc"])
    def test_that_end_at_once_do_not_hang_a_measured_process(self, threads: str, tmp_path: Path) -> None:
        script = tmp_path / "many_threads.py"
        script.write_text(threads, encoding="ascii")

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
