"""What payments refuse, and how a call to a provider can end badly.

BillingError
├── TopupAmountNotOffered      not a preset, outside the limits, or finer than the currency's smallest coin
├── TopupCurrencyNotOffered    top-ups are sold in another currency
├── BillingContactRequired     a receipt is due, and nobody is known whom it could reach
├── PaymentMethodNotFound      no such saved method that can be charged, or somebody else's
├── AutoTopupNotFound          nobody has set up an automatic top-up for this account
├── PaymentsNotConfigured      this deployment has no payment provider
├── PaymentNotFound            no such payment, or somebody else's
├── PaymentUnderReview         the provider's object contradicts our record; nothing was credited
├── PaymentNotRefundable       its money never came, or its customer's bank wants it back
├── RefundExceedsPayment       more than is left of the payment
├── RefundExceedsUnspent       more than its customer has left of what it bought
├── DifferenceNotFound         reconciliation has listed no such difference
├── DifferenceResolved         somebody has decided about it before
├── DifferenceNotAdoptable     the provider's object cannot become a payment of ours
└── ProviderFailure            a call to the provider did not end well
    ├── ProviderRejected       the provider said no; nothing happened there
    ├── ProviderRefusedUs      our credentials were refused; nothing happened there
    ├── ProviderRateLimited    too many calls; nothing happened there
    ├── ProviderUnavailable    it could not be reached, or could not work; nothing happened there
    ├── ProviderAmbiguous      nobody knows whether it happened; ask again with the same key
    ├── ProviderMalformed      it answered, and the answer makes no sense; what happened is as uncertain
    │   └── ProviderListHoles  single objects of a list make no sense; all others were given
    └── ProviderObjectUnknown  it has no such object
"""

from __future__ import annotations

from billing.kit.errors import BillingError
from billing.kit.money import Currency, Money


class TopupAmountNotOffered(BillingError):
    """Nobody can top up by this amount."""

    code = "amount_not_offered"

    def __init__(
        self, sentence: str, *, amount: Money, minimum: Money, maximum: Money, presets: tuple[Money, ...]
    ) -> None:
        super().__init__(
            sentence,
            facts={
                "amount": amount.to_decimal(),
                "currency": amount.currency,
                "minimum": minimum.to_decimal(),
                "maximum": maximum.to_decimal(),
                "presets": [preset.to_decimal() for preset in presets],
            },
        )


class TopupCurrencyNotOffered(BillingError):
    """Top-ups are sold in one currency, and this is another."""

    code = "currency_not_offered"

    def __init__(self, asked: Currency, offered: Currency) -> None:
        super().__init__(f"Top-ups are sold in {offered}, not in {asked}.", facts={"currency": offered})


class BillingContactRequired(BillingError):
    """A receipt is due, and nobody is known whom it could reach."""

    code = "billing_contact_required"

    def __init__(self) -> None:
        super().__init__("A receipt has to be sent: name an e-mail address or a phone number for it.")


class PaymentsNotConfigured(BillingError):
    """This deployment takes no payments."""

    code = "payments_not_configured"

    def __init__(self) -> None:
        super().__init__("This deployment has no payment provider, so that nothing can be paid or given back here.")


class PaymentNotFound(BillingError):
    """No such payment for whoever asks; whether somebody else has it stays unsaid."""

    code = "payment_not_found"

    def __init__(self, payment_id: str) -> None:
        super().__init__("There is no such payment.", facts={"payment_id": payment_id[:64]})


class PaymentMethodNotFound(BillingError):
    """No such saved method for whoever asks, or none that can be charged here."""

    code = "payment_method_not_found"

    def __init__(self, method_id: str) -> None:
        super().__init__("There is no such saved payment method.", facts={"method_id": method_id[:64]})


class AutoTopupNotFound(BillingError):
    """Nobody has set up an automatic top-up for this account."""

    code = "auto_topup_not_found"

    def __init__(self) -> None:
        super().__init__("This account has no automatic top-up.")


class PaymentUnderReview(BillingError):
    """The provider's object differs from our record of the payment; a person has to look at it."""

    code = "payment_under_review"

    def __init__(self, payment_id: str, differences: tuple[str, ...]) -> None:
        super().__init__(
            "What the payment provider says does not match this payment, so that nothing was credited; "
            "our staff have been told.",
            facts={"payment_id": payment_id},
        )
        self.differences = differences


class PaymentNotRefundable(BillingError):
    """There is nothing that could be given back by a refund."""

    code = "payment_not_refundable"

    def __init__(self, payment_id: str, state: str) -> None:
        super().__init__(
            "Only a payment whose money came, and which no bank disputes, can be refunded.",
            facts={"payment_id": payment_id, "state": state},
        )


class RefundExceedsPayment(BillingError):
    """More than is left of the payment after its other refunds."""

    code = "refund_exceeds_payment"

    def __init__(self, amount: Money, left: Money) -> None:
        super().__init__(
            f"{amount} is more than the {left} that are left of this payment.",
            facts={"amount": amount.to_decimal(), "left": left.to_decimal(), "currency": amount.currency},
        )


class RefundExceedsUnspent(BillingError):
    """More than the customer has left of what the payment bought."""

    code = "refund_exceeds_unspent"

    def __init__(self, amount: Money, unspent: Money) -> None:
        super().__init__(
            f"Of what this payment bought {unspent} are left; to give back {amount} nevertheless, allow an overdraft.",
            facts={"amount": amount.to_decimal(), "unspent": unspent.to_decimal(), "currency": amount.currency},
        )


class DifferenceNotFound(BillingError):
    """Reconciliation has listed no difference with this id."""

    code = "difference_not_found"

    def __init__(self, difference_id: str) -> None:
        super().__init__("There is no difference with this id.", facts={"difference_id": difference_id[:64]})


class DifferenceResolved(BillingError):
    """Somebody has decided about this difference before."""

    code = "difference_resolved"

    def __init__(self, difference_id: str, resolution: str) -> None:
        super().__init__(
            f"This difference is {resolution} already.",
            facts={"difference_id": difference_id, "resolution": resolution},
        )


class DifferenceNotAdoptable(BillingError):
    """The provider's object cannot become a payment of ours; the sentence says why."""

    code = "difference_not_adoptable"

    def __init__(self, object_id: str, sentence: str) -> None:
        super().__init__(sentence, facts={"object_id": object_id})


class ProviderFailure(BillingError):
    """A call to the provider did not end well; the sentence never holds the provider's words."""

    code = "provider_failed"

    def __init__(self, sentence: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(
            sentence, facts={} if retry_after_seconds is None else {"retry_after_seconds": retry_after_seconds}
        )
        self.retry_after_seconds = retry_after_seconds


class ProviderRejected(ProviderFailure):
    """The provider refused the request itself."""

    code = "provider_rejected"


class ProviderRefusedUs(ProviderFailure):
    """The provider refused our credentials."""

    code = "provider_refused_us"


class ProviderRateLimited(ProviderFailure):
    """The provider wants fewer calls."""

    code = "provider_rate_limited"


class ProviderUnavailable(ProviderFailure):
    """The provider could not be reached or could not work."""

    code = "provider_unavailable"


class ProviderAmbiguous(ProviderFailure):
    """The request was sent, and no usable answer came: it may have taken effect."""

    code = "provider_ambiguous"


class ProviderMalformed(ProviderFailure):
    """The provider's answer is not what its documentation promises; a change that was asked for may have happened."""

    code = "provider_malformed"


class ProviderListHoles(ProviderMalformed):
    """Single objects of a list make no sense; it is raised at the list's end, after all others were given.

    `objects` has the provider's ids of them, each once; what has no id that can be one is called `unnamed`.
    """

    code = "provider_list_holes"

    def __init__(self, objects: tuple[str, ...]) -> None:
        super().__init__("The payment provider's list has objects that cannot be understood.")
        self.objects = objects


class ProviderObjectUnknown(ProviderFailure):
    """The provider has no object of this id, or does not show it to us."""

    code = "provider_object_unknown"
