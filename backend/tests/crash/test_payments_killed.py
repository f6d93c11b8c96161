"""A process is killed at every step between a wish to pay and its end; each thing is done once all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy.engine import URL

from backend.tests.crash.payments_flows import ASKED_AGAIN, FLOWS, Flow, somebody
from backend.tests.crash.payments_scripts import SCRIPTS
from backend.tests.crash.payments_street import End, Street, open_street
from backend.tests.crash.processes import Forker, forker

pytestmark = [pytest.mark.slow, pytest.mark.money, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def children() -> Iterator[Forker]:
    """Who forks the processes that are killed."""
    with forker("backend.tests.crash.payments_boundaries") as children:
        yield children


@pytest.fixture
def flow(request: pytest.FixtureRequest) -> Flow:
    """What is done up to the death."""
    return FLOWS[request.param]


@pytest.fixture
async def street(own_database: URL, children: Forker, flow: Flow) -> AsyncIterator[Street]:
    """A provider and a database for one flow."""
    async with open_street(flow.kind, own_database, children) as street:
        yield street


def deaths(steps: int) -> Iterator[tuple[int, bool]]:
    """Before each step, and after the last: between two steps nothing is done that outlives the process."""
    yield from ((at, False) for at in range(steps))
    yield steps - 1, True


async def untouched(street: Street, flow: Flow) -> End:
    """What becomes of somebody for whom the script was never begun."""
    names = await somebody(street, flow)
    await street.recover()
    return await street.end(names)


async def lived(street: Street, flow: Flow) -> tuple[int, End]:
    """How many steps the script has, and what becomes of somebody for whom it was done without a death."""
    names = await somebody(street, flow)
    steps = street.lives(flow.script, names)
    await street.recover()
    return steps, await street.end(names)


async def killed(street: Street, flow: Flow, steps: int, *, asks_again: bool) -> list[End]:
    """What became of each of those whose process was killed, one at each boundary."""
    ends, others = [], []
    for at, is_after in deaths(steps):
        names = await somebody(street, flow)
        street.dies(flow.script, names, at=at, is_after=is_after)
        if asks_again:
            await SCRIPTS[flow.script](street.house, names)
        if flow.is_alone:
            await street.recover()
            ends.append(await street.end(names))
        else:
            others.append(names)
    if others:
        await street.recover()
    return ends + [await street.end(names) for names in others]


class TestKilledAtEveryStep:
    @pytest.mark.parametrize("flow", [name for name in FLOWS if FLOWS[name].forgotten is not None], indirect=True)
    async def test_where_nobody_asks_again_jobs_bring_what_was_begun_to_its_one_end(
        self, street: Street, flow: Flow
    ) -> None:
        steps, whole = await lived(street, flow)
        nothing = await untouched(street, flow)

        ends = await killed(street, flow, steps, asks_again=False)

        assert flow.forgotten is not None
        assert flow.promises(whole), whole
        assert steps >= flow.steps_min
        assert ends == [nothing] * flow.forgotten + [whole] * (len(ends) - flow.forgotten), (steps, ends)
        assert (await street.waiting(), await street.drifts()) == ([], [])

    @pytest.mark.parametrize("flow", ASKED_AGAIN, indirect=True)
    async def test_whoever_asks_again_after_the_death_brings_it_to_the_same_end(
        self, street: Street, flow: Flow
    ) -> None:
        steps, whole = await lived(street, flow)

        ends = await killed(street, flow, steps, asks_again=True)

        assert flow.promises(whole), whole
        assert ends == [whole] * len(ends), ends
        assert (await street.waiting(), await street.drifts()) == ([], [])
