"""What operators see of customers' endpoints: everybody's, those that fail first."""

from __future__ import annotations

from collections.abc import Sequence

from billing.kit.pagination import PAGE_SIZE_MAX
from billing.kit.unit_of_work import UnitOfWork
from billing.webhooks.outbound import repository
from billing.webhooks.outbound.errors import WebhookEndpointNotFound
from billing.webhooks.outbound.rules import Delivery, DeliveryStatus, Endpoint


class OutboundOversight:
    """Reads endpoints and deliveries of all accounts."""

    async def endpoints(self, uow: UnitOfWork, *, account_id: str | None, limit: int) -> Sequence[Endpoint]:
        """One account's endpoints, oldest first; without an account everybody's, the longest failing first."""
        return await repository.endpoints_of(uow, account_id, limit=_size(limit))

    async def endpoint(self, uow: UnitOfWork, endpoint_id: str, *, for_update: bool = False) -> Endpoint:
        """The endpoint.

        Raises:
            WebhookEndpointNotFound: nobody has such an endpoint.
        """
        endpoint = await repository.find_endpoint(uow, endpoint_id, for_update=for_update)
        if endpoint is None:
            raise WebhookEndpointNotFound(endpoint_id)
        return endpoint

    async def deliveries(
        self, uow: UnitOfWork, endpoint: Endpoint, *, status: DeliveryStatus | None, limit: int
    ) -> Sequence[Delivery]:
        """What was and will be sent to the endpoint, the newest first, 200 at the most."""
        return await repository.deliveries_of(uow, endpoint.id, status=status, before=None, limit=_size(limit))


def _size(limit: int) -> int:
    return max(1, min(limit, PAGE_SIZE_MAX))
