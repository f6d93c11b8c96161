"""Everything that takes money in, put together once: who fulfils what, who is told, who may be asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from billing.customers.directory import AccountDirectory
from billing.customers.service import CustomersService
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.public_address import PublicAddress
from billing.ledger.service import LedgerService
from billing.payments.auto_topups import AutoTopups
from billing.payments.auto_topups_fulfilment import AutoTopupFulfilment
from billing.payments.auto_topups_runs import AutoTopupRuns
from billing.payments.auto_topups_settings import COOL_OFF
from billing.payments.beginning import Checkout
from billing.payments.dispute_states import DisputeStates
from billing.payments.fees import ProviderFees
from billing.payments.fulfilment import TopupFulfilment
from billing.payments.news import PaymentNews
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.purposes import (
    Fulfilment,
    KeepsNothing,
    MethodKeeper,
    MethodWarden,
    NoReceipts,
    Purposes,
    Receipts,
)
from billing.payments.receipts import RECEIPT_PROVIDERS, TaxReceipts
from billing.payments.receipts_settings import ReceiptSettings
from billing.payments.refund_states import RefundStates
from billing.payments.rules import AUTO_TOPUP, TOPUP, TopupOffer
from billing.wallets.events import BillingEvents
from billing.wallets.returns import WalletReturns
from billing.wallets.service import WalletService
from billing.wiring.ground import Ground
from billing.wiring.settings import Settings


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
    auto_topup_cool_off: timedelta = COOL_OFF,
    methods: MethodKeeper | None = None,
    more_purposes: dict[str, Fulfilment] | None = None,
) -> PaymentParts:
    """The one place through which the provider's word becomes ours; `more_purposes` are paid for beside top-ups."""
    ledger = LedgerService()
    events = BillingEvents(clock=clock, ids=ids)
    news = PaymentNews(wallets=wallets, events=events)
    topups = TopupFulfilment(
        wallets=wallets,
        returns=WalletReturns(clock=clock, ids=ids, ledger=ledger),
        news=news,
        clock=clock,
        topup_ttl_days=topup_ttl_days,
    )
    automatic = AutoTopupFulfilment(topups=topups, clock=clock, events=events, cool_off=auto_topup_cool_off)
    purposes: Purposes = {TOPUP: topups, AUTO_TOPUP: automatic, **(more_purposes or {})}
    states = ProviderStates(
        purposes=purposes,
        refunds=RefundStates(purposes=purposes, news=news, clock=clock, ids=ids),
        disputes=DisputeStates(purposes=purposes, ledger=ledger, news=news, clock=clock, ids=ids),
        methods=methods or KeepsNothing(),
        news=news,
        fees=ProviderFees(ledger=ledger, clock=clock),
        clock=clock,
    )
    return PaymentParts(purposes, states, news)


def checkout_with(
    settings: Settings,
    ground: Ground,
    parts: PaymentParts,
    provider: PaymentProvider | None,
    *,
    methods: MethodWarden,
    public: PublicAddress,
) -> Checkout:
    """Where every payment begins, for whatever purpose."""
    return Checkout(
        begin=ground.begin,
        clock=ground.clock,
        ids=ground.ids,
        states=parts.states,
        provider=provider,
        purposes=parts.purposes,
        methods=methods,
        receipts=_receipts_with(settings.receipts, provider),
        public=public,
    )


def auto_topups_of(
    ground: Ground, wallets: WalletService, provider: PaymentProvider | None, offer: TopupOffer
) -> AutoTopups:
    """What owners decide about their automatic top-ups."""
    return AutoTopups(
        begin=ground.begin,
        clock=ground.clock,
        ids=ground.ids,
        audit=ground.audit,
        wallets=wallets,
        provider=provider,
        offer=offer,
    )


def auto_topup_runs(
    settings: Settings,
    ground: Ground,
    customers: CustomersService,
    job_queue: JobQueue,
    checkout: Checkout,
    provider: PaymentProvider | None,
    offer: TopupOffer,
) -> AutoTopupRuns:
    """What the worker does about them."""
    return AutoTopupRuns(
        begin=ground.begin,
        clock=ground.clock,
        job_queue=job_queue,
        customers=customers,
        checkout=checkout,
        provider=provider,
        events=BillingEvents(clock=ground.clock, ids=ground.ids),
        offer=offer,
        cool_off=settings.auto_topups.cool_off,
    )


def _receipts_with(settings: ReceiptSettings, provider: PaymentProvider | None) -> Receipts:
    """Receipts, where they are switched on and whoever collects passes them on to the tax office."""
    terms = settings.terms
    if terms is None or provider is None or provider.name not in RECEIPT_PROVIDERS:
        return NoReceipts()
    return TaxReceipts(directory=AccountDirectory(), terms=terms)
