"""Webhooks to customers, put together once."""

from __future__ import annotations

from datetime import timedelta

from billing.admin.outbound_desk import OutboundDesk
from billing.kit.jobs import JobQueue
from billing.webhooks.outbound.delivering import Dispatcher
from billing.webhooks.outbound.ports import Carrier
from billing.webhooks.outbound.replays import Replays
from billing.webhooks.outbound.service import EndpointService, Limits
from billing.webhooks.outbound.settings import OutboundSettings
from billing.wiring.ground import Ground
from billing.wiring.terms import Terms


def endpoint_service(settings: OutboundSettings, terms: Terms, ground: Ground) -> EndpointService:
    """What the people of an account manage their endpoints with."""
    return EndpointService(
        begin=ground.begin,
        clock=ground.clock,
        ids=ground.ids,
        audit=ground.audit,
        policy=terms.outbound_policy,
        keys=terms.signing_keys,
        limits=Limits(settings.endpoints_max, timedelta(hours=settings.rotation_overlap_hours)),
    )


def dispatcher(terms: Terms, ground: Ground, job_queue: JobQueue, carrier: Carrier) -> Dispatcher:
    """What workers route and send messages with."""
    return Dispatcher(
        begin=ground.begin,
        clock=ground.clock,
        ids=ground.ids,
        job_queue=job_queue,
        carrier=carrier,
        keys=terms.signing_keys,
    )


def outbound_desk(ground: Ground) -> OutboundDesk:
    """What operators see of it."""
    return OutboundDesk(begin=ground.begin, replays=Replays(ground.clock, ground.ids), audit=ground.audit)
