"""Ways to pay that customers have let the provider keep for a shop."""

from dataclasses import dataclass
from typing import Any

from testkit.simulators.yookassa.refusals import InvalidRequest, NotFound


@dataclass(slots=True)
class SavedMethod:
    """A card that can be charged without its owner; `refusal` is the reason for which its bank refuses, if it does."""

    id: str
    refusal: str | None = None


class SavedMethods:
    """The saved methods of one shop."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all of them."""
        self._methods: dict[str, SavedMethod] = {}

    def save(self, method_id: str) -> None:
        """Keeps the method of a payment that has succeeded."""
        self._methods.setdefault(method_id, SavedMethod(method_id))

    def is_saved(self, method_id: str) -> bool:
        """Whether there is one of this id."""
        return method_id in self._methods

    def to_charge(self, method_id: str) -> SavedMethod:
        """The method that a shop wants to charge.

        Raises:
            InvalidRequest: The shop has no saved method of this id.
        """
        if method_id not in self._methods:
            raise InvalidRequest("Payment method doesn't exist or is not saved", parameter="payment_method_id")
        return self._methods[method_id]

    def set_refusal(self, method_id: str, refusal: str | None) -> SavedMethod:
        """Lets the bank refuse the method from now on, or accept it again.

        Raises:
            NotFound: There is none of this id.
        """
        if method_id not in self._methods:
            raise NotFound("No such saved method", parameter="payment_method_id")
        self._methods[method_id].refusal = refusal
        return self._methods[method_id]


def card_as_json(method_id: str, *, is_saved: bool) -> dict[str, Any]:
    """The API's `payment_method` of a payment by bank card."""
    return {
        "type": "bank_card",
        "id": method_id,
        "saved": is_saved,
        "status": "active" if is_saved else "inactive",
        "title": "Bank card *4444",
        "card": {
            "first6": "555555",
            "last4": "4444",
            "expiry_month": "12",
            "expiry_year": "2049",
            "card_type": "MasterCard",
            "issuer_country": "RU",
        },
    }
