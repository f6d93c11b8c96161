"""What is free is what the terms say, no more; zero is nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend.tests.fakes.clock import NOON
from billing.quotas.errors import FreeTermsRefused
from billing.quotas.rules import (
    NOTHING,
    Amounts,
    Cycle,
    FreeTerms,
    Metric,
    first_exceeded,
    require_meaningful,
    standing_of,
)

ON_OFFER = frozenset({"served", "also-served"})


def terms(*, limits: Amounts = Amounts(100, 50), models: frozenset[str] = ON_OFFER, **more: object) -> FreeTerms:  # noqa: B008 - a frozen value
    """Terms that are in force."""
    values = {"is_enabled": True, "cycle_days": 30} | more
    return FreeTerms(
        is_enabled=bool(values["is_enabled"]),
        cycle_days=int(str(values["cycle_days"])),
        limits=limits,
        eligible_models=models,
    )


class TestRoom:
    @pytest.mark.parametrize(
        ("taken", "estimate", "exceeded"),
        [
            (NOTHING, Amounts(100, 50), None),
            (Amounts(99, 49), Amounts(1, 1), None),
            (Amounts(99, 0), Amounts(2, 1), Metric.INPUT_TOKENS),
            (Amounts(0, 50), Amounts(1, 1), Metric.OUTPUT_TOKENS),
            (Amounts(500, 0), Amounts(1, 1), Metric.INPUT_TOKENS),
        ],
    )
    def test_is_there_up_to_the_limit_and_not_beyond(
        self, taken: Amounts, estimate: Amounts, exceeded: Metric | None
    ) -> None:
        assert first_exceeded(terms(), taken, estimate) is exceeded

    def test_a_limit_of_zero_has_room_for_nothing(self) -> None:
        assert first_exceeded(terms(limits=Amounts(0, 50)), NOTHING, Amounts(1, 1)) is Metric.INPUT_TOKENS
        assert first_exceeded(terms(limits=Amounts(100, 0)), NOTHING, Amounts(1, 1)) is Metric.OUTPUT_TOKENS


class TestStanding:
    def test_counts_what_is_used_and_reserved_in_the_running_cycle(self) -> None:
        cycle = Cycle(3, NOON, used=Amounts(40, 10), reserved=Amounts(10, 15))

        standing = standing_of(terms(), cycle, ON_OFFER, NOON + timedelta(days=29))

        assert [metric.left for metric in standing.metrics] == [50, 25]
        assert standing.resets_at == NOON + timedelta(days=30)
        assert standing.is_left

    def test_starts_anew_at_the_very_moment_in_which_the_cycle_ends(self) -> None:
        cycle = Cycle(3, NOON, used=Amounts(100, 50), reserved=NOTHING)

        last_moment = standing_of(terms(), cycle, ON_OFFER, NOON + timedelta(days=30, microseconds=-1))
        first_moment = standing_of(terms(), cycle, ON_OFFER, NOON + timedelta(days=30))

        assert (last_moment.is_left, first_moment.is_left) == (False, True)
        assert first_moment.resets_at is None

    def test_never_shows_less_than_nothing_left(self) -> None:
        cycle = Cycle(1, NOON, used=Amounts(999, 999), reserved=NOTHING)

        standing = standing_of(terms(), cycle, ON_OFFER, NOON)

        assert [metric.left for metric in standing.metrics] == [0, 0]

    def test_names_only_models_that_can_be_called(self) -> None:
        standing = standing_of(terms(models=frozenset({"served", "forgotten"})), None, ON_OFFER, NOON)

        assert standing.eligible_models == ("served",)

    @pytest.mark.parametrize(
        "nothing_free",
        [
            None,
            terms(is_enabled=False),
            terms(models=frozenset()),
            terms(models=frozenset({"forgotten"})),
            terms(limits=Amounts(0, 50)),
            terms(limits=Amounts(100, 0)),
        ],
        ids=["no terms", "switched off", "no model", "no model on offer", "no input", "no output"],
    )
    def test_promises_no_free_model_where_there_is_none(self, nothing_free: FreeTerms | None) -> None:
        standing = standing_of(nothing_free, None, ON_OFFER, NOON)

        assert not standing.has_free_model
        assert not standing.is_left

    def test_promises_a_free_model_where_there_is_one(self) -> None:
        assert standing_of(terms(), None, ON_OFFER, NOON).has_free_model


class TestTerms:
    @pytest.mark.parametrize(
        "meaningless",
        [terms(limits=Amounts(-1, 0)), terms(limits=Amounts(0, -1)), terms(cycle_days=0), terms(cycle_days=4000)],
    )
    def test_that_nobody_can_mean_are_refused(self, meaningless: FreeTerms) -> None:
        with pytest.raises(FreeTermsRefused):
            require_meaningful(meaningless)
