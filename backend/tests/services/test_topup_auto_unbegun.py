"""An automatic charge that never reached Stripe ends, whatever else the account is used for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.failures import Premises, Scene, Simulated, open_premises, open_scene
from backend.tests.builders.stripe import SimulatedStripe, simulated_stripe
from backend.tests.failures import flows

pytestmark = [pytest.mark.money, pytest.mark.slow]

HOUR = timedelta(hours=1)
_CHARGES = "SELECT state, cancellation FROM payments WHERE account_id = :id AND purpose = 'auto_topup' ORDER BY id"


@pytest.fixture(scope="module")
async def stripe() -> AsyncIterator[SimulatedStripe]:
    """The provider."""
    async with simulated_stripe() as simulator:
        yield simulator


@pytest.fixture(scope="module")
async def premises(database_url: URL) -> AsyncIterator[Premises]:
    """The application."""
    async with open_premises(database_url) as premises:
        yield premises


@pytest.fixture
async def scene(premises: Premises, stripe: SimulatedStripe) -> AsyncIterator[Scene]:
    """A customer whose wallet is low, and whose automatic top-up Stripe answered with an error; nothing was charged."""
    async with open_scene(premises, Simulated("stripe", stripe)) as scene:
        await flows.low(scene)
        await scene.backstage.go_wrong("server_error", "create_intent", effect="none", times=100)
        await flows.top_up_automatically(scene, scene.services)
        yield scene


async def a_day_of_checks(scene: Scene) -> None:
    """The janitor's rounds of a day, in which charges keep going wrong."""
    for _ in range(24):
        scene.clock.move(HOUR)
        await scene.services.payment_upkeep.janitor.check_due()


class TestAChargeThatNeverBegan:
    @pytest.mark.parametrize("mode", ["setup", "subscription"])
    async def test_ends_although_the_account_has_sessions_that_are_no_payments(
        self, scene: Scene, stripe: SimulatedStripe, mode: str
    ) -> None:
        await stripe.post("sessions", {"mode": mode})

        await a_day_of_checks(scene)

        (charge,) = await scene.rows(_CHARGES, id=scene.customer.account.id)
        assert (charge["state"], charge["cancellation"]) == ("canceled", "never_begun")

    async def test_ends_when_what_the_list_does_not_show_well_is_somebody_elses(
        self, scene: Scene, stripe: SimulatedStripe
    ) -> None:
        (session, *_) = await stripe.state("sessions")
        page = {"data": [{**session, "status": "half_open"}], "has_more": False}
        await stripe.go_wrong("altered", "list_sessions", changes=page, times=100)

        await a_day_of_checks(scene)

        (charge,) = await scene.rows(_CHARGES, id=scene.customer.account.id)
        assert (charge["state"], charge["cancellation"]) == ("canceled", "never_begun")

    async def test_stays_while_the_list_has_something_that_nobody_understands(
        self, scene: Scene, stripe: SimulatedStripe
    ) -> None:
        (session, *_) = await stripe.state("sessions")
        odd = {**session, "id": "cs_test_odd", "status": "half_open"}
        await stripe.go_wrong("altered", "list_sessions", changes={"data": [odd], "has_more": False}, times=100)

        await a_day_of_checks(scene)

        (charge,) = await scene.rows(_CHARGES, id=scene.customer.account.id)
        assert charge["state"] == "created"
