"""What the scheduler does for the gateway: ends the streams whose process is gone."""

from __future__ import annotations

from billing.gateway.abandoned import AbandonedStreams
from billing.kit.jobs import JobQueue

_EVERY_FIVE_SECONDS = "* * * * * */5"
_ROUNDS_MAX = 50


def register(queue: JobQueue, service: AbandonedStreams) -> None:
    """Says what runs when; each round is bounded, and rounds go on while there is work."""

    async def settle_abandoned() -> None:
        for _ in range(_ROUNDS_MAX):
            if await service.settle() == 0:
                return

    queue.register_tick("gateway.settle_abandoned", _EVERY_FIVE_SECONDS, settle_abandoned)
