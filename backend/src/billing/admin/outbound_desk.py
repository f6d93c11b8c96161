"""The desk where operators see how customers' webhook endpoints fare, and send messages again."""

from __future__ import annotations

from collections.abc import Sequence

from billing.customers.audit import AuditTrail
from billing.customers.rules import AccountId, Principal, check_reason, require_operator
from billing.kit.unit_of_work import Begin
from billing.webhooks.outbound.oversight import OutboundOversight
from billing.webhooks.outbound.replays import ReplayOrder, Replays
from billing.webhooks.outbound.rules import Delivery, DeliveryStatus, Endpoint


class OutboundDesk:
    """Operators read every endpoint and can have messages sent again; addresses and secrets stay their customers'."""

    def __init__(self, *, begin: Begin, replays: Replays, audit: AuditTrail) -> None:
        self._begin = begin
        self._replays = replays
        self._audit = audit
        self._oversight = OutboundOversight()

    async def endpoints(
        self, principal: Principal, *, account_id: str | None = None, limit: int = 100
    ) -> Sequence[Endpoint]:
        """One account's endpoints, or everybody's, the longest failing first; 200 at the most.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await self._oversight.endpoints(uow, account_id=account_id, limit=limit)

    async def deliveries(
        self, principal: Principal, endpoint_id: str, *, status: DeliveryStatus | None = None, limit: int = 100
    ) -> Sequence[Delivery]:
        """What was and will be sent to an endpoint, the newest first, 200 at the most.

        Raises:
            Forbidden: the caller is no operator.
            WebhookEndpointNotFound: nobody has such an endpoint.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            endpoint = await self._oversight.endpoint(uow, endpoint_id)
            return await self._oversight.deliveries(uow, endpoint, status=status, limit=limit)

    async def redeliver(
        self, principal: Principal, endpoint_id: str, order: ReplayOrder, *, reason: str, request_id: str
    ) -> int:
        """Sends one message again, or all since a moment; says how many.

        Raises:
            Forbidden: the caller is no operator who may write.
            WebhookEndpointNotFound: nobody has such an endpoint.
            InvalidInput: there is no reason, or the order names both a message and a moment, or neither.
            WebhookEndpointDisabled: nothing is sent there.
            WebhookMessageNotFound: the endpoint's account was never sent such a message.
        """
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        async with self._begin() as uow:
            endpoint = await self._oversight.endpoint(uow, endpoint_id, for_update=True)
            count = await self._replays.replay(uow, endpoint, order)
            await self._audit.record(
                uow,
                principal,
                action="webhook_endpoint.replayed",
                target=endpoint.id,
                before=None,
                after={**order.facts(), "deliveries": count},
                reason=reason,
                request_id=request_id,
                account_id=AccountId(endpoint.account_id),
            )
        return count
