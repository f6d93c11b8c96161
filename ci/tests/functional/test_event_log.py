"""The plugin's event log tells what happened to each test, in every process."""

from collections import Counter

from ci.tests.functional.conftest import Project
from confidence.model.events import (
    Artifact,
    Collected,
    CollectError,
    SessionFinished,
    SessionStarted,
    TestFinished,
    TestPhase,
    TestStarted,
    WorkerCrashed,
)

EVERY_OUTCOME = """
import os
import sys
import threading

import pytest


@pytest.fixture
def broken():
    raise RuntimeError("no set-up")


@pytest.fixture
def broken_afterwards():
    yield
    raise RuntimeError("no clearing up")


def test_passed(record_property, tmp_path):
    record_property("amount", 5)
    record_property("artifact.trace", os.path.join(os.environ["CONFIDENCE_TRACES_DIR"], "a.zip"))


def test_failed():
    print("said before")
    assert 1 == 2


def test_failed_twice(broken_afterwards):
    assert 1 == 2


def test_error(broken):
    pass


def test_error_afterwards(broken_afterwards):
    pass


@pytest.mark.timeout(0.5)
def test_timed_out():
    threading.Event().wait()


@pytest.mark.skip(reason="not today")
def test_skipped():
    pass


@pytest.mark.xfail(reason="known")
def test_xfailed():
    assert 1 == 2


@pytest.mark.xfail(reason="known")
def test_xpassed():
    pass


@pytest.mark.xfail(reason="known", strict=False)
def test_xpassed_leniently():
    pass


def test_exits():
    sys.exit(0)


@pytest.mark.parametrize("text", ["\\ud800", "\\x00<&\\u2028"])
def test_hostile(text):
    pass


def test_forks():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
"""
EXPECTED = {
    "test_passed": "passed",
    "test_failed": "failed",
    "test_failed_twice": "failed",
    "test_error": "error",
    "test_error_afterwards": "error",
    "test_timed_out": "timed_out",
    "test_skipped": "skipped",
    "test_xfailed": "xfailed",
    "test_xpassed": "xpassed",
    "test_xpassed_leniently": "xpassed",
    "test_exits": "failed",
    "test_forks": "passed",
}
CRASHING = """
import os
import signal

import pytest


@pytest.mark.parametrize("number", range(8))
def test_number(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""


class TestOneProcess:
    """Without workers there is one log, with every outcome in it."""

    def test_every_outcome_is_told(self, shop: Project) -> None:
        shop.write("tests/test_till.py", EVERY_OUTCOME)
        shop.write("tests/test_broken.py", "import pytest\n\npytest.skip('not here', allow_module_level=True)\n")

        ended = shop.confidence("run", "--tier", "quick")

        events = shop.bundle().events("till")
        told = {event.id.split("::")[-1]: event.outcome for event in events if isinstance(event, TestFinished)}
        assert ended.code == 1, ended.text
        assert {name: told.get(name) for name in EXPECTED} == EXPECTED
        assert told["tests/test_broken.py"] == "skipped"
        assert Counter(told.values()) == _last(events).counts
        assert [event.seq for event in events] == list(range(1, len(events) + 1))

    def test_a_test_can_hand_over_a_file_and_facts(self, shop: Project) -> None:
        shop.write("tests/test_till.py", EVERY_OUTCOME)
        shop.configure('args = ["-p",', 'args = ["-k", "test_passed or test_failed", "-p",')

        shop.confidence("run", "--tier", "quick")

        events = shop.bundle().events("till")
        artifact = next(event for event in events if isinstance(event, Artifact))
        finished = next(event for event in events if isinstance(event, TestFinished))
        failed = next(event for event in events if isinstance(event, TestPhase) and event.outcome == "failed")
        assert (artifact.kind, artifact.path) == ("trace", "traces/till/a.zip")
        assert finished.properties == {"amount": 5}
        assert "assert 1 == 2" in (failed.longrepr or "")
        assert failed.stdout_tail == "said before\n"

    def test_the_log_says_whose_it_is(self, shop: Project) -> None:
        shop.write("tests/test_broken.py", "import no_such_module\n")

        shop.confidence("run", "--tier", "quick")

        events, plan = shop.bundle().events("till"), shop.bundle().plan
        first = events[0]
        assert isinstance(first, SessionStarted)
        assert (first.run_id, first.plan_digest, first.suite) == (plan.run_id, plan.plan_digest, "till")
        assert [event.id for event in events if isinstance(event, CollectError)] == ["tests/test_broken.py"]


class TestSeveralProcesses:
    """Under xdist the controller and each worker have a log of their own."""

    def test_a_worker_that_dies_leaves_the_name_of_what_it_ran(self, shop: Project) -> None:
        shop.write("tests/test_till.py", CRASHING)
        shop.configure('priority = "P0"', 'priority = "P0"\nworkers = 2')

        ended = shop.confidence("run", "--tier", "quick")

        bundle = shop.bundle()
        crash = next(event for event in bundle.events("till", "controller") if isinstance(event, WorkerCrashed))
        dead = bundle.events("till", crash.worker)
        assert ended.code == 1, ended.text
        assert crash.ids_running == ("tests/test_till.py::test_number[1]",)
        assert crash.ids_running[0] in {event.id for event in dead if isinstance(event, TestStarted)}
        assert crash.ids_running[0] not in {event.id for event in dead if isinstance(event, TestFinished)}
        assert len(next(event for event in dead if isinstance(event, Collected)).ids) == 8
        assert "test_number[1] (was running)" in ended.text


def _last(events: object) -> SessionFinished:
    assert isinstance(events, list)
    assert isinstance(events[-1], SessionFinished)
    return events[-1]
