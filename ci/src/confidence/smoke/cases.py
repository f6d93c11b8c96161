"""The cases of the guard: each a way in which a gate was, or could be, green without evidence."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from confidence.exit_codes import ExitCode
from confidence.smoke.projects import HEALTHY, SCENARIO_GATE, SCENARIOS, SUITE, SampleProject

_PASSES = "def test_passes():\n    assert True\n"
_OTHERS = "".join(f"def test_other_{number}():\n    assert {number} >= 0\n\n\n" for number in range(6))


@dataclass(frozen=True, slots=True)
class Case:
    """One fault and the refusal that it must meet; without a gate the case must be green."""

    name: str
    story: str
    exit_code: ExitCode
    gate: str = ""
    project: SampleProject = HEALTHY
    tamper: Callable[[Path], None] | None = None
    """Done to a copy of the healthy run's directory, which is then judged again; nothing else is run."""
    arguments: tuple[str, ...] = ()
    is_quick: bool = False


def _tests(text: str, **settings: object) -> SampleProject:
    return SampleProject(tests={"test_purse.py": text}, **settings)  # type: ignore[arg-type]  # names are the fields


def _lose_the_events(bundle: Path) -> None:
    (bundle / "events" / SUITE / "main.jsonl").unlink()


def _bring_in_an_earlier_run(bundle: Path) -> None:
    """The file is whole and green, but another run wrote it."""
    log = bundle / "events" / SUITE / "main.jsonl"
    run_id = json.loads((bundle / "plan.json").read_text(encoding="utf-8"))["run_id"]
    log.write_text(log.read_text(encoding="ascii").replace(run_id, "20200101T000000Z-sample-000000"), encoding="ascii")


def _truncate_the_coverage(bundle: Path) -> None:
    data = min((bundle / "coverage" / "data").glob(".coverage.*"))
    data.write_bytes(data.read_bytes()[:1000])


CONTROL = Case(
    name="healthy",
    story="a healthy project is green: a guard that sees red everywhere proves nothing",
    exit_code=ExitCode.GREEN,
    project=SampleProject(coverage=True, scenarios=SCENARIOS),
    is_quick=True,
)
CASES: tuple[Case, ...] = (
    CONTROL,
    Case(
        name="failing-test",
        story="one test fails",
        exit_code=ExitCode.GATE_VIOLATED,
        gate="no-failures",
        project=_tests(_PASSES + "\n\ndef test_fails():\n    assert 1 == 2\n"),
        is_quick=True,
    ),
    Case(
        name="os-exit-zero",
        story="a test ends the process with os._exit(0), which looks like success",
        exit_code=ExitCode.GATE_VIOLATED,
        gate="nothing-lost",
        project=_tests("import os\n\n\ndef test_leaves():\n    os._exit(0)\n\n\n" + _PASSES),
        is_quick=True,
    ),
    Case(
        name="all-skipped",
        story="every test is skipped",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="minimum-counts",
        project=_tests("import pytest\n\n\n@pytest.mark.skip\n" + _PASSES),
        is_quick=True,
    ),
    Case(
        name="missing-events",
        story="the event log of a suite is missing",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="all-suites-ran",
        tamper=_lose_the_events,
        is_quick=True,
    ),
    Case(
        name="stale-file",
        story="the event log is of an earlier run",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="evidence-whole",
        tamper=_bring_in_an_earlier_run,
    ),
    Case(
        name="truncated-coverage",
        story="a coverage file is truncated",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="coverage-per-file",
        tamper=_truncate_the_coverage,
    ),
    Case(
        name="hanging-test",
        story="a test never ends",
        exit_code=ExitCode.GATE_VIOLATED,
        gate="no-failures",
        project=_tests(
            "import threading\n\n\ndef test_hangs():\n    threading.Event().wait()\n", timeout_test_seconds=1.0
        ),
    ),
    Case(
        name="deaf-process",
        story="a test never ends, swallows its timeout and ignores SIGTERM",
        exit_code=ExitCode.GATE_VIOLATED,
        gate="all-suites-ran",
        project=_tests(
            "import signal\nimport threading\n\n\ndef test_hangs():\n"
            "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})\n"
            "    threading.Event().wait()\n",
            timeout_test_seconds=1.0,
            timeout_idle_seconds=2.0,
        ),
    ),
    Case(
        name="zero-tests",
        story="there is no test at all",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="minimum-counts",
        project=_tests('"""Nothing here."""\n'),
    ),
    Case(
        name="missing-junit",
        story="a foreign runner ends well and leaves no JUnit file",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="all-suites-ran",
        project=SampleProject(command=("{python}", "-c", "pass")),
    ),
    Case(
        name="junit-says-ok",
        story="the JUnit file is there, and holds the text ok",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="evidence-whole",
        project=SampleProject(
            command=(
                *("{python}", "-c"),
                "import os, pathlib; pathlib.Path(os.environ['CONFIDENCE_JUNIT_DIR'], 'report.xml').write_text('ok')",
            )
        ),
    ),
    Case(
        name="sys-exit-zero",
        story="a test calls sys.exit(0)",
        exit_code=ExitCode.GATE_VIOLATED,
        gate="no-failures",
        project=_tests("import sys\n\n\ndef test_leaves():\n    sys.exit(0)\n\n\n" + _PASSES),
    ),
    Case(
        name="import-error",
        story="one file cannot be imported, the others pass",
        exit_code=ExitCode.GATE_VIOLATED,
        gate="no-failures",
        project=SampleProject(tests={"test_purse.py": _PASSES, "test_broken.py": "import no_such_module\n"}),
    ),
    Case(
        name="everything-deselected",
        story="a selection leaves nothing over",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="minimum-counts",
        project=SampleProject(arguments=("-k", "no_such_test")),
    ),
    Case(
        name="suite-renamed-away",
        story="the suite's folder is not there any more",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="minimum-counts",
        project=SampleProject(paths=("tests/renamed_away",)),
    ),
    Case(
        name="crashed-worker",
        story="a worker of pytest-xdist is killed and takes its queue with it",
        exit_code=ExitCode.GATE_VIOLATED,
        gate="nothing-lost",
        project=_tests(
            "import os\nimport signal\n\n\ndef test_crashes():\n    os.kill(os.getpid(), signal.SIGKILL)\n\n\n"
            + _OTHERS,
            workers=2,
        ),
    ),
    Case(
        name="scenario-gone",
        story="the test of one scenario was renamed and its mark forgotten, the others pass",
        exit_code=ExitCode.GATE_VIOLATED,
        gate=SCENARIO_GATE,
        project=_tests(f"import pytest\n\n\n@pytest.mark.scenario({SCENARIOS[0]!r})\n{_PASSES}", scenarios=SCENARIOS),
    ),
    Case(
        name="dry-run",
        story="a dry run starts nothing",
        exit_code=ExitCode.NO_EVIDENCE,
        gate="all-suites-ran",
        arguments=("--dry-run",),
    ),
)
