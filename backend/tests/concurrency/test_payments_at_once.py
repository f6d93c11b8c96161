"""Two processes do the same about one payment at the same moment, in every way there is; it is as if one had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.concurrency.payments_rush import STARTING_GUN
from backend.tests.crash.payments_flows import FLOWS, Flow, somebody
from backend.tests.crash.payments_scripts import Names
from backend.tests.crash.payments_street import Street, open_street
from backend.tests.crash.processes import Forker, forker

pytestmark = [pytest.mark.slow, pytest.mark.money, pytest.mark.timeout(120)]

_LOOK_SECONDS = 0.02
_WAIT_SECONDS_MAX = 60.0
_WAITING = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_WAYS = {
    "be_notified": "be_told come_back check",
    "come_back": "come_back be_told check",
    "come_back_with_plan": "come_back_with_plan be_told check",
}
"""How else one hears of what a script hears of: return page, notification and check at once."""


@pytest.fixture(scope="module")
def processes() -> Iterator[tuple[Forker, Forker]]:
    """Two that do the same."""
    module = "backend.tests.concurrency.payments_rush"
    with forker(module) as one, forker(module) as other:
        yield one, other


@pytest.fixture
def flow(request: pytest.FixtureRequest) -> Flow:
    """What is done at once."""
    return FLOWS[request.param]


@pytest.fixture
async def street(own_database: URL, processes: tuple[Forker, Forker], flow: Flow) -> AsyncIterator[Street]:
    """A provider and a database for one flow."""
    async with open_street(flow.kind, own_database, processes[0]) as street:
        yield street


async def rush(street: Street, processes: tuple[Forker, Forker], ways: str, names: Names) -> None:
    """Both begin when both are there, and come to their ends."""
    async with street.house.engine.begin() as gun:
        await gun.execute(text("SELECT pg_advisory_xact_lock(:gun)"), {"gun": STARTING_GUN})
        for process in processes:
            process.send(ways, names, **street.world)
        async with asyncio.timeout(_WAIT_SECONDS_MAX):
            while await gun.scalar(_WAITING) < len(processes):  # noqa: ASYNC110 - locks set no event
                await asyncio.sleep(_LOOK_SECONDS)  # bounded by the timeout above
    for process in processes:
        assert (await asyncio.to_thread(process.answer))["is_well"], ways


class TestTwoProcessesAtOnce:
    @pytest.mark.parametrize("flow", FLOWS, indirect=True)
    async def test_bring_a_payment_to_the_end_that_it_has_with_one(
        self, street: Street, processes: tuple[Forker, Forker], flow: Flow
    ) -> None:
        names = await somebody(street, flow)

        await rush(street, processes, _WAYS.get(flow.script, flow.script), names)
        await street.recover()

        end = await street.end(names)
        assert flow.promises(end), end
        assert (await street.waiting(), await street.drifts()) == ([], [])
