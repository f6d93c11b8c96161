"""What pricing refuses.

BillingError
├── PriceUnknown        no complete price for this use of a model in this currency: never free
├── RateRefused         a rate that nobody can mean
├── DiscountRefused     a discount outside 0 to 100 per cent
├── RateNotFound        no rate has this id
├── RateExists          a rate to be created is there already: it can only be superseded
├── RateOutdated        somebody has published a newer one meanwhile
├── SheetTooLarge       a spreadsheet with more bytes or rows than we read
├── SheetRefused        a file that is no spreadsheet of rates at all
├── ImportRefused       some rows of a spreadsheet cannot be published, so none was
└── ImportOutdated      not the file or not the rates of which the preview was shown
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from billing.kit.errors import BillingError
from billing.kit.money import Currency


class PriceUnknown(BillingError):
    """What the call needs has no rate in the wallet's currency now; nothing is converted, nothing is free."""

    code = "price_unknown"

    def __init__(self, model: str, currency: Currency, modality: str) -> None:
        super().__init__(
            f"The model {model} has no complete price for {modality} in {currency}, so it cannot be called.",
            facts={"model": model, "currency": currency, "modality": modality},
        )
        self.model = model
        self.modality = modality
        self.currency = currency


class RateRefused(BillingError):
    """A rate contradicts itself: free at a price, or priced at nothing without being called free."""

    code = "rate_refused"

    def __init__(self, model: str, unit: str, reason: str) -> None:
        super().__init__(
            f"The rate of {model} for {unit} cannot be published: {reason}.", facts={"model": model, "unit": unit}
        )
        self.model = model
        self.unit = unit


class RateNotFound(BillingError):
    """No rate has this id."""

    code = "rate_not_found"

    def __init__(self, rate_id: str) -> None:
        super().__init__(f"There is no rate {rate_id}.", facts={"rate_id": rate_id})
        self.rate_id = rate_id


class RateExists(BillingError):
    """What was to be created has a price already; changing it is to supersede it."""

    code = "rate_exists"

    def __init__(self, model: str, unit: str, rate_id: str) -> None:
        super().__init__(
            f"{model} has a rate for {unit} already; supersede {rate_id} instead.",
            facts={"model": model, "unit": unit, "rate_id": rate_id},
        )
        self.rate_id = rate_id


class RateOutdated(BillingError):
    """The rate that was to be changed is not the last one of its kind any more."""

    code = "rate_outdated"

    def __init__(self, rate_id: str, latest_id: str) -> None:
        super().__init__(
            f"{rate_id} has been superseded by {latest_id} meanwhile; look at that one first.",
            facts={"rate_id": rate_id, "latest_rate_id": latest_id},
        )
        self.latest_id = latest_id


class SheetTooLarge(BillingError):
    """A spreadsheet is larger than what we are willing to read, packed or unpacked."""

    code = "sheet_too_large"

    def __init__(self, what: str, at_most: int) -> None:
        super().__init__(f"The spreadsheet has more than {at_most} {what}.", facts={"what": what, "at_most": at_most})
        self.at_most = at_most


class SheetRefused(BillingError):
    """The file as a whole cannot be read as a spreadsheet of rates."""

    code = "sheet_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The file is not a spreadsheet of rates: {reason}.")
        self.reason = reason


class ImportRefused(BillingError):
    """Rows of the spreadsheet are wrong; nothing of it was published. `problems` says which, the first hundred."""

    code = "import_refused"

    def __init__(self, problems: Sequence[Mapping[str, object]]) -> None:
        super().__init__(
            f"{len(problems)} problems in the spreadsheet; nothing of it was published.",
            facts={"problems": list(problems)},
        )
        self.problems = tuple(problems)


class ImportOutdated(BillingError):
    """The preview was of another file, or the rates have changed since."""

    code = "import_outdated"

    def __init__(self) -> None:
        super().__init__("The file or the rates have changed since the preview; look at a new preview first.")


class DiscountRefused(BillingError):
    """More than 100 per cent would pay the customer, less than 0 would be a surcharge."""

    code = "discount_refused"

    def __init__(self, discount_percent: int | Decimal) -> None:
        super().__init__(
            f"A discount is from 0 to 100 per cent, not {discount_percent}.",
            facts={"discount_percent": str(discount_percent)},
        )
        self.discount_percent = discount_percent
