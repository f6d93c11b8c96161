"""What the scheduler does for wallets: ends holds whose time is over, books credit that expired."""

from __future__ import annotations

from billing.kit.jobs import JobQueue
from billing.wallets.service import WalletService

_EVERY_FIVE_SECONDS = "* * * * * */5"
_EVERY_MINUTE = "* * * * * 30"
_ROUNDS_MAX = 50  # a backlog of ten thousand holds is worked off in one tick, more in the next


def register(queue: JobQueue, service: WalletService) -> None:
    """Says what runs when; each round is bounded, and rounds go on while there is work."""

    async def sweep() -> None:
        for _ in range(_ROUNDS_MAX):
            if await service.sweep() == 0:
                return

    async def expire_credit() -> None:
        for _ in range(_ROUNDS_MAX):
            if await service.expire_credit() == 0:
                return

    queue.register_tick("wallets.sweep", _EVERY_FIVE_SECONDS, sweep)
    queue.register_tick("wallets.expire_credit", _EVERY_MINUTE, expire_credit)
