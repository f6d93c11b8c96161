"""Amounts as the provider writes and reads them."""

import re
from dataclasses import dataclass

from testkit.simulators.yookassa.refusals import InvalidRequest

_MINOR_PER_UNIT = 100
_FEE_PER_MILLE = 35
_VALUE = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")
_CURRENCIES = frozenset({"RUB", "USD", "EUR", "KZT", "BYN", "UZS", "TRY", "INR"})


@dataclass(frozen=True, slots=True)
class Amount:
    """Money of one currency in its minor units; every currency that this provider takes has two decimals."""

    minor: int
    currency: str

    def as_json(self) -> dict[str, str]:
        """The amount with a decimal string, as in `{"value": "100.00", "currency": "RUB"}`."""
        units, rest = divmod(self.minor, _MINOR_PER_UNIT)
        return {"value": f"{units}.{rest:02d}", "currency": self.currency}

    def after_fee(self) -> "Amount":
        """What the shop receives: the amount less the provider's fee of 3.5 %, rounded to the nearest minor unit."""
        return Amount(self.minor - (self.minor * _FEE_PER_MILLE + 500) // 1000, self.currency)


def amount_from(value: object) -> Amount:
    """Reads `{"value": "100.00", "currency": "RUB"}`; the value is a string, as documented.

    Raises:
        InvalidRequest: It is not a positive decimal string of a currency that the provider takes.
    """
    if not isinstance(value, dict):
        raise InvalidRequest("Amount is not specified", parameter="amount")
    number, currency = value.get("value"), value.get("currency")
    if not isinstance(number, str) or not _VALUE.fullmatch(number):
        raise InvalidRequest("Must be a string with up to two decimals", parameter="amount.value")
    if not isinstance(currency, str) or currency not in _CURRENCIES:
        raise InvalidRequest("Unsupported currency", parameter="amount.currency")
    units, _, decimals = number.partition(".")
    minor = int(units) * 100 + int(decimals.ljust(2, "0"))
    if minor == 0:
        raise InvalidRequest("Must be greater than zero", parameter="amount.value")
    return Amount(minor, currency)
