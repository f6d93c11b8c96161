"""What a call would cost at most, and whether it would be let in: tried out, and undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from billing.gateway.calls import Call
from billing.gateway.fail_closed import failing_closed
from billing.gateway.funding import Funder
from billing.kit.errors import BillingError
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.pricing.rules import Quantities, RateSnapshot, highest_price_of
from billing.quotas.rules import Amounts
from billing.usage.rules import BillingSource
from billing.wallets.service import WalletService


@dataclass(frozen=True, slots=True)
class Quote:
    """The most that a call can cost, and who would pay.

    `at_most` is the price of `quantities` at `rates`, less the discount of the account's plan; the rates are those of
    the dearest upstream that may answer. `charged_at_most` is what the wallet would be charged: nothing for a free
    call. `billing_source` is None where the call would be refused; `refusal` says why, with its numbers. `available` is
    what the wallet has now.
    """

    call: Call
    at_most: Money
    charged_at_most: Money
    quantities: Quantities
    free_amounts: Amounts
    rates: RateSnapshot
    billing_source: BillingSource | None
    available: Money
    refusal: BillingError | None


class Quoter:
    """Sets aside what the call needs exactly as the call itself would, and rolls it back: so both always agree."""

    def __init__(self, *, begin: Begin, funder: Funder, wallets: WalletService) -> None:
        self._begin = begin
        self._funder = funder
        self._wallets = wallets

    async def quote(self, call: Call) -> Quote:
        """What the call would cost; nothing is held, reserved or called.

        Raises:
            PriceUnknown: the model has no price for this route in the wallet's currency.
            BillingUnavailable: the books cannot be reached.
        """
        try:
            with failing_closed():
                async with self._begin() as uow:
                    await self._try_out(uow, call)
        except _TriedOut as tried:
            return tried.quote

    async def _try_out(self, uow: UnitOfWork, call: Call) -> NoReturn:
        plan, rates = await self._funder.rates(uow, call)
        at_most, dearest = max(
            (
                (highest_price_of(snapshot, call.request.bounds(snapshot), plan.discount_percent), snapshot)
                for snapshot in rates
            ),
            key=lambda priced: priced[0].micros,
        )
        wallet_id = await self._wallets.of_account(uow, call.principal.account_id, at_most.currency)
        available = (await self._wallets.balance(uow, wallet_id)).available
        source, refusal = await self._funded(uow, call)
        is_charged = source is not BillingSource.LEAD_MAGNET
        quote = Quote(
            call=call,
            at_most=at_most,
            charged_at_most=at_most if is_charged else Money.zero(at_most.currency),
            quantities=call.request.bounds(dearest),
            free_amounts=call.request.free_bounds,
            rates=dearest,
            billing_source=source,
            available=available,
            refusal=refusal,
        )
        raise _TriedOut(quote)

    async def _funded(self, uow: UnitOfWork, call: Call) -> tuple[BillingSource | None, BillingError | None]:
        try:
            return (await self._funder.fund(uow, call)).source, None
        except BillingError as refusal:
            return None, refusal


class _TriedOut(Exception):
    """Rolls back what was tried out; carries what came of it."""

    def __init__(self, quote: Quote) -> None:
        super().__init__("tried out")
        self.quote = quote
