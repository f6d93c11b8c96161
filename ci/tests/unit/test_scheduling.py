"""Suites run side by side within the cores, and all end when somebody asks."""

import pytest

from ci.tests.unit.conftest import FakeClock, FakeLauncher, FakeProcess, MakeShop, MakeSpec
from confidence.execution.scheduling import Interruptions, Schedule, next_to_start
from confidence.execution.suite_run import SuiteRun, Workshop
from confidence.model.endings import Ending, SuiteEnding


class SilentWatcher:
    """Nobody looks."""

    def suite_started(self, run: SuiteRun) -> None: ...

    def suites_looked_at(self, runs: object, waiting: int) -> None: ...

    def suite_ended(self, run: SuiteRun, ending: SuiteEnding) -> None: ...


def schedule_of(shop: Workshop, interruptions: Interruptions | None = None) -> Schedule:
    """A schedule on two cores."""
    asked = interruptions or Interruptions()
    return Schedule(shop, SilentWatcher(), asked, cores=2, start=lambda spec: SuiteRun(shop, spec))


class TestSideBySide:
    """The cores are filled, never overfilled."""

    def test_two_light_suites_start_together(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        shop = make_shop(make_spec("one"), make_spec("two"), make_spec("three"))

        schedule_of(shop).run()

        assert launcher.started_at["one"] == launcher.started_at["two"] == 0
        assert launcher.started_at["three"] >= 1

    def test_a_heavy_suite_waits_for_all_cores(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        shop = make_shop(make_spec("one"), make_spec("heavy", weight=2), make_spec("two"))

        schedule_of(shop).run()

        assert launcher.started_at["two"] == 0
        assert launcher.started_at["heavy"] >= 1

    def test_one_heavier_than_the_machine_runs_alone(self, make_spec: MakeSpec) -> None:
        assert next_to_start([make_spec(weight=8)], 0, 2) is not None
        assert next_to_start([make_spec(weight=8)], 1, 2) is None


class TestEveryEnding:
    """There is one ending for each suite, whatever happened."""

    def test_one_that_cannot_start_does_not_hold_up_the_others(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher
    ) -> None:
        launcher.refuses.add("one")
        shop = make_shop(make_spec("one"), make_spec("two"))

        endings = {ending.suite: ending.ending for ending in schedule_of(shop).run()}

        assert endings == {"one": Ending.INFRASTRUCTURE, "two": Ending.FINISHED}

    def test_asked_to_end_those_at_work_are_interrupted_and_the_others_never_begin(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher, clock: FakeClock
    ) -> None:
        launcher.prepared["one"] = FakeProcess(clock, ends_at=1_000)
        asked = Interruptions()
        shop = make_shop(make_spec("one", weight=2), make_spec("two"))
        schedule = schedule_of(shop, asked)
        clock.meanwhile = asked.ask

        endings = {ending.suite: ending.ending for ending in schedule.run()}

        assert endings == {"one": Ending.INTERRUPTED, "two": Ending.NOT_STARTED}

    def test_asked_twice_nobody_is_given_grace(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher, clock: FakeClock
    ) -> None:
        process = launcher.prepared["one"] = FakeProcess(clock, ends_at=1_000, heeds_sigterm=False)
        asked = Interruptions()
        schedule = schedule_of(make_shop(make_spec("one")), asked)
        clock.meanwhile = asked.ask  # at every rest once more

        schedule.run()

        assert "kill" in process.calls
        assert clock.seconds < 5

    def test_a_full_disk_leaves_nobody_alive(
        self,
        make_shop: MakeShop,
        make_spec: MakeSpec,
        launcher: FakeLauncher,
        clock: FakeClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        process = launcher.prepared["slow"] = FakeProcess(clock, ends_at=1_000)
        schedule = schedule_of(make_shop(make_spec("quick"), make_spec("slow")))

        def no_space(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("confidence.execution.suite_run.write_json", no_space)

        with pytest.raises(OSError, match="No space left"):
            schedule.run()
        assert process.calls[-1] == "kill"
