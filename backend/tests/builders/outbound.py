"""Endpoints of customers, who receives there, and the workers that deliver to them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import text

from backend.tests.builders.customers import Customer, Town, customers_service
from billing.customers.audit import AuditTrail
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin
from billing.webhooks.outbound.adapters.http_carrier import HttpCarrier, Patience
from billing.webhooks.outbound.addresses import AddressPolicy
from billing.webhooks.outbound.delivering import Dispatcher
from billing.webhooks.outbound.ports import Carrier
from billing.webhooks.outbound.rules import Delivery, Endpoint, WantedEndpoint
from billing.webhooks.outbound.service import EndpointService, Limits
from billing.webhooks.outbound.signing import SigningKeys
from testkit.simulators.faults import Fault
from testkit.simulators.receiver import create_receiver
from testkit.simulators.remote import ReceiverRemote
from testkit.simulators.server import running

KEYS = SigningKeys((b"0123456789abcdef0123456789abcdef",))
LOOPBACK_ALLOWED = AddressPolicy((IPv4Network("127.0.0.0/8"),), frozenset({"127.0.0.1"}))
IMPATIENT = Patience(connect_seconds=1.0, total_seconds=1.0)
ENDPOINTS_MAX = 3
OVERLAP = timedelta(hours=24)
REQUEST_ID = "req_tests"

_RECORD = text(
    "INSERT INTO billing_events (id, account_id, wallet_id, kind, subject, crossing, payload, occurred_at)"
    " VALUES (:id, :account, :wallet, :kind, :subject, :id, CAST(:payload AS jsonb), :at)"
)
_WALLET = text(
    "INSERT INTO wallets (id, account_id, currency, created_at) VALUES (:id, :account, 'RUB', now())"
    " ON CONFLICT DO NOTHING"
)
_AUDIT = text(
    "SELECT action, target, before, after, request_id FROM audit_entries"
    " WHERE account_id = :account AND action LIKE 'webhook_endpoint.%' ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An account with an endpoint, the path at which it listens, and its secret."""

    customer: Customer
    endpoint: Endpoint
    path: str
    secret: str


@dataclass(frozen=True, slots=True)
class Post:
    """The services over one database, one clock and one receiver."""

    begin: Begin
    clock: Clock
    ids: Ids
    town: Town
    endpoints: EndpointService
    dispatcher: Dispatcher
    receiver: ReceiverRemote

    async def subscriber(
        self, *event_types: str, customer: Customer | None = None, url: str | None = None
    ) -> Subscriber:
        """Somebody new, or this customer, with an endpoint at the receiver that wants these types, or all."""
        customer = customer or await self.town.customer()
        path = f"/{secrets.token_hex(8)}"
        wanted = WantedEndpoint(url or self.receiver.url + path, event_types=event_types or None)
        new = await self.endpoints.create(customer.principal, wanted, request_id=REQUEST_ID)
        return Subscriber(customer, new.endpoint, path, new.secret)

    async def happens(
        self,
        customer: Customer,
        kind: str = "wallet.low_balance",
        *,
        subject: str = "",
        at: datetime | None = None,
        **payload: Any,
    ) -> str:
        """Records that something happened to the account, as capabilities do; says the id that its message gets."""
        event_id, account = self.ids.new("evt"), customer.account.id
        async with self.begin() as uow:
            await uow.connection.execute(_WALLET, {"id": f"wal_{account}", "account": account})
            await uow.connection.execute(
                _RECORD,
                {
                    "id": event_id,
                    "account": account,
                    "wallet": f"wal_{account}",
                    "kind": kind,
                    "subject": subject,
                    "payload": json.dumps(payload),
                    "at": at or self.clock.now(),
                },
            )
        return event_id.replace("evt_", "msg_")

    async def route(self) -> None:
        """Routes everything that has happened."""
        while await self.dispatcher.route():
            pass

    async def deliver(self, subscriber: Subscriber) -> None:
        """Routes what has happened and visits this endpoint."""
        await self.route()
        await self.dispatcher.deliver(subscriber.endpoint.id)

    def received(self, subscriber: Subscriber) -> list[dict[str, Any]]:
        """The calls that reached the endpoint, oldest first."""
        return [call for call in self.receiver.calls() if call["path"] == subscriber.path]

    def received_ids(self, subscriber: Subscriber) -> list[str]:
        """The ids of the messages that reached the endpoint, oldest first."""
        return [call["headers"]["webhook-id"] for call in self.received(subscriber)]

    def fail(self, status: int = 500, times: int = 1) -> None:
        """The receiver answers so many times with this status."""
        self.receiver.plan(Fault.model_validate({"kind": "refused", "status": status, "times": times}))

    async def deliveries(self, subscriber: Subscriber) -> list[Delivery]:
        """Everything in the endpoint's line, the first first."""
        page = await self.endpoints.deliveries(
            subscriber.customer.principal, subscriber.endpoint.id, status=None, cursor=None, limit=200
        )
        return list(reversed(page.rows))

    async def endpoint(self, subscriber: Subscriber) -> Endpoint:
        """The endpoint as it is now."""
        return await self.endpoints.endpoint(subscriber.customer.principal, subscriber.endpoint.id)

    async def due_at(self, subscriber: Subscriber) -> datetime | None:
        """When the endpoint is visited next."""
        async with self.begin() as uow:
            due_at: datetime | None = await uow.connection.scalar(
                text("SELECT due_at FROM webhook_endpoints WHERE id = :id"), {"id": subscriber.endpoint.id}
            )
        return due_at

    async def audit_of(self, customer: Customer, *but: str) -> list[dict[str, Any]]:
        """What the audit trail says about the account's endpoints, but for these actions."""
        async with self.begin() as uow:
            rows = await uow.connection.execute(_AUDIT, {"account": customer.account.id})
            found = [dict(row) for row in rows.mappings()]
        return [entry for entry in found if entry["action"].removeprefix("webhook_endpoint.") not in but]


@contextmanager
def remote_receiver() -> Iterator[ReceiverRemote]:
    """A receiver of one's own, with no fault planned and no call made."""
    with running(create_receiver()) as server, ReceiverRemote(server.url) as remote:
        yield remote


@asynccontextmanager
async def open_post(
    *,
    begin: Begin,
    clock: Clock,
    ids: Ids,
    job_queue: JobQueue,
    receiver: ReceiverRemote,
    policy: AddressPolicy = LOOPBACK_ALLOWED,
    keys: SigningKeys = KEYS,
    carrier: Carrier | None = None,
) -> AsyncIterator[Post]:
    """The real services, with short patience and no chance in their waits."""
    over_http = HttpCarrier(policy, patience=IMPATIENT)
    endpoints = EndpointService(
        begin=begin,
        clock=clock,
        ids=ids,
        audit=AuditTrail(clock, ids),
        policy=policy,
        keys=keys,
        limits=Limits(ENDPOINTS_MAX, OVERLAP),
    )
    dispatcher = Dispatcher(
        begin=begin,
        clock=clock,
        ids=ids,
        job_queue=job_queue,
        carrier=carrier or over_http,
        keys=keys,
        chance=lambda: 0.0,
    )
    town = Town(customers_service(begin, clock, ids), begin)
    try:
        yield Post(begin, clock, ids, town, endpoints, dispatcher, receiver)
    finally:
        await over_http.aclose()


def wanted(endpoint: Endpoint, **changes: Any) -> WantedEndpoint:
    """The endpoint as it is, but for these changes."""
    as_it_is = WantedEndpoint(endpoint.url, endpoint.description, endpoint.event_types, endpoint.disabled_at is None)
    return replace(as_it_is, **changes)
