"""Sets aside what a call can cost, before the provider hears of it."""

from __future__ import annotations

from collections.abc import Callable

from billing.gateway.calls import Call, Funding
from billing.kit.errors import BillingError
from billing.kit.money import Currency, Money
from billing.kit.statements import Question, answers
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.rules import RateSnapshot, highest_price_of
from billing.pricing.service import PricingService
from billing.quotas.changes import Ground
from billing.quotas.rules import BurnOrder, NotAvailable, Reserved, Unavailable
from billing.quotas.service import QuotaService
from billing.subscriptions.entitlements import Entitlement, Entitlements
from billing.usage.rules import BillingSource
from billing.wallets.rules import Spender, WalletId
from billing.wallets.service import WalletService


class Funder:
    """Finds who pays: the free quota or the wallet. A participant in its caller's unit of work."""

    def __init__(
        self,
        *,
        pricing: PricingService,
        quotas: QuotaService,
        wallets: WalletService,
        entitlements: Entitlements,
        currency: Currency,
    ) -> None:
        self._pricing = pricing
        self._quotas = quotas
        self._wallets = wallets
        self._entitlements = entitlements
        self._currency = currency

    async def fund(
        self, uow: UnitOfWork, call: Call, *, told: Callable[[Reserved | NotAvailable], None] = lambda _: None
    ) -> Funding:
        """Sets aside the most that the call can use: of the free quota or of the wallet, in the account's own order.

        A quota store that fails fails the call: the wallet is never charged for what should have been free. `told`
        hears what the free quota said, also where the call is refused in the end.

        Raises:
            QuotaExceeded, FreeQuotaUnavailable: the account spends nothing but its free quota.
            PriceUnknown: the model has no price for this route in the wallet's currency.
            InsufficientFunds, MaxReplyCostExceeded, CapExceeded: the wallet refuses, and nothing is free.
        """
        account_id = call.principal.account_id
        wallet_id, ground, plan, *snapshots = await answers(
            uow,
            self._wallets.wallet_of(account_id, self._currency),
            self._quotas.ground_of(account_id, call.route.model),
            self._entitlements.of_account(account_id, call.began_at),
            *self._rates_of(call),
        )
        rates = {snapshot.model: snapshot for snapshot in snapshots}
        if wallet_id is None:
            wallet_id = await self._wallets.open(uow, account_id, self._currency)
        of_quota = Funding(BillingSource.LEAD_MAGNET, wallet_id, rates, Money.zero(self._currency), entitlement=plan)
        free = await self._free(uow, call, plan, ground=ground)
        told(free)
        if isinstance(free, Reserved):
            return of_quota
        if free.burn_order is BurnOrder.FREE_ONLY:
            raise free.refusal()
        try:
            return await self._held(uow, call, wallet_id, rates, plan)
        except BillingError:
            if free.reason is not Unavailable.WALLET_FIRST:
                raise
            last_resort = await self._free(uow, call, plan, is_wallet_empty=True)
            told(last_resort)
            if not isinstance(last_resort, Reserved):
                raise
            return of_quota

    async def _free(
        self,
        uow: UnitOfWork,
        call: Call,
        plan: Entitlement,
        *,
        is_wallet_empty: bool = False,
        ground: Ground | None = None,
    ) -> Reserved | NotAvailable:
        return await self._quotas.reserve(
            uow,
            call.principal.account_id,
            call.operation_id,
            call.request.free_bounds,
            model=call.route.model,
            client_network=call.client_network,
            is_wallet_empty=is_wallet_empty,
            ground=ground,
            extra=plan.quotas,
        )

    async def rates(self, uow: UnitOfWork, call: Call) -> tuple[Entitlement, list[RateSnapshot]]:
        """What the account's plan gives, and the rates of every model that a target of the route is priced as.

        Raises:
            PriceUnknown: one of them has no price for this route in the wallet's currency.
        """
        plan = self._entitlements.of_account(call.principal.account_id, call.began_at)
        given, *snapshots = await answers(uow, plan, *self._rates_of(call))
        return given, snapshots

    def _rates_of(self, call: Call) -> list[Question[RateSnapshot]]:
        modality = call.request.door.modality
        return [
            self._pricing.rates_of(model, self._currency, call.began_at, modality)
            for model in sorted(call.route.priced_as)
        ]

    async def _held(
        self, uow: UnitOfWork, call: Call, wallet_id: WalletId, rates: dict[str, RateSnapshot], plan: Entitlement
    ) -> Funding:
        """A hold that covers the dearest target that may answer."""
        at_most = max(
            highest_price_of(snapshot, call.request.bounds(snapshot), plan.discount_percent)
            for snapshot in rates.values()
        )
        principal = call.principal
        spender = Spender(principal.person_id, principal.api_key_id, principal.time_zone)
        hold = await self._wallets.hold(
            uow,
            wallet_id,
            at_most,
            call.operation_id,
            max_reply_cost=call.max_reply_cost,
            spender=spender,
            plan_caps=plan.caps,
        )
        return Funding(BillingSource.PAYG, wallet_id, rates, at_most, hold.available, plan)
