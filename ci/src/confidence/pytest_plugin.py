"""The pytest plugin that writes the append-only event log: ``-p confidence.pytest_plugin``, silent outside a run.

Every pytest process of a suite (main, or the controller and each worker of pytest-xdist) writes a file of its own, one
JSON object a line. Nothing waits in a buffer but the parts of a test that passed, which go out with its end: a process
that is killed leaves the name of what it was running.

A test hands over a file that belongs to it with ``record_property("artifact.<kind>", path)``, and says with
``@pytest.mark.scenario("name")`` which scenario it plays of those that the gate ``scenario-matrix-complete`` demands,
or with ``@pytest.mark.scenario("trust/row")`` which row of the matrix of ``trust-matrix-complete``, and so on.
"""

import faulthandler
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import pytest

from confidence.execution.event_tail import EventTail
from confidence.execution.run_identity import RunIdentity

TAIL_CHARACTERS = 4_000
LONGREPR_CHARACTERS = 20_000
ARTIFACT_PROPERTY = "artifact."
SCENARIO_MARK = "scenario"
ATTEMPT = 1
"""Nothing repeats a test within its session; the log has a place for it, so that whoever does cannot hide it."""
_TIMEOUT_MESSAGE = re.compile(r"Failed: Timeout \(>[\d.]+s\) from pytest-timeout\.")
_STRICT_XPASS = "[XPASS(strict)]"
_to_json = json.JSONEncoder(separators=(",", ":"), default=str).encode


class EventLog:
    """One process's file of events, written by whole lines in one system call each, so that no line is ever torn."""

    def __init__(self, folder: Path, suite: str, process: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor, self.process = _fresh_file(folder, process)
        self._place = f'"process":{_to_json(self.process)},"suite":{_to_json(suite)}'
        self._owner = os.getpid()
        self._seq = 0
        self._waiting: list[str] = []
        self._second = 0
        self._second_text = ""

    def write(self, event: str, **members: Any) -> None:
        """Append one event."""
        self.write_encoded(event, _to_json(members)[1:-1])

    def write_encoded(self, event: str, members: str, *, can_wait: bool = False) -> None:
        """Append one event whose members are already JSON text: the way of the five lines that every test writes.

        Args:
            event: its name.
            members: the inside of a JSON object.
            can_wait: leave it to the next event to bring this one along; half the system calls are saved so.
        """
        self._seq += 1
        line = f'{{"event":"{event}","at":"{self._moment()}","seq":{self._seq},{self._place},{members}}}\n'
        self._waiting.append(line)
        if not can_wait:
            lines, self._waiting = self._waiting, []
            if os.getpid() == self._owner:  # a test that forks must not speak for its parent
                os.write(self._descriptor, "".join(lines).encode("ascii"))

    def _moment(self) -> str:
        """Now, in UTC; the text of a second is made once, because thousands of events share it."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{int((now - second) * 1_000_000):06d}+00:00"

    def close(self) -> None:
        """No more events come from this process."""
        os.close(self._descriptor)


def _fresh_file(folder: Path, process: str) -> tuple[int, str]:
    """A file that nobody else writes: a command that starts pytest twice leaves two logs, not a mixed one."""
    for number in range(1, 1_000):
        name = process if number == 1 else f"{process}-{number}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            return os.open(folder / f"{name}.jsonl", flags, 0o644), name
        except FileExistsError:
            continue
    raise FileExistsError(f"{folder} has a thousand logs of {process}")


class TestRecorder:
    """Writes what one process sees of its tests."""

    __test__ = False

    def __init__(self, identity: RunIdentity, log: EventLog, *, reports_skipped_files: bool) -> None:
        self._run_dir = identity.run_dir
        self._log = log
        self._reports_skipped_files = reports_skipped_files
        self._deselected: list[str] = []
        self._encoded_id = ""
        self._phases: list[pytest.TestReport] = []
        self.counts: Counter[str] = Counter()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what was set aside; it is told together with what was kept."""
        self._deselected.extend(item.nodeid for item in items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell what could not be collected; a file that skips itself as a whole counts as one skipped test."""
        if report.failed:
            self._log.write("collect_error", id=report.nodeid, longrepr=_longrepr(report))
        elif report.skipped and self._reports_skipped_files:
            self._tell_skipped_file(report)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell what this process means to run."""
        scenarios = {item.nodeid: names for item in session.items if (names := scenarios_of(item))}
        told = {"scenarios": scenarios} if scenarios else {}
        ids = [item.nodeid for item in session.items]
        self._log.write("collected", ids=ids, deselected=self._deselected, **told)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._encoded_id = f'"id":{_to_json(nodeid)},"attempt":{ATTEMPT}'
        self._phases = []
        self._log.write_encoded("test_started", self._encoded_id)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One part of it is over."""
        self._phases.append(report)
        outcome = phase_outcome(report)
        members = f'"phase":"{report.when}","outcome":"{outcome}","seconds":{report.duration:.6f}'
        if outcome != "passed" or hasattr(report, "wasxfail"):
            members = f"{members},{_to_json(_details(report))[1:-1]}"
        self._log.write_encoded("test_phase", f"{self._encoded_id},{members}", can_wait=outcome == "passed")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """It is over as a whole."""
        outcome = overall_outcome(self._phases)
        self.counts[outcome] += 1
        seconds = sum(report.duration for report in self._phases)
        properties = self._phases[-1].user_properties if self._phases else []
        self._tell_artifacts(nodeid, properties)
        told = _to_json(_plain_properties(properties)) if properties else "{}"
        members = f'"outcome":"{outcome}","seconds":{seconds:.6f},"properties":{told}'
        self._log.write_encoded("test_finished", f"{self._encoded_id},{members}")

    def _tell_artifacts(self, nodeid: str, properties: Iterable[tuple[str, object]]) -> None:
        for name, value in properties:
            if name.startswith(ARTIFACT_PROPERTY):
                kind = name.removeprefix(ARTIFACT_PROPERTY)
                path = os.path.relpath(str(value), self._run_dir)
                self._log.write("artifact", id=nodeid, attempt=ATTEMPT, kind=kind, path=path)

    def _tell_skipped_file(self, report: pytest.CollectReport) -> None:
        about = {"id": report.nodeid, "attempt": ATTEMPT}
        self.counts["skipped"] += 1
        self._log.write("collected", ids=[report.nodeid], deselected=[])
        self._log.write("test_started", **about)
        details = {"phase": "setup", "outcome": "skipped", "seconds": 0.0, "longrepr": _longrepr(report)}
        self._log.write("test_phase", **about, **details)
        self._log.write("test_finished", **about, outcome="skipped", seconds=0.0, properties={})


class ControllerRecorder:
    """Writes what the controller of pytest-xdist knows better than its workers: what they collected, and who died."""

    def __init__(self, identity: RunIdentity, log: EventLog) -> None:
        self._identity = identity
        self._log = log
        self._has_told_collection = False
        self.counts: Counter[str] = Counter()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Tell the collection once; all workers must agree on it, or xdist refuses to run."""
        if not self._has_told_collection:
            self._has_told_collection = True
            self._log.write("collected", ids=list(ids), deselected=[])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Name the tests that a dying worker took with it."""
        if error:
            worker = str(node.gateway.id)
            tail = EventTail(self._identity.events_dir, f"{worker}.jsonl")
            tail.look()
            self._log.write("worker_crashed", worker=worker, ids_running=tail.ids_running)


class SessionRecorder:
    """Opens the log when the session starts and closes it when the session ended in an orderly way."""

    def __init__(self, identity: RunIdentity) -> None:
        self._identity = identity
        self._log: EventLog | None = None
        self._recorder: TestRecorder | ControllerRecorder | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Say whose evidence this file is, before anything can happen."""
        process = _process_name(session.config)
        log = EventLog(self._identity.events_dir, self._identity.suite, process)
        self._log = log
        log.write(
            "session_started",
            run_id=self._identity.run_id,
            plan_digest=self._identity.plan_digest,
            commit=self._identity.commit,
            pid=os.getpid(),
            argv=sys.argv,
            worker=process.startswith("gw"),
            attempt=ATTEMPT,
        )
        if process == "controller":
            self._recorder = ControllerRecorder(self._identity, log)
        else:
            speaks_for_all = process in {"main", "gw0"}
            self._recorder = TestRecorder(self._identity, log, reports_skipped_files=speaks_for_all)
        session.config.pluginmanager.register(self._recorder, "confidence-recorder")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Say how the session ended, after every other plugin had its say."""
        yield
        if self._log is not None and self._recorder is not None:
            counts = dict(self._recorder.counts)
            self._log.write("session_finished", exit_status=int(session.exitstatus), counts=counts)
            self._log.close()


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where the runner asked for it."""
    _answer_with_stacks()
    identity = RunIdentity.of_environment(os.environ)
    if identity is not None:
        config.pluginmanager.register(SessionRecorder(identity), "confidence-session")


def _answer_with_stacks() -> None:
    """On SIGUSR1 this process writes the stacks of all its threads, even while it hangs in C code."""
    folder = os.environ.get("CONFIDENCE_STACKS_DIR")
    if folder:
        faulthandler.register(signal.SIGUSR1, file=_stacks_file(Path(folder)), all_threads=True)


def _stacks_file(folder: Path) -> TextIO:
    """A file that stays open as long as the process lives: a signal handler cannot open one."""
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{os.getpid()}.txt").open("a", encoding="utf-8")


def _process_name(config: pytest.Config) -> str:
    workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
    if workerinput is not None:
        return str(workerinput["workerid"])
    return "controller" if config.pluginmanager.hasplugin("dsession") else "main"


def scenarios_of(item: pytest.Item) -> list[str]:
    """The scenarios that a test says it plays: the words of its marks; a mark without a word is a nameless one."""
    marks = list(item.iter_markers(SCENARIO_MARK))
    return [str(word) for mark in marks for word in mark.args or ("",)]


def phase_outcome(report: pytest.TestReport) -> str:
    """The outcome of one part; a timeout of pytest-timeout is an outcome of its own, not just a failure."""
    if report.failed and _TIMEOUT_MESSAGE.search(_crash_message(report)):
        return "timed_out"
    return report.outcome


def overall_outcome(reports: Sequence[pytest.TestReport]) -> str:
    """The outcome of the attempt: the gravest of its parts; a test that should have failed and passed is its own."""
    if all(report.passed and not hasattr(report, "wasxfail") for report in reports):
        return "passed"
    outcomes = [(report.when, phase_outcome(report)) for report in reports]
    if any(outcome == "timed_out" for _, outcome in outcomes):
        return "timed_out"
    if any(when == "call" and outcome == "failed" for when, outcome in outcomes):
        return "xpassed" if any(str(report.longrepr).startswith(_STRICT_XPASS) for report in reports) else "failed"
    if any(outcome == "failed" for _, outcome in outcomes):
        return "error"
    expected_to_fail = any(hasattr(report, "wasxfail") for report in reports)
    if any(outcome == "skipped" for _, outcome in outcomes):
        return "xfailed" if expected_to_fail else "skipped"
    return "xpassed" if expected_to_fail else "passed"


def _crash_message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else str(report.longrepr)


def _longrepr(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return report.longreprtext[-LONGREPR_CHARACTERS:]


def _details(report: pytest.TestReport) -> dict[str, str]:
    """What a reader needs to understand a part that did not pass."""
    details = {
        "longrepr": _longrepr(report),
        "stdout_tail": report.capstdout[-TAIL_CHARACTERS:],
        "stderr_tail": report.capstderr[-TAIL_CHARACTERS:],
        "log_tail": report.caplog[-TAIL_CHARACTERS:],
        "wasxfail": str(getattr(report, "wasxfail", "")),
    }
    return {name: text for name, text in details.items() if text}


def _plain_properties(properties: Iterable[tuple[str, object]]) -> dict[str, object]:
    return {str(name): value for name, value in properties if not name.startswith(ARTIFACT_PROPERTY)}
