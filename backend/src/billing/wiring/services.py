"""Builds every service of one process, once; API, worker and commands get the same frozen object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields

from argon2 import PasswordHasher
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from billing.admin.books_desk import BooksDesk
from billing.admin.credit_desk import CreditDesk
from billing.admin.desks import OperatorDesks
from billing.admin.hold_desk import HoldDesk
from billing.admin.inbox_desk import InboxDesk
from billing.admin.payment_desk import PaymentDesk
from billing.admin.receipt_desk import ReceiptDesk
from billing.admin.reconciliation_desk import ReconciliationDesk
from billing.customers import jobs as customer_jobs
from billing.customers.access import SessionCookies
from billing.customers.adapters.argon2_passwords import Argon2Passwords
from billing.customers.audit import AuditTrail
from billing.customers.directory import AccountDirectory
from billing.customers.service import CustomersService
from billing.gateway import jobs as gateway_jobs
from billing.gateway.abandoned import AbandonedStreams
from billing.gateway.adapters.http_upstream import HttpUpstream
from billing.gateway.booking import Booker
from billing.gateway.catalog import ModelCatalog
from billing.gateway.price_board import PriceBoard
from billing.gateway.service import GatewayService
from billing.gateway.settings import GatewaySettings
from billing.http_errors import status_of
from billing.kit.client_address import TrustedProxies
from billing.kit.clock import Clock, MovableClock, SystemClock
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.public_address import PublicAddress
from billing.kit.turns import Turns
from billing.kit.unit_of_work import Begin, single_reads, snapshots, units_of_work
from billing.ledger.invariants import LedgerVerifier
from billing.ledger.service import LedgerService
from billing.pages.playground import PlaygroundService
from billing.pages.rendering import Renderer
from billing.pages.service import PagesService
from billing.payments import auto_topups_jobs as auto_topup_jobs
from billing.payments import jobs as payment_jobs
from billing.payments import receipts_jobs as receipt_jobs
from billing.payments.auto_topups import AutoTopups
from billing.payments.auto_topups_runs import AutoTopupRuns
from billing.payments.invariants import PaymentVerifier
from billing.payments.methods import SavedMethods
from billing.payments.notifications import PaymentNotifications
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.service import TopupService
from billing.pricing.adapters.xlsx_sheets import XlsxSheets
from billing.pricing.rate_desk import RateDesk
from billing.pricing.service import PricingService
from billing.quotas import jobs as quota_jobs
from billing.quotas.invariants import FreeUsageVerifier, QuotaVerifier
from billing.quotas.service import QuotaService
from billing.subscriptions import jobs as plan_jobs
from billing.subscriptions.entitlements import Entitlements
from billing.subscriptions.invariants import PlanVerifier
from billing.subscriptions.plan_desk import PlanDesk
from billing.subscriptions.renewals import Renewals
from billing.subscriptions.service import SubscriptionService
from billing.usage.invariants import UsageVerifier
from billing.usage.service import UsageService
from billing.wallets import jobs as wallet_jobs
from billing.wallets.account_wallet import AccountWallet
from billing.wallets.adjustments import WalletAdjustments
from billing.wallets.invariants import WalletVerifier
from billing.wallets.service import WalletService
from billing.webhooks import jobs as webhook_jobs
from billing.webhooks.doorkeeper import Doorkeeper
from billing.webhooks.outbound import jobs as outbound_jobs
from billing.webhooks.outbound.adapters.http_carrier import HttpCarrier
from billing.webhooks.outbound.delivering import Dispatcher
from billing.webhooks.outbound.service import EndpointService
from billing.webhooks.ports import NotificationHandler
from billing.webhooks.refusals import RefusalCounter
from billing.webhooks.service import InboxService
from billing.wiring import outbound
from billing.wiring.ground import Ground
from billing.wiring.payment_upkeep import PaymentUpkeep
from billing.wiring.providers import provider_of
from billing.wiring.readiness import Readiness
from billing.wiring.settings import Settings
from billing.wiring.takings import takings_of
from billing.wiring.terms import Terms, terms_of
from billing.wiring.verification import Verification

_RETRY_STALLED_EVERY = "* * * * * */10"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that endpoints, jobs and commands stand on."""

    settings: Settings
    public_address: PublicAddress
    engine: AsyncEngine
    begin: Begin
    clock: Clock
    ids: Ids
    job_queue: JobQueue
    audit: AuditTrail
    session_cookies: SessionCookies
    trusted_proxies: TrustedProxies
    customers: CustomersService
    wallets: WalletService
    account_wallet: AccountWallet
    pricing: PricingService
    rate_desk: RateDesk
    quotas: QuotaService
    usage: UsageService
    topups: TopupService
    subscriptions: SubscriptionService
    plan_renewals: Renewals
    plan_desk: PlanDesk
    payment_upkeep: PaymentUpkeep
    methods: SavedMethods
    auto_topups: AutoTopups
    auto_topup_runs: AutoTopupRuns
    doorkeeper: Doorkeeper
    inbox: InboxService
    webhook_endpoints: EndpointService
    dispatcher: Dispatcher
    gateway_settings: GatewaySettings
    gateway: GatewayService
    price_board: PriceBoard
    abandoned_streams: AbandonedStreams
    renderer: Renderer
    pages: PagesService
    playground: PlaygroundService
    desks: OperatorDesks
    readiness: Readiness
    verification: Verification

    def by_type(self) -> Mapping[type[object], object]:
        """Each service under its own type, as endpoints ask for it."""
        return {type(service): service for service in (getattr(self, field.name) for field in fields(self))}


@dataclass(frozen=True, slots=True)
class _Core:
    """The services that gateway, pages and desks are made of."""

    customers: CustomersService
    wallets: WalletService
    pricing: PricingService
    catalog: ModelCatalog
    quotas: QuotaService
    usage: UsageService
    entitlements: Entitlements


@asynccontextmanager
async def services(settings: Settings, database_url: URL) -> AsyncIterator[Services]:
    """The services of one process; leaving closes every connection that they opened.

    Raises:
        SettingsError: settings contradict each other; nothing was opened then.
    """
    terms = terms_of(settings)
    ground = _ground(settings, database_url)
    core = _core(settings, terms, ground)
    job_queue = JobQueue(database_url)
    provider = provider_of(settings.payments)
    takings = takings_of(settings, terms, ground, job_queue, provider, customers=core.customers, wallets=core.wallets)
    upstream = HttpUpstream(settings.gateway)
    carrier = HttpCarrier(terms.outbound_policy)
    gateway = _gateway(settings, terms, ground, core, upstream)
    doorkeeper = _doorkeeper(terms, ground)
    inbox = _inbox(ground, job_queue, takings.states, provider)
    built = Services(
        settings=settings,
        public_address=terms.public_address,
        engine=ground.engine,
        begin=ground.begin,
        clock=ground.clock,
        ids=ground.ids,
        job_queue=job_queue,
        audit=ground.audit,
        session_cookies=_session_cookies(settings),
        trusted_proxies=terms.trusted_proxies,
        customers=core.customers,
        wallets=core.wallets,
        account_wallet=_account_wallet(terms, ground, core.wallets),
        pricing=core.pricing,
        rate_desk=_rate_desk(terms, ground, core.pricing),
        quotas=core.quotas,
        usage=core.usage,
        topups=takings.topups,
        subscriptions=takings.plans.subscriptions,
        plan_renewals=takings.plans.renewals,
        plan_desk=takings.plans.desk,
        payment_upkeep=takings.upkeep,
        methods=takings.methods,
        auto_topups=takings.auto_topups,
        auto_topup_runs=takings.auto_topup_runs,
        doorkeeper=doorkeeper,
        inbox=inbox,
        webhook_endpoints=outbound.endpoint_service(settings.outbound, terms, ground),
        dispatcher=outbound.dispatcher(terms, ground, job_queue, carrier),
        gateway_settings=settings.gateway,
        gateway=gateway,
        price_board=_price_board(settings, terms, ground, core),
        abandoned_streams=_abandoned_streams(ground, core),
        renderer=Renderer(terms.public_address, status_of),
        pages=_pages(settings, terms, ground, core, takings.topups),
        playground=PlaygroundService(gateway),
        desks=_desks(ground, core, inbox, takings.upkeep),
        readiness=Readiness(ground.engine, terms.trust_policies),
        verification=_verification(ground),
    )
    try:
        yield built
    finally:
        await gateway.close()
        await doorkeeper.close()
        await upstream.close()
        await carrier.aclose()
        if provider is not None:
            await provider.aclose()
        await ground.engine.dispose()


def register_jobs(built: Services) -> None:
    """Says what workers can do."""
    queue = built.job_queue
    webhook_jobs.register(queue, built.inbox)
    outbound_jobs.register(queue, built.dispatcher)
    receipt_jobs.register(queue, built.payment_upkeep.receipts)
    upkeep = built.payment_upkeep
    payment_jobs.register(queue, upkeep.janitor, upkeep.reconciliation, upkeep.disputes)
    auto_topup_jobs.register(queue, built.auto_topup_runs)
    wallet_jobs.register(queue, built.wallets)
    quota_jobs.register(queue, built.quotas)
    gateway_jobs.register(queue, built.abandoned_streams)
    customer_jobs.register(queue, built.customers)
    if built.settings.flags.subscriptions:
        plan_jobs.register(queue, built.plan_renewals)

    async def retry_stalled() -> None:
        await queue.retry_stalled()

    queue.register_tick("queue.retry_stalled", _RETRY_STALLED_EVERY, retry_stalled, may_overlap=True)


def _ground(settings: Settings, database_url: URL) -> Ground:
    deployment = settings.deployment
    clock = SystemClock() if deployment.clock_offset_file is None else MovableClock(deployment.clock_offset_file)
    engine = application_engine(database_url, connections_max=deployment.database_connections_max)
    ids = Ids(clock)
    return Ground(engine, units_of_work(engine), clock, ids, AuditTrail(clock, ids))


def _account_wallet(terms: Terms, ground: Ground, wallets: WalletService) -> AccountWallet:
    return AccountWallet(
        begin=ground.begin,
        clock=ground.clock,
        ids=ground.ids,
        audit=ground.audit,
        directory=AccountDirectory(),
        wallets=wallets,
        currency=terms.currency,
    )


def _inbox(
    ground: Ground, job_queue: JobQueue, states: ProviderStates, provider: PaymentProvider | None
) -> InboxService:
    handlers: dict[str, NotificationHandler] = {}
    if provider is not None:
        handlers[provider.name] = PaymentNotifications(begin=ground.begin, provider=provider, states=states)
    return InboxService(begin=ground.begin, clock=ground.clock, ids=ground.ids, job_queue=job_queue, handlers=handlers)


def _doorkeeper(terms: Terms, ground: Ground) -> Doorkeeper:
    refusals = RefusalCounter(begin=ground.begin, clock=ground.clock)
    return Doorkeeper(policies=terms.trust_policies, clock=ground.clock, refusals=refusals)


def _rate_desk(terms: Terms, ground: Ground, pricing: PricingService) -> RateDesk:
    served = {name for route in terms.routes.by_name.values() for name in (route.model, *route.priced_as)}
    return RateDesk(
        begin=ground.begin,
        clock=ground.clock,
        audit=ground.audit,
        pricing=pricing,
        sheets=XlsxSheets(),
        served_models=served,
        currency=terms.currency,
    )


def _session_cookies(settings: Settings) -> SessionCookies:
    return SessionCookies.for_public_base(
        settings.public_address.base_url, lifetime=settings.customers.session_lifetime
    )


def _core(settings: Settings, terms: Terms, ground: Ground) -> _Core:
    begin, clock, ids, audit = ground.begin, ground.clock, ground.ids, ground.audit
    pricing = PricingService(ids)
    catalog = ModelCatalog(pricing, clock, terms.routes, terms.currency)
    entitlements = Entitlements(terms.currency)
    customers = CustomersService(
        begin,
        clock,
        ids,
        Argon2Passwords(PasswordHasher()),
        settings.customers,
        audit,
        single_read=single_reads(ground.engine),
    )
    return _Core(
        customers=customers,
        wallets=WalletService(begin=begin, clock=clock, ids=ids, ledger=LedgerService(), settings=settings.wallets),
        pricing=pricing,
        catalog=catalog,
        quotas=QuotaService(
            begin=begin,
            clock=clock,
            ids=ids,
            audit=audit,
            models=catalog,
            people=customers,
            settings=settings.quotas,
            plans=entitlements,
        ),
        usage=UsageService(begin),
        entitlements=entitlements,
    )


def _gateway(settings: Settings, terms: Terms, ground: Ground, core: _Core, upstream: HttpUpstream) -> GatewayService:
    return GatewayService(
        begin=ground.begin,
        turns=Turns(),
        clock=ground.clock,
        ids=ground.ids,
        pricing=core.pricing,
        quotas=core.quotas,
        wallets=core.wallets,
        usage=core.usage,
        entitlements=core.entitlements,
        catalog=core.catalog,
        routes=terms.routes,
        upstream=upstream,
        bounds=settings.gateway.bounds,
        currency=terms.currency,
        stream_terms=settings.gateway.stream_terms,
    )


def _price_board(settings: Settings, terms: Terms, ground: Ground, core: _Core) -> PriceBoard:
    return PriceBoard(
        begin=ground.begin,
        catalog=core.catalog,
        quotas=core.quotas,
        offer=terms.offer,
        recommended=settings.pricing.recommended,
        popular=settings.pricing.popular,
    )


def _abandoned_streams(ground: Ground, core: _Core) -> AbandonedStreams:
    booker = Booker(clock=ground.clock, quotas=core.quotas, wallets=core.wallets, usage=core.usage)
    return AbandonedStreams(begin=ground.begin, clock=ground.clock, booker=booker)


def _pages(settings: Settings, terms: Terms, ground: Ground, core: _Core, topups: TopupService) -> PagesService:
    return PagesService(
        begin=ground.begin,
        ids=ground.ids,
        wallets=core.wallets,
        quotas=core.quotas,
        usage=core.usage,
        topups=topups,
        threshold=settings.pages.threshold(terms.currency),
    )


def _desks(ground: Ground, core: _Core, inbox: InboxService, upkeep: PaymentUpkeep) -> OperatorDesks:
    begin, clock, audit, ledger = ground.begin, ground.clock, ground.audit, LedgerService()
    return OperatorDesks(
        holds=HoldDesk(
            begin=begin,
            clock=clock,
            wallets=core.wallets,
            usage=core.usage,
            streams=_abandoned_streams(ground, core),
            audit=audit,
        ),
        credit=CreditDesk(
            begin=begin,
            clock=clock,
            ids=ground.ids,
            customers=core.customers,
            wallets=core.wallets,
            adjustments=WalletAdjustments(clock=clock, ledger=ledger),
            audit=audit,
        ),
        books=BooksDesk(begin=begin, ledger=ledger),
        outbound=outbound.outbound_desk(ground),
        inbox=InboxDesk(begin=begin, clock=clock, inbox=inbox, audit=audit),
        payments=PaymentDesk(begin=begin, refunds=upkeep.refunds, audit=audit),
        receipts=ReceiptDesk(begin=begin, checks=upkeep.receipts),
        reconciliation=ReconciliationDesk(
            begin=begin,
            reconciliation=upkeep.reconciliation,
            adoption=upkeep.adoption,
            janitor=upkeep.janitor,
            audit=audit,
        ),
    )


def _verification(ground: Ground) -> Verification:
    return Verification(
        snapshots(ground.engine),
        (
            LedgerVerifier(),
            WalletVerifier(ground.clock),
            UsageVerifier(),
            QuotaVerifier(),
            FreeUsageVerifier(),
            PaymentVerifier(),
            PlanVerifier(),
        ),
    )
