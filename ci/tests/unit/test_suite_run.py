"""One suite, from its start until nothing of it is alive."""

from pathlib import Path

from ci.tests.unit.conftest import FakeClock, FakeLauncher, FakeProcess, MakeShop, MakeSpec
from confidence.execution.suite_run import SuiteRun
from confidence.execution.watchdog import Expiry
from confidence.model.endings import Ending, SuiteEnding
from confidence.model.events import TestFinished, event_from_line
from confidence.model.plan import EvidenceKind

LOOKS_MAX = 2_000


def look_until_over(run: SuiteRun, clock: FakeClock) -> SuiteEnding:
    """Look every tenth of a second, as the schedule does."""
    for _ in range(LOOKS_MAX):
        ending = run.look()
        if ending is not None:
            return ending
        clock.rest(0.1)
    raise AssertionError("the suite never ended")


class TestOrderlyEnd:
    """A command that ends by itself is believed as to that, and to nothing else."""

    def test_its_exit_code_is_kept(self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher) -> None:
        launcher.prepared["till"] = FakeProcess(launcher.clock, status=3)
        run = SuiteRun(make_shop(make_spec()), make_spec())
        run.start()

        ending = look_until_over(run, launcher.clock)

        assert (ending.ending, ending.exit_code, ending.signal) == (Ending.FINISHED, 3, None)
        assert ending.sentence == "the command ended with 3"

    def test_a_signal_is_named(self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher) -> None:
        launcher.prepared["till"] = FakeProcess(launcher.clock, status=-11)
        run = SuiteRun(make_shop(make_spec()), make_spec())
        run.start()

        ending = look_until_over(run, launcher.clock)

        assert (ending.exit_code, ending.signal) == (None, "SIGSEGV")

    def test_the_ending_is_written_down(self, make_shop: MakeShop, make_spec: MakeSpec, clock: FakeClock) -> None:
        shop = make_shop(make_spec())
        run = SuiteRun(shop, make_spec())
        run.start()

        ending = look_until_over(run, clock)

        assert shop.directory.ending_of("till").exists()
        assert ending.plan_digest == shop.plan.plan_digest

    def test_its_temporary_folder_is_cleared_away(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        run = SuiteRun(make_shop(make_spec()), make_spec())
        run.start()

        look_until_over(run, launcher.clock)

        assert not Path(launcher.environments["till"]["CONFIDENCE_TMP_DIR"]).exists()


class TestExpiry:
    """A suite whose time is over leaves its stacks, is asked to end, and is ended."""

    def test_a_silent_suite_is_ended(self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher) -> None:
        process = launcher.prepared["till"] = FakeProcess(launcher.clock, ends_at=1_000)
        spec = make_spec(timeout_idle_seconds=4.0)
        run = SuiteRun(make_shop(spec), spec)
        run.start()

        ending = look_until_over(run, launcher.clock)

        assert ending.ending is Ending.IDLE
        assert ending.sentence == "no event came for 4 s; no test was running"
        assert [call for call in process.calls if call != "note"] == ["stacks", "terminate"]

    def test_one_that_ignores_the_request_is_killed(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        process = launcher.prepared["till"] = FakeProcess(launcher.clock, ends_at=1_000, heeds_sigterm=False)
        spec = make_spec(timeout_suite_seconds=3.0)
        run = SuiteRun(make_shop(spec), spec)
        run.start()

        ending = look_until_over(run, launcher.clock)

        assert (ending.ending, ending.signal) == (Ending.TIMED_OUT, "SIGKILL")
        assert [call for call in process.calls if call != "note"] == ["stacks", "terminate", "kill"]
        assert 8.0 <= launcher.clock.seconds <= 8.5

    def test_events_keep_a_suite_alive(self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher) -> None:
        launcher.prepared["till"] = FakeProcess(launcher.clock, ends_at=12)
        spec = make_spec(timeout_idle_seconds=4.0)
        shop = make_shop(spec)
        run = SuiteRun(shop, spec)
        run.start()

        ending = None
        while ending is None:
            with (shop.directory.events / "till" / "main.jsonl").open("a", encoding="ascii") as log:
                log.write('{"event":"test_started","id":"a"}\n')
            launcher.clock.rest(3)
            ending = run.look()

        assert ending.ending is Ending.FINISHED


class TestRemains:
    """Processes that outlive the command are named and ended."""

    def test_a_leaked_process_is_named(self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher) -> None:
        launcher.prepared["till"] = FakeProcess(launcher.clock, leaves_behind=True)
        run = SuiteRun(make_shop(make_spec()), make_spec())
        run.start()

        ending = look_until_over(run, launcher.clock)

        assert [process.command for process in ending.leaked_processes] == ["orphan"]
        assert "left processes behind, which were ended: orphan (process 2)" in ending.sentence

    def test_a_moment_to_follow_is_granted(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        process = launcher.prepared["till"] = FakeProcess(launcher.clock, leaves_behind=True)
        run = SuiteRun(make_shop(make_spec()), make_spec())
        run.start()
        launcher.clock.rest(1)
        run.look()

        process.orphan_lives = False
        ending = run.look()

        assert ending is not None
        assert ending.leaked_processes == ()


class TestOtherEnds:
    """What never ran, or was cut off, is told apart from what failed."""

    def test_a_command_that_cannot_be_started(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        launcher.refuses.add("till")
        run = SuiteRun(make_shop(make_spec()), make_spec())

        ending = run.start()

        assert ending is not None
        assert ending.ending is Ending.INFRASTRUCTURE
        assert ending.sentence == "python could not be started: No such file or directory"

    def test_an_interrupted_suite_leaves_no_stacks(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        process = launcher.prepared["till"] = FakeProcess(launcher.clock, ends_at=1_000)
        run = SuiteRun(make_shop(make_spec()), make_spec())
        run.start()

        run.stop(Expiry(Ending.INTERRUPTED, "somebody ended the run"))
        ending = look_until_over(run, launcher.clock)

        assert ending.ending is Ending.INTERRUPTED
        assert process.calls == ["terminate"]


class TestCommandThatIsOneTest:
    """The runner itself writes the events of a command that is judged by its exit code."""

    def test_a_timeout_is_its_own_outcome(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        launcher.prepared["lint"] = FakeProcess(launcher.clock, ends_at=1_000)
        spec = make_spec(
            "lint", pytest=None, command=("lint",), evidence=EvidenceKind.EXIT_CODE, timeout_suite_seconds=2.0
        )
        shop = make_shop(spec)
        run = SuiteRun(shop, spec)
        run.start()

        look_until_over(run, launcher.clock)

        lines = (shop.directory.events / "lint" / "runner.jsonl").read_text(encoding="ascii").splitlines()
        finished = [event for event in map(event_from_line, lines) if isinstance(event, TestFinished)]
        assert [(event.id, event.outcome) for event in finished] == [("lint::command", "timed_out")]
