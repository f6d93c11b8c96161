"""What a customer can type that we refuse to guess about.

BillingError
├── InvalidAmount             what was typed is not one amount
│   ├── AmountUnreadable      "12abc", "1,00,0", nothing at all
│   ├── AmountAmbiguous       "1,000": one thousand here, one there
│   └── AmountTooPrecise      more decimals than the currency has
├── AmountNotChosen           neither a preset nor another amount
├── PromptMissing             nothing to ask
├── PromptTooLong             more than the playground takes
├── ProviderRefusedCall       the model provider answered with a refusal of its own
└── FormOutdated              the sign-in form was not made for this browser
"""

from __future__ import annotations

from typing import ClassVar

from billing.kit.errors import BillingError

_SHOWN_MAX = 40


class InvalidAmount(BillingError):
    """What was typed as an amount of money is not one amount; `typed` is shown back, shortened."""

    code: ClassVar[str] = "invalid_amount"
    reason: ClassVar[str] = "is not an amount"

    def __init__(self, typed: str) -> None:
        shown = typed[:_SHOWN_MAX]
        super().__init__(f"{shown!r} {self.reason}.", facts={"field": "amount", "typed": shown})


class AmountUnreadable(InvalidAmount):
    """It has other characters than digits and separators, or the separators are in odd places."""

    code = "amount_unreadable"
    reason = "is not an amount such as 1000.50"


class AmountAmbiguous(InvalidAmount):
    """A comma before exactly three digits: some people write thousands so, others decimals."""

    code = "amount_ambiguous"
    reason = "can mean two amounts; write it without a thousands separator"


class AmountTooPrecise(InvalidAmount):
    """It has more decimals than the currency's smallest coin."""

    code = "amount_too_precise"
    reason = "has more decimals than the currency"


class AmountNotChosen(BillingError):
    """The top-up form came without a choice."""

    code = "amount_not_chosen"

    def __init__(self) -> None:
        super().__init__("Choose an amount to top up.", facts={"field": "amount"})


class FormOutdated(BillingError):
    """The sign-in form's token is not the one that this browser was given: another site sent it, or it is too old."""

    code = "form_outdated"

    def __init__(self) -> None:
        super().__init__("This form is too old. Please try again.")


class PromptMissing(BillingError):
    """The playground was sent without a prompt."""

    code = "prompt_missing"

    def __init__(self) -> None:
        super().__init__("Write a prompt first.", facts={"field": "prompt"})


class PromptTooLong(BillingError):
    """The prompt is longer than the playground takes."""

    code = "prompt_too_long"

    def __init__(self, length_max: int) -> None:
        super().__init__(f"A prompt has at most {length_max} characters here.", facts={"length_max": length_max})


class ProviderRefusedCall(BillingError):
    """The model provider refused a call of the playground; nothing was charged, and its words are not repeated."""

    code = "provider_refused_call"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            "The model provider refused this call; nothing was charged.", facts={"operation_id": operation_id}
        )
