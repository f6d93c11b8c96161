"""Each way in which our books and a provider's can differ has one name, and what agrees has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import NOON
from billing.customers.rules import AccountId
from billing.kit.money import Currency, Money
from billing.payments.comparison import (
    WINDOW_MAX,
    WINDOW_OVERLAP,
    DifferenceKind,
    Window,
    difference_without_object,
    difference_without_row,
    payment_differences,
    refund_difference,
    refund_without_object,
    refund_without_row,
    unbooked_fee,
    window_after,
)
from billing.payments.ports import ProviderPayment, ProviderRefund
from billing.payments.records import BegunBy, Payment, Refund
from billing.payments.rules import (
    TOPUP,
    PaymentId,
    PaymentState,
    ProviderPaymentId,
    ProviderRefundId,
    ProviderStatus,
    RefundId,
    RefundState,
    RefundStatus,
)

pytestmark = pytest.mark.money

OURS = Payment(
    id=PaymentId("pay_1"),
    account_id=AccountId("acc_1"),
    purpose=TOPUP,
    amount=rub("500"),
    provider="yookassa",
    shop_id="100500",
    is_test=True,
    return_url="https://shop.example/return",
    is_own_return=True,
    return_to=None,
    state=PaymentState.SUCCEEDED,
    provider_payment_id=ProviderPaymentId("2e12f66"),
    confirmation_url=None,
    cancellation=None,
    contradiction=None,
    created_at=NOON,
    refunded=rub("0"),
    fee=rub("17.50"),
)
THEIRS = ProviderPayment(
    id=ProviderPaymentId("2e12f66"),
    shop_id="100500",
    is_test=True,
    status=ProviderStatus.SUCCEEDED,
    is_paid=True,
    amount=rub("500"),
    payment_id="pay_1",
    account_id="acc_1",
    purpose=TOPUP,
    refunded=rub("0"),
    fee=rub("17.50"),
)
OUR_REFUND = Refund(
    id=RefundId("rfd_1"),
    payment_id=OURS.id,
    provider="yookassa",
    amount=rub("100"),
    state=RefundState.SUCCEEDED,
    begun_by=BegunBy.OPERATOR,
    is_overdraft=False,
    reason="asked for",
    created_at=NOON,
    provider_refund_id=ProviderRefundId("3f"),
)
THEIR_REFUND = ProviderRefund(
    id=ProviderRefundId("3f"), payment_id=THEIRS.id, status=RefundStatus.SUCCEEDED, amount=rub("100"), refund_id="rfd_1"
)


def kinds(ours: Payment, theirs: ProviderPayment) -> list[DifferenceKind]:
    """The names of all that differs."""
    return [difference.kind for difference in payment_differences(ours, theirs)]


class TestWhatAgrees:
    @pytest.mark.parametrize(
        ("state", "status"),
        [
            (PaymentState.CREATED, ProviderStatus.PENDING),
            (PaymentState.PENDING, ProviderStatus.PENDING),
            (PaymentState.WAITING_FOR_CAPTURE, ProviderStatus.WAITING_FOR_CAPTURE),
            (PaymentState.SUCCEEDED, ProviderStatus.SUCCEEDED),
            (PaymentState.CANCELED, ProviderStatus.CANCELED),
        ],
    )
    def test_differs_in_nothing(self, state: PaymentState, status: ProviderStatus) -> None:
        assert kinds(replace(OURS, state=state), replace(THEIRS, status=status)) == []

    def test_in_dispute_on_both_sides_differs_in_nothing(self) -> None:
        assert kinds(replace(OURS, state=PaymentState.DISPUTED), replace(THEIRS, is_disputed=True)) == []

    def test_needs_no_word_about_refunds_and_fees(self) -> None:
        assert kinds(OURS, replace(THEIRS, refunded=None, fee=None)) == []

    def test_a_fee_that_we_have_not_booked_yet_is_no_difference(self) -> None:
        assert kinds(replace(OURS, fee=None), THEIRS) == []

    def test_a_fee_in_another_currency_is_not_compared(self) -> None:
        assert kinds(OURS, replace(THEIRS, fee=Money(1, Currency("USD")))) == []

    def test_a_refund_like_ours_differs_in_nothing(self) -> None:
        assert refund_difference(OUR_REFUND, THEIR_REFUND) is None


class TestWhatDiffers:
    @pytest.mark.parametrize(
        ("theirs", "kind"),
        [
            (replace(THEIRS, amount=rub("499.99")), DifferenceKind.AMOUNT),
            (replace(THEIRS, amount=Money(OURS.amount.micros, Currency("USD"))), DifferenceKind.CURRENCY),
            (replace(THEIRS, account_id="acc_2"), DifferenceKind.IDENTITY),
            (replace(THEIRS, purpose="subscription"), DifferenceKind.IDENTITY),
            (replace(THEIRS, payment_id=None), DifferenceKind.IDENTITY),
            (replace(THEIRS, shop_id="7"), DifferenceKind.IDENTITY),
            (replace(THEIRS, is_test=False), DifferenceKind.IDENTITY),
            (replace(THEIRS, id=ProviderPaymentId("other")), DifferenceKind.IDENTITY),
            (replace(THEIRS, status=ProviderStatus.CANCELED), DifferenceKind.STATUS),
            (replace(THEIRS, status=ProviderStatus.PENDING), DifferenceKind.STATUS),
            (replace(THEIRS, is_disputed=True), DifferenceKind.STATUS),
            (replace(THEIRS, refunded=rub("1")), DifferenceKind.REFUND),
            (replace(THEIRS, fee=rub("18")), DifferenceKind.FEE),
        ],
    )
    def test_has_its_name(self, theirs: ProviderPayment, kind: DifferenceKind) -> None:
        (difference,) = payment_differences(OURS, theirs)

        assert (difference.kind, difference.object_id, difference.payment_id) == (kind, theirs.id, OURS.id)

    @pytest.mark.parametrize("state", [PaymentState.CREATED, PaymentState.PENDING, PaymentState.CANCELED])
    def test_paid_there_and_not_here_is_a_status(self, state: PaymentState) -> None:
        assert kinds(replace(OURS, state=state), THEIRS) == [DifferenceKind.STATUS]

    def test_in_many_ways_is_told_in_each(self) -> None:
        theirs = replace(THEIRS, amount=rub("1"), status=ProviderStatus.PENDING, fee=rub("1"))

        assert kinds(OURS, theirs) == [DifferenceKind.AMOUNT, DifferenceKind.STATUS, DifferenceKind.FEE]

    def test_carries_what_both_sides_say(self) -> None:
        (difference,) = payment_differences(OURS, replace(THEIRS, amount=rub("1")))

        assert (difference.ours["amount"], difference.theirs["amount"]) == (str(rub("500")), str(rub("1")))

    @pytest.mark.parametrize(
        "theirs", [replace(THEIR_REFUND, amount=rub("99")), replace(THEIR_REFUND, status=RefundStatus.FAILED)]
    )
    def test_a_refund_unlike_ours_is_one(self, theirs: ProviderRefund) -> None:
        difference = refund_difference(OUR_REFUND, theirs)

        assert difference is not None
        assert (difference.kind, difference.object_id) == (DifferenceKind.REFUND, "3f")


class TestWhatOnlyOneSideHas:
    @pytest.mark.parametrize("status", [s for s in ProviderStatus if s is not ProviderStatus.CANCELED])
    def test_is_missing_here_when_it_names_a_payment_of_ours(self, status: ProviderStatus) -> None:
        difference = difference_without_row(replace(THEIRS, status=status))

        assert difference is not None
        assert (difference.kind, difference.payment_id) == (DifferenceKind.MISSING_HERE, "pay_1")

    @pytest.mark.parametrize("named", [None, "", "order-17"])
    def test_is_foreign_when_it_names_none(self, named: str | None) -> None:
        difference = difference_without_row(replace(THEIRS, payment_id=named))

        assert difference is not None
        assert difference.kind is DifferenceKind.FOREIGN

    @pytest.mark.parametrize("state", [s for s in PaymentState if s is not PaymentState.CANCELED])
    def test_is_missing_there_when_only_we_have_it(self, state: PaymentState) -> None:
        difference = difference_without_object(replace(OURS, state=state))

        assert difference is not None
        assert (difference.kind, difference.object_id) == (DifferenceKind.MISSING_THERE, "2e12f66")

    def test_does_not_matter_where_no_money_came(self) -> None:
        theirs = difference_without_row(replace(THEIRS, status=ProviderStatus.CANCELED))
        ours = difference_without_object(replace(OURS, state=PaymentState.CANCELED))

        assert (theirs, ours) == (None, None)


class TestARefundThatOnlyOneSideHas:
    @pytest.mark.parametrize(
        ("refund_id", "payment", "kind"),
        [
            (None, OURS, DifferenceKind.REFUND),
            ("rfd_1", OURS, DifferenceKind.REFUND),
            ("rfd_1", None, DifferenceKind.REFUND),
            (None, None, DifferenceKind.FOREIGN),
        ],
    )
    def test_is_foreign_only_where_nothing_of_ours_is_named(
        self, refund_id: str | None, payment: Payment | None, kind: DifferenceKind
    ) -> None:
        difference = refund_without_row(replace(THEIR_REFUND, refund_id=refund_id), payment)

        assert difference is not None
        assert difference.kind is kind

    def test_is_told_under_our_own_name_where_the_provider_has_none(self) -> None:
        difference = refund_without_object(replace(OUR_REFUND, provider_refund_id=None))

        assert difference is not None
        assert difference.object_id == OUR_REFUND.id

    def test_does_not_matter_where_nothing_was_given_back(self) -> None:
        theirs = refund_without_row(replace(THEIR_REFUND, status=RefundStatus.FAILED), OURS)
        ours = refund_without_object(replace(OUR_REFUND, state=RefundState.FAILED))

        assert (theirs, ours) == (None, None)


class TestAFee:
    def test_is_booked_once_the_provider_says_it(self) -> None:
        assert unbooked_fee(replace(OURS, fee=None), THEIRS) == rub("17.50")

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (OURS, THEIRS),
            (replace(OURS, fee=None), replace(THEIRS, fee=None)),
            (replace(OURS, fee=None), replace(THEIRS, fee=Money(1, Currency("USD")))),
            (replace(OURS, fee=None, state=PaymentState.PENDING), THEIRS),
        ],
    )
    def test_is_not_booked_twice_nor_unsaid_nor_in_other_money_nor_of_nothing(
        self, ours: Payment, theirs: ProviderPayment
    ) -> None:
        assert unbooked_fee(ours, theirs) is None


class TestTheWindow:
    def test_begins_before_the_end_of_the_last(self) -> None:
        now = NOON + timedelta(days=1)

        assert window_after(NOON, now=now) == Window(NOON - WINDOW_OVERLAP, now)

    def test_of_the_first_run_looks_back_as_far(self) -> None:
        assert window_after(None, now=NOON) == Window(NOON - WINDOW_OVERLAP, NOON)

    def test_after_a_long_pause_catches_up_month_by_month(self) -> None:
        now, until, runs = NOON + timedelta(days=100), NOON, 0
        while until < now:
            window = window_after(until, now=now)
            assert window.until - window.since <= WINDOW_MAX
            until = window.until
            runs += 1

        assert runs == 4
