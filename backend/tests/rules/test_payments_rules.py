"""The life of a payment, what is on offer and when the provider's object is ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, product

import pytest

from billing.kit.money import Currency, Money
from billing.payments.errors import ProviderMalformed, TopupAmountNotOffered, TopupCurrencyNotOffered
from billing.payments.rules import (
    MOVES,
    PAID_STATES,
    Actor,
    Bond,
    DisputeStatus,
    PaymentState,
    RefundFailure,
    RefundState,
    RefundStatus,
    TopupOffer,
    differences,
    is_all_gone,
    is_later_dispute_status,
    is_later_refund_state,
    key_is_safe,
    may_move,
    paid_state,
    parse_provider_payment_id,
    problems_of_offer,
)

RUB = Currency("RUB")
JPY = Currency("JPY")


def rub(amount: str) -> Money:
    return Money.from_decimal(amount, RUB)


OFFER = TopupOffer(
    currency=RUB,
    presets=(rub("50"), rub("500")),
    is_custom_allowed=True,
    minimum=rub("100"),
    maximum=rub("1000"),
)


class TestMoves:
    def test_nothing_leads_away_from_what_is_paid(self) -> None:
        leading_away = [after for before, after in MOVES if before in PAID_STATES and after not in PAID_STATES]

        assert leading_away == []

    def test_only_the_providers_own_record_says_what_became_of_money_that_came(self) -> None:
        by_creation = [
            (before, after)
            for before, after in product(PAID_STATES, PaymentState)
            if may_move(before, after, actor=Actor.CREATION)
        ]

        assert by_creation == []

    def test_nothing_leads_back_to_created(self) -> None:
        assert [before for before, after in MOVES if after is PaymentState.CREATED] == []

    def test_only_the_providers_own_record_revives_a_canceled_payment_and_only_for_money(self) -> None:
        after_cancellation = [
            (after, actor)
            for after, actor in product(PaymentState, Actor)
            if may_move(PaymentState.CANCELED, after, actor=actor)
        ]

        assert after_cancellation == [(PaymentState.SUCCEEDED, Actor.READ_BACK)]

    def test_every_move_has_a_name_of_its_own(self) -> None:
        names = [move.name for move in MOVES.values()]

        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("state", PaymentState)
    def test_staying_is_not_a_move(self, state: PaymentState) -> None:
        assert not any(may_move(state, state, actor=actor) for actor in Actor)

    def test_reserved_money_does_not_wait_for_the_customer_again(self) -> None:
        assert not may_move(PaymentState.WAITING_FOR_CAPTURE, PaymentState.PENDING, actor=Actor.READ_BACK)


class TestWhatBecameOfAPaidPayment:
    @pytest.mark.parametrize(
        ("refunded", "is_disputed", "state"),
        [
            ("0", False, PaymentState.SUCCEEDED),
            ("0.01", False, PaymentState.PARTIALLY_REFUNDED),
            ("99.99", False, PaymentState.PARTIALLY_REFUNDED),
            ("100", False, PaymentState.REFUNDED),
            ("0", True, PaymentState.DISPUTED),
            ("100", True, PaymentState.DISPUTED),
        ],
    )
    def test_follows_from_its_refunds_and_disputes(
        self, refunded: str, *, is_disputed: bool, state: PaymentState
    ) -> None:
        assert paid_state(rub("100"), refunded=rub(refunded), is_disputed=is_disputed) is state


def failure_of(state: RefundState) -> RefundFailure | None:
    """Why the provider itself would say that a refund in this state gave nothing back."""
    return RefundFailure.CANCELED if state is RefundState.FAILED else None


class TestNewsOfARefund:
    @pytest.mark.parametrize(("before", "after"), list(combinations(RefundState, 2)))
    def test_is_news_only_in_one_direction(self, before: RefundState, after: RefundState) -> None:
        assert is_later_refund_state(before, after, failure=None)
        assert not is_later_refund_state(after, before, failure=failure_of(after))

    @pytest.mark.parametrize("state", RefundState)
    def test_that_was_heard_before_is_none(self, state: RefundState) -> None:
        assert not is_later_refund_state(state, state, failure=failure_of(state))

    @pytest.mark.parametrize("failure", [RefundFailure.REJECTED, RefundFailure.NEVER_BEGUN])
    @pytest.mark.parametrize("after", RefundStatus)
    def test_of_which_we_believed_that_there_was_none_is_news(
        self, failure: RefundFailure, after: RefundStatus
    ) -> None:
        assert is_later_refund_state(RefundState.FAILED, RefundState(after.value), failure=failure)


class TestWhatIsLeft:
    @pytest.mark.parametrize(
        ("refunded", "disputed", "is_gone"),
        [
            ("0", "0", False),
            ("99.99", "0", False),
            ("100", "0", True),
            ("0", "100", True),
            ("40", "59.99", False),
            ("40", "60", True),
            ("100", "100", True),
        ],
    )
    def test_is_nothing_once_refunds_and_disputes_have_all_together(
        self, refunded: str, disputed: str, *, is_gone: bool
    ) -> None:
        assert is_all_gone(rub("100"), refunded=rub(refunded), disputed=rub(disputed)) is is_gone


class TestNewsOfADispute:
    @pytest.mark.parametrize(
        ("before", "after", "is_news"),
        [
            (DisputeStatus.OPEN, DisputeStatus.WON, True),
            (DisputeStatus.OPEN, DisputeStatus.LOST, True),
            (DisputeStatus.LOST, DisputeStatus.WON, True),
            (DisputeStatus.WON, DisputeStatus.LOST, False),
            (DisputeStatus.WON, DisputeStatus.OPEN, False),
            (DisputeStatus.LOST, DisputeStatus.OPEN, False),
            (DisputeStatus.OPEN, DisputeStatus.OPEN, False),
        ],
    )
    def test_goes_forward_and_lets_a_lost_one_be_won_after_all(
        self, before: DisputeStatus, after: DisputeStatus, *, is_news: bool
    ) -> None:
        assert is_later_dispute_status(before, after) is is_news


class TestTheOffer:
    @pytest.mark.parametrize("amount", ["50", "100", "100.01", "500", "1000"])
    def test_takes_presets_and_what_lies_within_the_limits(self, amount: str) -> None:
        OFFER.check(rub(amount))

    @pytest.mark.parametrize("amount", ["0", "-100", "49", "99.99", "1000.01", "100.001", "100.000001"])
    def test_refuses_everything_else_and_says_what_there_is(self, amount: str) -> None:
        with pytest.raises(TopupAmountNotOffered) as refused:
            OFFER.check(rub(amount))

        assert refused.value.facts == {
            "amount": rub(amount).to_decimal(),
            "currency": "RUB",
            "minimum": "100.00",
            "maximum": "1000.00",
            "presets": ["50.00", "500.00"],
        }

    def test_without_custom_amounts_takes_only_presets(self) -> None:
        presets_only = replace(OFFER, is_custom_allowed=False)

        presets_only.check(rub("500"))
        with pytest.raises(TopupAmountNotOffered):
            presets_only.check(rub("501"))

    def test_never_compares_amounts_of_two_currencies(self) -> None:
        with pytest.raises(TopupCurrencyNotOffered):
            OFFER.check(Money.from_decimal("500", JPY))

    def test_follows_the_coins_of_its_currency(self) -> None:
        yen = TopupOffer(JPY, (), is_custom_allowed=True, minimum=Money(1, JPY), maximum=Money(10**12, JPY))

        yen.check(Money.from_decimal("500", JPY))
        with pytest.raises(TopupAmountNotOffered):
            yen.check(Money.from_decimal("500.5", JPY))

    def test_that_can_be_sold_has_no_problems(self) -> None:
        assert problems_of_offer(OFFER) == ()

    @pytest.mark.parametrize(
        "offer",
        [
            replace(OFFER, presets=(), is_custom_allowed=False),
            replace(OFFER, presets=(rub("0"),)),
            replace(OFFER, presets=(rub("10.001"),)),
            replace(OFFER, minimum=rub("2000")),
        ],
    )
    def test_that_cannot_be_sold_says_why(self, offer: TopupOffer) -> None:
        assert len(problems_of_offer(offer)) == 1


class TestProviderIds:
    @pytest.mark.parametrize("text", ["22e12f66-000f-5000-8000-18db351245c7", "a", "pi_3Nabc"])
    def test_that_are_plain_may_enter_a_url(self, text: str) -> None:
        assert parse_provider_payment_id(text) == text

    @pytest.mark.parametrize(
        "text",
        ["", "../refunds", "a/b", "a?b", "a#b", "%2e%2e", "a b", "a\n", "-a", "a" * 129, "é", "..", None, 7, ["a"]],
    )
    def test_that_are_anything_else_may_not(self, text: object) -> None:
        with pytest.raises(ProviderMalformed):
            parse_provider_payment_id(text)


class TestTheBond:
    OURS = Bond(
        provider_payment_id="prov_1",
        shop_id="100500",
        is_test=False,
        amount=rub("500"),
        payment_id="pay_1",
        account_id="acc_1",
        purpose="topup",
    )

    def test_of_equal_records_has_no_differences(self) -> None:
        assert differences(self.OURS, replace(self.OURS)) == ()

    @pytest.mark.parametrize(
        ("theirs", "named"),
        [
            (replace(OURS, provider_payment_id="prov_2"), ("provider_payment_id",)),
            (replace(OURS, shop_id="1"), ("shop",)),
            (replace(OURS, is_test=True), ("test",)),
            (replace(OURS, amount=rub("500.01")), ("amount",)),
            (replace(OURS, amount=Money(rub("500").micros, JPY)), ("currency",)),
            (replace(OURS, payment_id=None), ("payment",)),
            (replace(OURS, account_id="acc_2"), ("owner",)),
            (replace(OURS, purpose=None), ("purpose",)),
            (replace(OURS, account_id="acc_2", is_test=True), ("test", "owner")),
        ],
    )
    def test_names_every_difference(self, theirs: Bond, named: tuple[str, ...]) -> None:
        assert differences(self.OURS, theirs) == named


class TestTheKey:
    BEGUN = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def test_is_safe_while_the_provider_remembers_it(self) -> None:
        assert key_is_safe(self.BEGUN, now=self.BEGUN + timedelta(hours=22, minutes=59))

    def test_is_not_used_when_the_provider_may_have_forgotten_it(self) -> None:
        assert not key_is_safe(self.BEGUN, now=self.BEGUN + timedelta(hours=23))
