"""Everything that takes money in, by whatever way, over one provider."""

from __future__ import annotations

from dataclasses import dataclass

from billing.customers.service import CustomersService
from billing.kit.jobs import JobQueue
from billing.payments.auto_topups import AutoTopups
from billing.payments.auto_topups_runs import AutoTopupRuns
from billing.payments.chargeable import ChargeableMethods
from billing.payments.methods import SavedMethods
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import ProviderStates
from billing.payments.rules import SUBSCRIPTION
from billing.payments.service import TopupService
from billing.wallets.service import WalletService
from billing.wiring.ground import Ground
from billing.wiring.payment_upkeep import PaymentUpkeep, payment_upkeep
from billing.wiring.payments import auto_topup_runs, auto_topups_of, checkout_with, payment_parts
from billing.wiring.plans import PlanServices, plan_fulfilment, plan_services
from billing.wiring.settings import Settings
from billing.wiring.terms import Terms


@dataclass(frozen=True, slots=True)
class Takings:
    """Top-ups, plans and saved methods, with what looks after all their payments."""

    states: ProviderStates
    topups: TopupService
    plans: PlanServices
    upkeep: PaymentUpkeep
    methods: SavedMethods
    auto_topups: AutoTopups
    auto_topup_runs: AutoTopupRuns


def takings_of(
    settings: Settings,
    terms: Terms,
    ground: Ground,
    job_queue: JobQueue,
    provider: PaymentProvider | None,
    *,
    customers: CustomersService,
    wallets: WalletService,
) -> Takings:
    """All of it; without a provider nothing can be begun."""
    begin, clock, ids, audit = ground.begin, ground.clock, ground.ids, ground.audit
    methods = SavedMethods(begin=begin, clock=clock, ids=ids, audit=audit)
    chargeable = ChargeableMethods(provider, customers)
    plan_grants = plan_fulfilment(clock=clock, ids=ids, wallets=wallets, methods=chargeable)
    parts = payment_parts(
        clock=clock,
        ids=ids,
        wallets=wallets,
        topup_ttl_days=settings.payments.topup_ttl_days,
        auto_topup_cool_off=settings.auto_topups.cool_off,
        methods=methods,
        more_purposes={SUBSCRIPTION: plan_grants},
    )
    checkout = checkout_with(settings, ground, parts, provider, methods=chargeable, public=terms.public_address)
    return Takings(
        states=parts.states,
        topups=TopupService(begin=begin, audit=audit, checkout=checkout, offer=terms.offer, returns=terms.returns),
        plans=plan_services(
            begin=begin,
            clock=clock,
            ids=ids,
            audit=audit,
            job_queue=job_queue,
            wallets=wallets,
            fulfilment=plan_grants,
            checkout=checkout,
            methods=chargeable,
            returns=terms.returns,
            currency=terms.currency,
        ),
        upkeep=payment_upkeep(
            ground, job_queue, parts, checkout, provider, customers=customers, public=terms.public_address
        ),
        methods=methods,
        auto_topups=auto_topups_of(ground, wallets, provider, terms.offer),
        auto_topup_runs=auto_topup_runs(settings, ground, customers, job_queue, checkout, provider, terms.offer),
    )
