"""What the scheduler does for wallets: ends holds whose time is over, books credit that expired."""

from __future__ import annotations

from billing.kit.jobs import JobQueue
from billing.wallets.service import WalletService

_EVERY_FIVE_SECONDS = "* * * * * */5"
_EVERY_MINUTE = "* * * * * 30"


def register(queue: JobQueue, service: WalletService) -> None:
    """Says what runs when; each run is bounded, and what it leaves is the next one's."""

    async def sweep() -> None:
        await service.sweep()

    async def expire_credit() -> None:
        await service.expire_credit()

    queue.register_tick("wallets.sweep", _EVERY_FIVE_SECONDS, sweep)
    queue.register_tick("wallets.expire_credit", _EVERY_MINUTE, expire_credit)
