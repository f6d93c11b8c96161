"""Ids say what they name, sort by when they were made, and never meet."""

from __future__ import annotations

import random
import re
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from backend.tests.fakes.clock import StoppedClock
from billing.kit.ids import Ids

_LAYOUT = re.compile(r"wal_[0-9a-hjkmnp-tv-z]{26}")


class TestIds:
    def test_an_id_is_a_prefix_and_twenty_six_digits_without_lookalikes(self) -> None:
        assert _LAYOUT.fullmatch(Ids(StoppedClock()).new("wal"))

    @given(seconds=st.lists(st.floats(0.001, 10**6), min_size=1, max_size=20), seed=st.integers())
    def test_ids_made_later_sort_later(self, seconds: list[float], seed: int) -> None:
        clock = StoppedClock()
        ids = Ids(clock, random.Random(seed).randbytes)  # noqa: S311 - tests want repeatable chance

        made = [ids.new("pay")]
        for wait in seconds:
            clock.move(timedelta(seconds=wait))
            made.append(ids.new("pay"))

        assert made == sorted(made)

    def test_ids_of_one_millisecond_differ(self) -> None:
        ids = Ids(StoppedClock())

        assert len({ids.new("opr") for _ in range(10_000)}) == 10_000

    def test_the_same_moment_and_chance_make_the_same_id(self) -> None:
        one, other = (Ids(StoppedClock(), random.Random(7).randbytes) for _ in range(2))  # noqa: S311 - as above

        assert one.new("hld") == other.new("hld")
