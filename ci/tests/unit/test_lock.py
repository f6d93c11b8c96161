"""One run at a time in one tree."""

from pathlib import Path

import pytest

from ci.tests.unit.conftest import FakeClock
from confidence.execution.lock import TreeIsBusyError, only_run


class TestOnlyRun:
    """The second one waits as long as it was told, and then says who is at work."""

    def test_a_second_run_is_refused_after_its_wait(self, tmp_path: Path, clock: FakeClock) -> None:
        with (
            only_run(tmp_path, clock, wait_seconds=0),
            pytest.raises(TreeIsBusyError, match=r"another run is at work in this tree \(process \d+\)"),
            only_run(tmp_path, clock, wait_seconds=3),
        ):
            pass

        assert 3 <= clock.seconds < 3.5

    def test_the_tree_is_free_again_afterwards(self, tmp_path: Path, clock: FakeClock) -> None:
        with only_run(tmp_path, clock, wait_seconds=0):
            pass

        with only_run(tmp_path, clock, wait_seconds=0):
            assert clock.seconds == 0
