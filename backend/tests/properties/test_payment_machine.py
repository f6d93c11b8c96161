"""Whatever a provider's events do, in whatever order and number, we end where each of them once would have led."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from backend.tests.builders.providers import Ability, SimulatedProvider, Start
from backend.tests.builders.stripe import stripe_under_test
from backend.tests.builders.yookassa import yookassa_under_test
from backend.tests.properties.ground import OVER_THE_NETWORK, Ground, Tally, require_diligence, run_machine
from backend.tests.properties.payment_machine import CAME_BACK, PaymentMachine

_STARTS: dict[str, Start] = {"yookassa": yookassa_under_test, "stripe": stripe_under_test}


def _in_ten(shop: SimulatedProvider) -> dict[str, int]:
    """What ten payments come through at the least; without it the machine would prove little."""
    often = {"topup.credited": 5, "refund.succeeded": 4}
    if Ability.DISPUTES in shop.abilities:
        often |= {"dispute.opened": 3, "dispute.won": 1, "dispute.lost": 1}
    if Ability.REFUNDS_COME_BACK in shop.abilities:
        often |= {"refund.failed": 3, CAME_BACK: 2}
    return often


@pytest.fixture(params=list(_STARTS))
def shop(request: pytest.FixtureRequest, ground: Ground) -> Iterator[SimulatedProvider]:
    """A simulated provider that only this machine uses, reached from the machine's own loop."""
    stack = AsyncExitStack()

    async def opened() -> SimulatedProvider:
        opening = await stack.enter_async_context(_STARTS[request.param]())
        return await stack.enter_async_context(opening())

    yield ground.runner.run(opened())
    ground.runner.run(stack.aclose())


class TestPayments:
    @pytest.mark.timeout(900)  # the thorough profile takes its time
    @pytest.mark.slow
    @pytest.mark.money
    def test_events_converge(self, ground: Ground, shop: SimulatedProvider) -> None:
        class Machine(PaymentMachine):
            pass

        Machine.ground, Machine.tally, Machine.shop = ground, Tally(), shop
        run_machine(Machine, shard=1, profiles=OVER_THE_NETWORK)

        require_diligence(Machine.tally, profiles=OVER_THE_NETWORK, in_ten=_in_ten(shop))
