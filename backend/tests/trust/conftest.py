"""The whole application behind real sockets, once for each policy that its settings can describe."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest
from psycopg import AsyncConnection
from sqlalchemy.engine import URL

from backend.tests.fakes.http_server import serving
from backend.tests.trust.cells import Cell, Part, Provider, Topology
from backend.tests.trust.knocks import INNER_PROXIES, PROXY, SECRET, SOURCE, TOKEN
from billing.kit.database import libpq_text
from billing.main import create_app
from billing.webhooks.doorkeeper import Doorkeeper
from billing.webhooks.ports import Handling, Verdict
from billing.webhooks.refusals import RefusalCounter
from billing.webhooks.service import InboxService
from billing.wiring.services import Services, services
from billing.wiring.settings import read_settings
from testkit.loopback import listening

# By its topology, what the deployment says about its proxies, and whether it listens on both kinds of addresses.
PROXIES: dict[Topology, dict[str, str]] = {
    Topology.DIRECT: {},
    Topology.MAPPED: {},
    Topology.ONE_PROXY: {"BILLING_TRUSTED_PROXY_HOPS": "1"},
    Topology.TWO_PROXIES: {"BILLING_TRUSTED_PROXIES": f"{PROXY},{INNER_PROXIES}"},
    Topology.SPOOFED: {"BILLING_TRUSTED_PROXIES": PROXY},
}


_TRACES = """
WITH message AS (SELECT id FROM inbox_messages WHERE provider = %(provider)s AND body LIKE %(event)s),
     counted AS (SELECT reason, sum(count) AS count FROM webhook_refusals WHERE provider = %(provider)s GROUP BY reason)
SELECT (SELECT count(*) FROM message),
       (SELECT count(*) FROM procrastinate_jobs WHERE args ->> 'message_id' IN (SELECT id FROM message)),
       (SELECT coalesce(json_object_agg(reason, count), '{}') FROM counted)
"""


class Bystander:
    """Hears notifications; nobody works on the queue here."""

    async def handle(self, body: str) -> Handling:
        """Does nothing."""
        del body
        return Handling(Verdict.IGNORED)


@dataclass(frozen=True, slots=True)
class Traces:
    """What a knock left behind."""

    messages: int
    jobs: int
    refusals: Counter[str]


@dataclass(slots=True)
class Street:
    """Doors of every policy, opened when the first cell comes to them, and what stands behind all of them."""

    built: Services
    refusals: RefusalCounter
    ground: AsyncConnection
    stack: AsyncExitStack
    counted: dict[Provider, Counter[str]] = field(default_factory=dict)
    ports: dict[tuple[frozenset[Part], Topology], int] = field(default_factory=dict)

    async def door_for(self, cell: Cell) -> int:
        """The port at which an application with this cell's policy listens."""
        key = (cell.checks, cell.topology)
        if key not in self.ports:
            listener = _dual_stack() if cell.topology is Topology.MAPPED else listening()
            self.stack.enter_context(listener)
            await self.stack.enter_async_context(serving(self._app(*key), listener=listener))
            self.ports[key] = listener.getsockname()[1]
        return self.ports[key]

    async def traces_of(self, provider: Provider, event: str) -> Traces:
        """What is stored of this event, its jobs, and why how many were turned away here since the last look."""
        await self.refusals.write()
        found = await self.ground.execute(_TRACES, {"provider": provider, "event": f'%"{event}"%'})
        messages, jobs, counts = await found.fetchone() or (0, 0, {})
        before, self.counted[provider] = self.counted.get(provider, Counter()), Counter(counts)
        return Traces(messages, jobs, self.counted[provider] - before)

    def _app(self, checks: frozenset[Part], topology: Topology) -> object:
        settings = read_settings({**_environment(checks), **PROXIES[topology]})
        policies = settings.webhooks.policies(
            is_production=False, configured=frozenset(), proxies=settings.proxies.trusted_proxies()
        )
        doorkeeper = Doorkeeper(policies=policies, clock=self.built.clock, refusals=self.refusals)
        return create_app(replace(self.built, doorkeeper=doorkeeper))


@pytest.fixture(scope="session")
async def street(database_url: URL) -> AsyncIterator[Street]:
    """The doors of this worker."""
    async with services(read_settings({}), database_url) as built, AsyncExitStack() as stack:
        inbox = InboxService(
            begin=built.begin,
            clock=built.clock,
            ids=built.ids,
            job_queue=built.job_queue,
            handlers={provider.value: Bystander() for provider in Provider},
        )
        refusals = RefusalCounter(begin=built.begin, clock=built.clock)
        stack.push_async_callback(refusals.close)
        ground = await AsyncConnection.connect(libpq_text(database_url), autocommit=True)
        await stack.enter_async_context(ground)
        yield Street(replace(built, inbox=inbox), refusals, ground, stack)


def _environment(checks: frozenset[Part]) -> dict[str, str]:
    """The same checks at both doors."""
    environ: dict[str, str] = {}
    for provider in Provider:
        prefix = f"BILLING_WEBHOOK_{provider.upper()}"
        environ |= {f"{prefix}_{part.upper()}_CHECK": str(part in checks) for part in Part}
        environ |= {f"{prefix}_TOKEN": TOKEN, f"{prefix}_SIGNING_SECRETS": SECRET, f"{prefix}_SOURCES": SOURCE}
    return environ


def _dual_stack() -> socket.socket:
    """Listens on IPv6 and takes IPv4 with it, as a server does that listens everywhere; on loopback alone."""
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("::ffff:127.0.0.1", 0))
    listener.listen()
    return listener
