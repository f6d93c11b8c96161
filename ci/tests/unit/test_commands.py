"""What a suite is started with cannot be weakened by whoever starts the run."""

from dataclasses import replace
from pathlib import Path

import pytest

from ci.tests.unit.conftest import MakePlan, MakeSpec
from confidence.execution.commands import SuiteHome, command_of, environment_of, marker_of
from confidence.execution.run_directory import RunDirectory
from confidence.suites.overrides import HANDED_DOWN


@pytest.fixture
def home(tmp_path: Path) -> SuiteHome:
    """The folders of a suite."""
    directory = RunDirectory(tmp_path / "run")
    return SuiteHome(tmp_path, directory, tmp_path / "short", "/bin/python", tmp_path / "pyproject.toml")


class TestCommand:
    """One pytest command per suite, with every limit on it."""

    def test_pytest_gets_the_plugin_its_workers_and_its_limits(self, make_spec: MakeSpec, home: SuiteHome) -> None:
        command = command_of(make_spec(workers=2, dist="loadfile", timeout_test_seconds=2.5), home)

        assert command[:4] == ("/bin/python", "-m", "pytest", "tests")
        assert {"confidence.pytest_plugin", "--max-worker-restart=0", "--timeout=2.5", "xfail_strict=true"} < set(
            command
        )
        assert command[command.index("-n") + 1] == "2"
        assert command[command.index("--dist") + 1] == "loadfile"

    def test_a_command_runs_with_our_python(self, make_spec: MakeSpec, home: SuiteHome) -> None:
        spec = make_spec(pytest=None, command=("{python}", "-m", "thing"))

        assert command_of(spec, home) == ("/bin/python", "-m", "thing")


class TestEnvironment:
    """A suite knows its run, and nothing of what was set for others."""

    def test_what_could_weaken_it_is_not_handed_down(
        self, make_spec: MakeSpec, make_plan: MakePlan, home: SuiteHome
    ) -> None:
        inherited = {
            "PYTEST_ADDOPTS": "-k nothing",
            "PYTHONOPTIMIZE": "1",
            "COVERAGE_FILE": "elsewhere",
            "CONFIDENCE_RUN_ID": "outer",
            "CONFIDENCE_SUITES": "till",
            "PATH": "/bin",
        }

        environment = environment_of(make_plan(make_spec()), make_spec(), home, inherited)

        assert environment["CONFIDENCE_RUN_ID"] == "run"
        assert environment["PATH"] == "/bin"
        weakening = {"PYTEST_ADDOPTS", "PYTHONOPTIMIZE", "COVERAGE_FILE", "CONFIDENCE_SUITES"}
        assert not weakening & set(environment)

    def test_every_name_of_ours_is_known_to_a_run_inside(
        self, make_spec: MakeSpec, make_plan: MakePlan, home: SuiteHome
    ) -> None:
        environment = environment_of(make_plan(make_spec()), make_spec(), home, {})

        assert {name for name in environment if name.startswith("CONFIDENCE_")} <= HANDED_DOWN

    def test_a_measured_suite_writes_its_data_into_the_run(
        self, make_spec: MakeSpec, make_plan: MakePlan, home: SuiteHome
    ) -> None:
        spec = make_spec(coverage=True)

        environment = environment_of(make_plan(spec), spec, home, {})

        assert environment["COVERAGE_FILE"] == str(home.directory.path / "coverage/data/.coverage.till")
        assert environment["COVERAGE_PROCESS_START"] == str(home.coverage_rcfile)

    def test_processes_are_not_taken_for_those_of_a_run_of_the_same_name_elsewhere(
        self, make_spec: MakeSpec, make_plan: MakePlan, home: SuiteHome, tmp_path: Path
    ) -> None:
        spec = make_spec()
        plan = make_plan(spec)
        elsewhere = replace(home, directory=RunDirectory(tmp_path / "elsewhere" / "run"))

        theirs = environment_of(plan, spec, elsewhere, {})

        assert marker_of(plan, spec, home).items() <= environment_of(plan, spec, home, {}).items()
        assert not marker_of(plan, spec, home).items() <= theirs.items()
