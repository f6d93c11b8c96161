"""A benchmark passes only when every figure is within its bounds."""

from __future__ import annotations

import json

import pytest

from backend.benchmarks.judgement import Check, Judgement


class TestACheck:
    @pytest.mark.parametrize(
        ("floor", "ceiling", "is_ok"),
        [
            (None, None, True),
            (3.0, None, True),
            (3.1, None, False),
            (None, 3.0, True),
            (None, 2.9, False),
            (1, 2, False),
        ],
    )
    def test_holds_while_its_figure_is_within_its_bounds(
        self,
        floor: float | None,
        ceiling: float | None,
        is_ok: bool,  # noqa: FBT001 - a case of the table
    ) -> None:
        assert Check("calls", 3.0, "times", floor=floor, ceiling=ceiling).ok is is_ok

    def test_that_is_no_number_does_not_hold(self) -> None:
        assert not Check("calls", float("nan"), "times", floor=3.0).ok

    def test_says_its_bounds_in_words(self) -> None:
        assert Check("calls", 1, "times", floor=1, ceiling=2).bound == "at least 1 and at most 2"
        assert Check("calls", 1, "times").bound == "informs"


class TestAJudgement:
    def test_fails_with_one_broken_check(self) -> None:
        good, bad = Check("a", 1, "ms", ceiling=2), Check("b", 3, "ms", ceiling=2)

        assert Judgement("gateway", (good,), {}).ok
        assert not Judgement("gateway", (good, bad), {}).ok

    def test_of_nothing_is_no_pass(self) -> None:
        assert not Judgement("gateway", (), {}).ok

    def test_is_one_line_for_machines(self) -> None:
        line = Judgement("gateway", (Check("a", 1 / 3, "ms", ceiling=2),), {"ours": {"p50 ms": 2 / 3}}).as_json()

        assert json.loads(line) == {
            "name": "gateway",
            "ok": True,
            "checks": [{"name": "a", "figure": 0.333, "unit": "ms", "floor": None, "ceiling": 2, "ok": True}],
            "figures": {"ours": {"p50 ms": 0.667}},
        }
