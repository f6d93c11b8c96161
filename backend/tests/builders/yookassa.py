"""The simulated YooKassa on loopback, and what its customers and its network do."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from billing.payments.adapters.calls import Budget
from billing.payments.adapters.yookassa import YookassaProvider
from testkit.loopback import NO_TLS
from testkit.simulators.server import running
from testkit.simulators.yookassa import YookassaSettings, create_yookassa

SHOP_ID = "100500"
SECRET_KEY = "test_simulated_secret"
QUICK = Budget(connect_seconds=1.0, total_seconds=5.0, retries_max=2, first_wait_seconds=0.001)
_SEEDS = itertools.count(1)  # two simulators of one run must not give out the same ids
IMPATIENT = Budget(connect_seconds=0.3, total_seconds=0.3, retries_max=0, first_wait_seconds=0.001)


@dataclass(frozen=True, slots=True)
class SimulatedYookassa:
    """A running simulator, seen from its control side."""

    url: str
    control: httpx.AsyncClient
    payments_before: int = 0
    """How many payments there were when this test began; they are somebody else's."""

    async def fresh(self) -> SimulatedYookassa:
        """The same simulator for the next test: without faults, calls and earlier payments.

        It is not reset, because after that it would give out the same ids again.
        """
        for part in ("faults", "calls"):
            (await self.control.delete(part)).raise_for_status()
        return replace(self, payments_before=len((await self.control.get("state")).json()["payments"]))

    @property
    def api_url(self) -> str:
        """Where its API v3 is."""
        return f"{self.url}/v3"

    def provider(self, budget: Budget = QUICK, *, secret_key: str = SECRET_KEY) -> YookassaProvider:
        """Our adapter, connected to this simulator."""
        return YookassaProvider(
            shop_id=SHOP_ID,
            secret_key=secret_key,
            api_url=self.api_url,
            is_test=True,
            budget=budget,
            chance=lambda: 0.5,
        )

    async def pay(self, provider_payment_id: str) -> None:
        """The customer pays."""
        await self._post(f"payments/{provider_payment_id}/pay")

    async def decline(self, provider_payment_id: str) -> None:
        """The customer's bank refuses."""
        await self._post(f"payments/{provider_payment_id}/decline")

    async def expire(self, provider_payment_id: str) -> None:
        """The hour for paying is over."""
        await self._post(f"payments/{provider_payment_id}/expire")

    async def plan(self, kind: str, operation: str, **more: Any) -> None:
        """The next call of this operation goes wrong this way."""
        await self._post("faults", {"kind": kind, "operation": operation, **more})

    async def payments(self) -> list[dict[str, Any]]:
        """This test's payments, oldest first, as the API shows them."""
        state = (await self.control.get("state")).json()
        payments: list[dict[str, Any]] = state["payments"][self.payments_before :]
        return payments

    async def only_payment_id(self) -> str:
        """The provider's id of the one payment that there is."""
        (payment,) = await self.payments()
        return str(payment["id"])

    async def calls(self, operation: str) -> list[dict[str, Any]]:
        """The calls of one operation, oldest first."""
        answer = await self.control.get("calls", params={"operation": operation})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def notification(self, event: str = "payment.succeeded") -> bytes:
        """The body of the newest notification of this event."""
        items = (await self.control.get("notifications")).json()["items"]
        return httpx.Request("POST", self.url, json=[i for i in items if i["event"] == event][-1]["body"]).content

    async def _post(self, path: str, body: Any = None) -> None:
        (await self.control.post(path, json=body)).raise_for_status()


@asynccontextmanager
async def simulated_yookassa() -> AsyncIterator[SimulatedYookassa]:
    """A simulator of its own on a free port."""
    app = create_yookassa(YookassaSettings(shop_id=SHOP_ID, secret_key=SECRET_KEY, seed=next(_SEEDS)))
    with running(app) as server:
        async with httpx.AsyncClient(verify=NO_TLS, base_url=f"{server.url}/control/", trust_env=False) as control:
            yield SimulatedYookassa(server.url, control)
