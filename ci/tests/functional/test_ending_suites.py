"""Whatever a suite does, it ends: on time, with its stacks, and with nothing left alive."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from ci.tests.functional.conftest import COMMAND_SECONDS, Project

DEAF_TEST = """
import signal
import threading


def test_never_ends():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    threading.Event().wait()
"""
DAEMON_TEST = """
import subprocess
import sys


def test_leaves_a_daemon(tmp_path):
    program = "import time; print(1, flush=True); time.sleep(600)"
    started = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert started.stdout.readline()
"""
WAITING_TEST = """
import threading


def test_waits():
    threading.Event().wait(20)
"""


class TestHangingSuite:
    """The watchdog ends from outside what does not end by itself."""

    def test_it_leaves_its_stacks_and_the_name_of_what_hung(self, shop: Project) -> None:
        shop.write("tests/test_deaf.py", DEAF_TEST)
        shop.configure("timeout_test_seconds = 30", "timeout_test_seconds = 1")
        shop.configure("timeout_idle_seconds = 40", "timeout_idle_seconds = 2")

        ended = shop.confidence("run", "--tier", "quick")

        ending = shop.bundle().ending("till")
        assert ended.code == 1, ended.text
        assert ending.ending == "idle"
        assert "test_never_ends" in ending.sentence
        assert ending.signal == "SIGKILL"
        assert "in test_never_ends" in (shop.bundle().path / ending.stacks).read_text(encoding="utf-8")
        assert "test_never_ends (was running)" in ended.text

    def test_a_deadline_on_the_command_line_reaches_every_suite(self, shop: Project) -> None:
        shop.write("tests/test_waiting.py", WAITING_TEST)
        shop.write("receipt_tests/test_waiting.py", WAITING_TEST)

        ended = shop.confidence("run", "--tier", "full", "--timeout", "2.5")

        assert ended.code == 1, ended.text
        assert {shop.bundle().ending(suite).ending for suite in ("till", "receipts")} == {"timed_out"}


class TestLeakedProcess:
    """A process that outlives its suite is named and ended, even one that made a session of its own."""

    def test_it_is_named_and_gone(self, shop: Project) -> None:
        shop.write("tests/test_daemon.py", DAEMON_TEST)

        shop.confidence("run", "--tier", "quick")

        leaked = shop.bundle().ending("till").leaked_processes
        assert len(leaked) == 1
        assert "time.sleep(600)" in leaked[0].command
        assert not is_at_work(leaked[0].pid)


class TestInterruptedRun:
    """Whoever ends a run gets a partial bundle that says so, and no process stays behind."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_says_so_and_leaves_nobody_alive(self, shop: Project, number: signal.Signals) -> None:
        shop.write("tests/test_deaf.py", DEAF_TEST)
        with shop.start("run", "--tier", "full", "--run-id", "cut") as command:
            log = shop.path / "artifacts" / "cut" / "events" / "till" / "main.jsonl"
            wait_until(lambda: log.exists() and "test_started" in log.read_text(encoding="ascii"), command)

            command.send_signal(number)
            output, _ = command.communicate(timeout=COMMAND_SECONDS)

        bundle = shop.bundle("cut")
        assert command.returncode == 5, output
        assert bundle.summary["overall_status"] == "interrupted"
        assert bundle.run.interrupted
        assert bundle.ending("till").ending == "interrupted"
        assert not alive_with("CONFIDENCE_RUN_DIR", str(bundle.path))


class TestSecondRun:
    """Two runs in one tree would take each other's cores and ports."""

    def test_it_is_refused_while_the_first_is_at_work(self, shop: Project) -> None:
        (shop.path / "artifacts").mkdir()
        with (shop.path / "artifacts" / ".lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

            ended = shop.confidence("run", "--tier", "quick")

        assert ended.code == 4, ended.text
        assert "another run is at work" in ended.text


def is_at_work(pid: int) -> bool:
    """Whether the process still runs; one that is dead and not yet buried by its new parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(holds: Callable[[], bool], command: "subprocess.Popen[str]") -> None:
    """Wait for something that the command does; an ended command never does it."""
    deadline = time.monotonic() + COMMAND_SECONDS
    while not holds():
        assert command.poll() is None
        assert time.monotonic() < deadline
        os.sched_yield()


def alive_with(name: str, value: str) -> list[str]:
    """The processes whose environment has that value."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
