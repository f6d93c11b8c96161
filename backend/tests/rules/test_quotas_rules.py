"""What is free is what the terms say, no more; zero is nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.fakes.clock import NOON
from billing.quotas.errors import FreeQuotaUnavailable, FreeTermsRefused, QuotaExceeded
from billing.quotas.rules import (
    LIMIT_MAX,
    NOTHING,
    Amounts,
    BurnOrder,
    Cycle,
    FreeTerms,
    Metric,
    NotAvailable,
    Unavailable,
    exhausted,
    first_exceeded,
    neighbourhood_of,
    require_meaningful,
    standing_of,
)

counts = st.integers(0, 200)
several = st.builds(Amounts, *(counts for _ in Metric))

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


class TestWhatTheTermsOffer:
    @pytest.mark.parametrize(
        "offered", [Amounts(images=1), Amounts(speech_seconds=1), Amounts(transcription_seconds=1)]
    )
    def test_may_be_pictures_or_sound_without_text(self, offered: Amounts) -> None:
        standing = standing_of(terms(limits=offered), None, ON_OFFER, NOON)

        assert standing.is_left
        assert len(standing.metrics) == 1

    def test_is_not_promised_any_more_once_one_part_is_used_up(self) -> None:
        cycle = Cycle(1, NOON, used=Amounts(100, 10), reserved=NOTHING)

        standing = standing_of(terms(limits=Amounts(100, 50, images=5)), cycle, ON_OFFER, NOON)

        assert (standing.has_free_model, standing.is_left) == (True, False)

    def test_is_nobodys_whose_e_mail_was_not_verified(self) -> None:
        standing = standing_of(terms(), None, ON_OFFER, NOON, is_verified=False)

        assert (standing.has_free_model, standing.is_left) == (False, False)

    def test_shows_what_was_used_of_a_metric_that_is_offered_no_more(self) -> None:
        cycle = Cycle(1, NOON, used=Amounts(images=2), reserved=NOTHING)

        standing = standing_of(terms(), cycle, ON_OFFER, NOON)

        assert [metric.metric for metric in standing.metrics] == [
            Metric.INPUT_TOKENS,
            Metric.OUTPUT_TOKENS,
            Metric.IMAGES,
        ]


class TestAmounts:
    @given(several, several)
    def test_add_up_and_go_away_again(self, one: Amounts, other: Amounts) -> None:
        assert one + other - other == one
        assert (one + other).of(Metric.IMAGES) == one.images + other.images
        assert one - one == NOTHING


class TestCycles:
    @given(st.integers(1, 60), st.timedeltas(timedelta(0), timedelta(days=200)))
    def test_own_every_moment_until_the_first_that_is_beyond_them(self, days: int, later: timedelta) -> None:
        cycle, in_force = Cycle(1, NOON, NOTHING, NOTHING), terms(cycle_days=days)

        assert cycle.is_over(in_force, NOON + later) == (later >= timedelta(days=days))

    @given(several, several, several)
    def test_let_in_exactly_what_fits_beside_the_rest(self, limits: Amounts, taken: Amounts, more: Amounts) -> None:
        exceeded = first_exceeded(terms(limits=limits), taken, more)

        fits = {metric: taken.of(metric) + more.of(metric) <= limits.of(metric) for metric in Metric if more.of(metric)}
        assert (exceeded is None) == all(fits.values())
        assert exceeded is None or not fits[exceeded]


class TestARefusal:
    def test_says_which_limit_and_never_numbers_that_contradict_it(self) -> None:
        said = exhausted(terms(), Amounts(95, 0), Amounts(6, 1), BurnOrder.FREE_ONLY)

        assert said is not None
        error = said.refusal()
        assert isinstance(error, QuotaExceeded)
        assert error.facts == {"metric": "input_tokens", "limit": 100, "used": 95, "required": 6}

    @pytest.mark.parametrize("reason", [reason for reason in Unavailable if reason is not Unavailable.EXHAUSTED])
    def test_without_a_limit_says_the_reason(self, reason: Unavailable) -> None:
        error = NotAvailable(reason).refusal()

        assert isinstance(error, FreeQuotaUnavailable)
        assert error.facts == {"reason": reason.value}


class TestNeighbourhoods:
    @pytest.mark.parametrize(
        ("one", "other"),
        [("203.0.113.1", "203.0.113.254"), ("2001:db8:1:2::1", "2001:db8:1:2:ffff::"), ("nonsense", "testclient")],
    )
    def test_are_shared(self, one: str, other: str) -> None:
        assert neighbourhood_of(one) == neighbourhood_of(other)

    @pytest.mark.parametrize(("one", "other"), [("203.0.113.1", "203.0.112.1"), ("2001:db8:1:2::1", "2001:db8:1:3::1")])
    def test_are_told_apart(self, one: str, other: str) -> None:
        assert neighbourhood_of(one) != neighbourhood_of(other)


class TestTerms:
    @pytest.mark.parametrize(
        "meaningless",
        [
            terms(limits=Amounts(-1, 0)),
            terms(limits=Amounts(0, -1)),
            terms(limits=Amounts(images=-1)),
            terms(limits=Amounts(speech_seconds=LIMIT_MAX + 1)),
            terms(cycle_days=0),
            terms(cycle_days=4000),
            terms(models=frozenset({""})),
            terms(models=frozenset({"a" * 201})),
            terms(models=frozenset({"zero\0"})),
            terms(models=frozenset(f"m{number}" for number in range(1001))),
        ],
    )
    def test_that_nobody_can_mean_are_refused(self, meaningless: FreeTerms) -> None:
        with pytest.raises(FreeTermsRefused):
            require_meaningful(meaningless)
