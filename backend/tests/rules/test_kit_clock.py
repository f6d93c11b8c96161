"""Time moves only forward, in every process, and as far as it was told to (G19)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.kit import clock as clock_module
from billing.kit.clock import Clock, MovableClock, SystemClock

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class MachineTime(datetime):
    """The machine's clock, as an operating system shows it: it can jump either way."""

    shown: ClassVar[datetime] = NOON

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # the clock always asks for UTC
        assert tz is UTC
        return cls.shown


@pytest.fixture
def machine_time(monkeypatch: pytest.MonkeyPatch) -> type[MachineTime]:
    """The machine's clock, to be set by the test."""
    monkeypatch.setattr(MachineTime, "shown", NOON)
    monkeypatch.setattr(clock_module, "datetime", MachineTime)
    return MachineTime


@pytest.fixture(params=["system", "movable"])
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Clock:
    """Either clock that a process can have."""
    return SystemClock() if request.param == "system" else MovableClock(tmp_path / "offset")


class TestTelling:
    def test_the_moment_is_the_machines_in_utc(self, clock: Clock, machine_time: type[MachineTime]) -> None:
        machine_time.shown = NOON + timedelta(seconds=1)

        assert clock.now() == NOON + timedelta(seconds=1)
        assert clock.now().tzinfo is UTC

    def test_a_machine_that_steps_back_does_not_take_us_with_it(
        self, clock: Clock, machine_time: type[MachineTime]
    ) -> None:
        told = clock.now()

        machine_time.shown = NOON - timedelta(hours=1)
        held = clock.now()
        machine_time.shown = NOON + timedelta(seconds=1)

        assert held == told
        assert clock.now() == NOON + timedelta(seconds=1)


class TestMoving:
    def test_a_written_number_of_seconds_moves_every_process_at_its_next_look(
        self, tmp_path: Path, machine_time: type[MachineTime]
    ) -> None:
        one, other = MovableClock(tmp_path / "offset"), MovableClock(tmp_path / "offset")
        before = one.now()

        (tmp_path / "offset").write_text("901.5\n", encoding="ascii")

        assert one.now() - before == timedelta(seconds=901.5)
        assert other.now() == one.now()
        assert machine_time.shown == NOON

    @pytest.mark.parametrize("content", [None, "", " \n"])
    def test_no_number_moves_nothing(
        self, content: str | None, tmp_path: Path, machine_time: type[MachineTime]
    ) -> None:
        if content is not None:
            (tmp_path / "offset").write_text(content, encoding="ascii")

        assert MovableClock(tmp_path / "offset").now() == machine_time.shown

    @settings(max_examples=20)  # each example writes files
    @given(offsets=st.lists(st.integers(-(10**6), 10**6), max_size=10))
    def test_whatever_is_written_time_never_goes_back(
        self, offsets: list[int], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        file = tmp_path_factory.mktemp("clock") / "offset"
        clock = MovableClock(file)

        told = []
        for offset in offsets:
            file.write_text(str(offset), encoding="ascii")
            told.append(clock.now())

        assert told == sorted(told)

    def test_something_that_is_no_number_is_not_guessed_at(self, tmp_path: Path) -> None:
        (tmp_path / "offset").write_text("tomorrow", encoding="ascii")

        with pytest.raises(ValueError, match="tomorrow"):
            MovableClock(tmp_path / "offset").now()
