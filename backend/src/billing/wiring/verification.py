"""The one checker: every capability's part of it, over one consistent view of the database."""

from __future__ import annotations

from sqlalchemy import text

from billing.kit.unit_of_work import Begin
from billing.ledger.invariants import EVERYTHING, Drift, Extent, Verifier

# One statement serves every extent, so a plan made for all wallets would read all of them for one.
_PLAN_EACH = text("SET LOCAL plan_cache_mode = force_custom_plan")


class Verification:
    """What `billing ledger verify` runs, and the probe, and every test that moves money."""

    def __init__(self, snapshot: Begin, verifiers: tuple[Verifier, ...]) -> None:
        self._snapshot = snapshot
        self._verifiers = verifiers

    async def drifts(self, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Everything in this extent that is not as the invariants say, while the system runs on."""
        async with self._snapshot() as view:
            await view.connection.execute(_PLAN_EACH)
            return tuple([drift for verifier in self._verifiers for drift in await verifier.drifts(view, extent)])
