"""Runs the guard's cases side by side with the real command, and says of each whether it was refused as it must."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from confidence.execution.event_writer import EventWriter
from confidence.execution.run_identity import RunIdentity
from confidence.model.events import TestOutcome
from confidence.smoke.cases import CASES, CONTROL, Case
from confidence.smoke.projects import GATES, TIER, write_project

_CASE_SECONDS = 120
_OUTPUT_CHARACTERS = 4_000
_PROCESS = "smoke"
# What a run around this one hands down must not reach the samples; its names of the run itself stay, so that the
# outer watchdog still recognises these processes.
_NOT_HANDED_DOWN = ("PYTEST_", "COVERAGE_", "CONFIDENCE_TIMEOUT_", "CONFIDENCE_SUITES", "CONFIDENCE_BUDGET_")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of one case."""

    case: Case
    why: str
    """Why it does not hold; empty when it does."""
    seconds: float
    output: str = ""

    @property
    def holds(self) -> bool:
        """Whether the gate did what it must."""
        return not self.why


class Guard:
    """The cases of one round."""

    def __init__(self, workshop: Path, gates: Sequence[str], narrator: "Narrator") -> None:
        self._workshop = workshop
        self._gates = tuple(gates)
        self._narrator = narrator
        self._control: Future[CaseResult] | None = None

    def try_all(self, cases: Sequence[Case], *, side_by_side: int) -> list[CaseResult]:
        """Try the cases, the control first: others tamper with copies of what it leaves."""
        with ThreadPoolExecutor(max_workers=side_by_side) as pool:
            self._control = pool.submit(self._try, CONTROL)
            others = [pool.submit(self._try, case) for case in cases if case is not CONTROL]
            tried = [future.result() for future in as_completed([self._control, *others])]
        return sorted(tried, key=lambda result: cases.index(result.case))

    def _try(self, case: Case) -> CaseResult:
        self._narrator.begins(case)
        began = time.monotonic()
        try:
            status, bundle, output = self._judged_again(case) if case.tamper else self._run(case)
            why = _difference(case, status, bundle)
        except (OSError, ValueError, LookupError, subprocess.TimeoutExpired) as failed:
            output, why = "", f"the case itself failed: {failed!r}"
        result = CaseResult(case, why, time.monotonic() - began, output[-_OUTPUT_CHARACTERS:])
        self._narrator.ends(result)
        return result

    def _run(self, case: Case) -> tuple[int, Path, str]:
        folder = self._workshop / case.name
        write_project(case.project, folder, self._gates)
        status, output = _confidence(folder, "run", "--tier", TIER, "--run-id", "guarded", *case.arguments)
        return status, folder / "artifacts" / "guarded", output

    def _judged_again(self, case: Case) -> tuple[int, Path, str]:
        """Tamper with a copy of what the control left, and judge it once more."""
        if self._control is None or case.tamper is None:
            raise LookupError("there is no control run to tamper with")
        self._control.result()
        folder = self._workshop / case.name
        shutil.copytree(self._workshop / CONTROL.name, folder, symlinks=True)
        bundle = folder / "artifacts" / "guarded"
        case.tamper(bundle)
        status, output = _confidence(folder, "gate", str(bundle))
        return status, bundle, output


class Narrator:
    """Tells people, and the run around this one, what becomes of each case."""

    def __init__(self, writer: EventWriter | None, say: Callable[[str], None]) -> None:
        self._writer = writer
        self._say = say
        self._turn = threading.Lock()

    def begins(self, case: Case) -> None:
        """A case begins."""
        with self._turn:
            if self._writer is not None:
                self._writer.start_test(_id_of(case))

    def ends(self, result: CaseResult) -> None:
        """A case is over."""
        with self._turn:
            sentence = "as it must be" if result.holds else f"WRONG: {result.why}"
            self._say(f"{result.case.name}: {result.seconds:.1f} s, {result.case.story}: {sentence}")
            if not result.holds:
                self._say(result.output)
            if self._writer is not None:
                outcome = TestOutcome.PASSED if result.holds else TestOutcome.FAILED
                output = "" if result.holds else result.output
                self._writer.finish_test(_id_of(result.case), outcome, result.seconds, why=result.why, output=output)


def guard_the_gate(
    *, quick: bool, say: Callable[[str], None], gates: Sequence[str] = GATES, cases: Sequence[Case] = CASES
) -> list[CaseResult]:
    """Try the guard's cases.

    Args:
        quick: only the five quickest.
        say: takes a line for people.
        gates: the gates that judge the samples; leaving one out must make the guard red.
        cases: the cases.
    """
    chosen = [case for case in cases if case.is_quick or not quick]
    identity = RunIdentity.of_environment(os.environ)
    writer = EventWriter(identity, _PROCESS, lambda: datetime.now(UTC)) if identity is not None else None
    if writer is not None:
        writer.begin(sys.argv, [_id_of(case) for case in chosen])
    with tempfile.TemporaryDirectory(prefix="guard-", dir=os.environ.get("CONFIDENCE_TMP_DIR")) as workshop:
        guard = Guard(Path(workshop), gates, Narrator(writer, say))
        results = guard.try_all(chosen, side_by_side=max(2, len(os.sched_getaffinity(0))))
    if writer is not None:
        writer.end(0 if all(result.holds for result in results) else 1)
    return results


def _id_of(case: Case) -> str:
    return f"smoke::{case.name}"


def _confidence(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the real command in a sample project."""
    done = subprocess.run(
        [sys.executable, "-m", "confidence", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(_NOT_HANDED_DOWN)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_CASE_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", errors="replace")


def _difference(case: Case, status: int, bundle: Path) -> str:
    """What is not as the case demands: the exit code, or the gate that must name the cause."""
    if status != case.exit_code:
        return f"exit code {status} instead of {case.exit_code.value}"
    gates = json.loads((bundle / "summary.json").read_text(encoding="utf-8"))["gates"]
    unmet = [str(gate["name"]) for gate in gates if gate["status"] != "passed"]
    if case.gate and case.gate not in unmet:
        return f"gate {case.gate} did not name the cause; unmet: {', '.join(unmet) or 'none'}"
    return f"unmet gates: {', '.join(unmet)}" if unmet and not case.gate else ""
