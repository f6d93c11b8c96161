"""Everything that takes money in, put together once: who fulfils what, who is told, who may be asked."""

from __future__ import annotations

from dataclasses import dataclass

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.ledger.service import LedgerService
from billing.payments.dispute_states import DisputeStates
from billing.payments.fulfilment import TopupFulfilment
from billing.payments.news import PaymentNews
from billing.payments.provider_states import ProviderStates
from billing.payments.purposes import Fulfilment, KeepsNothing, MethodKeeper, Purposes
from billing.payments.refund_states import RefundStates
from billing.payments.rules import AUTO_TOPUP, TOPUP
from billing.wallets.events import BillingEvents
from billing.wallets.returns import WalletReturns
from billing.wallets.service import WalletService


@dataclass(frozen=True, slots=True)
class PaymentParts:
    """What the services of payments are made of."""

    purposes: Purposes
    states: ProviderStates
    news: PaymentNews


def payment_parts(
    *,
    clock: Clock,
    ids: Ids,
    wallets: WalletService,
    topup_ttl_days: int,
    methods: MethodKeeper | None = None,
    more_purposes: dict[str, Fulfilment] | None = None,
) -> PaymentParts:
    """The one place through which the provider's word becomes ours; `more_purposes` are paid for beside top-ups."""
    ledger = LedgerService()
    news = PaymentNews(wallets=wallets, events=BillingEvents(clock=clock, ids=ids))
    topups = TopupFulfilment(
        wallets=wallets,
        returns=WalletReturns(clock=clock, ids=ids, ledger=ledger),
        news=news,
        clock=clock,
        topup_ttl_days=topup_ttl_days,
    )
    purposes: Purposes = {TOPUP: topups, AUTO_TOPUP: topups, **(more_purposes or {})}
    states = ProviderStates(
        purposes=purposes,
        refunds=RefundStates(purposes=purposes, news=news, clock=clock, ids=ids),
        disputes=DisputeStates(purposes=purposes, ledger=ledger, news=news, clock=clock, ids=ids),
        methods=methods or KeepsNothing(),
        news=news,
        clock=clock,
    )
    return PaymentParts(purposes, states, news)
