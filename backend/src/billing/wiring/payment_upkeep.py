"""What looks after payments when nobody else does, put together once."""

from __future__ import annotations

from dataclasses import dataclass

from billing.customers.service import CustomersService
from billing.kit.jobs import JobQueue
from billing.kit.public_address import PublicAddress
from billing.payments.adoption import Adoption
from billing.payments.beginning import Checkout
from billing.payments.janitor import PaymentJanitor
from billing.payments.matching import Matcher
from billing.payments.open_disputes import OpenDisputes
from billing.payments.ports import PaymentProvider
from billing.payments.receipts_checks import ReceiptChecks
from billing.payments.reconciliation import Reconciliation
from billing.payments.refunds import RefundService
from billing.wiring.ground import Ground
from billing.wiring.payments import PaymentParts


@dataclass(frozen=True, slots=True)
class PaymentUpkeep:
    """Who asks again, who compares, makes rows of what was lost, gives money back, asks about disputes and receipts."""

    janitor: PaymentJanitor
    reconciliation: Reconciliation
    adoption: Adoption
    refunds: RefundService
    disputes: OpenDisputes
    receipts: ReceiptChecks


def payment_upkeep(
    ground: Ground,
    job_queue: JobQueue,
    parts: PaymentParts,
    checkout: Checkout,
    provider: PaymentProvider | None,
    *,
    customers: CustomersService,
    public: PublicAddress,
) -> PaymentUpkeep:
    """Without a provider nothing is compared, and what is due is put off."""
    begin, clock, ids, states = ground.begin, ground.clock, ground.ids, parts.states
    refunds = RefundService(
        begin=begin, clock=clock, ids=ids, checkout=checkout, states=states, purposes=parts.purposes
    )
    matcher = None
    if provider is not None:
        matcher = Matcher(begin=begin, clock=clock, ids=ids, provider=provider, states=states)
    return PaymentUpkeep(
        janitor=PaymentJanitor(
            begin=begin,
            clock=clock,
            job_queue=job_queue,
            checkout=checkout,
            refunds=refunds,
            states=states,
            news=parts.news,
        ),
        reconciliation=Reconciliation(begin=begin, clock=clock, ids=ids, job_queue=job_queue, matcher=matcher),
        refunds=refunds,
        disputes=OpenDisputes(begin=begin, clock=clock, job_queue=job_queue, provider=provider, states=states),
        receipts=ReceiptChecks(begin=begin, clock=clock, job_queue=job_queue, provider=provider, states=states),
        adoption=Adoption(clock=clock, provider=provider, states=states, customers=customers, public=public),
    )
