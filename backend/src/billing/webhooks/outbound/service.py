"""The webhook endpoints of an account as its people manage them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from billing.customers.audit import AuditTrail
from billing.customers.rules import Permission, Principal, require, require_person
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.pagination import PAGE_SIZE_MAX, Page, decode_cursor, encode_cursor
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.webhooks.outbound import repository
from billing.webhooks.outbound.addresses import AddressPolicy
from billing.webhooks.outbound.errors import (
    WebhookEndpointDisabled,
    WebhookEndpointLimitReached,
    WebhookEndpointNotFound,
)
from billing.webhooks.outbound.event_types import ENDPOINT_TEST
from billing.webhooks.outbound.replays import ReplayOrder, Replays, require_room
from billing.webhooks.outbound.repository import NewDelivery
from billing.webhooks.outbound.rules import (
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Endpoint,
    EndpointId,
    EndpointStatus,
    Message,
    Spell,
    WantedEndpoint,
    check_description,
    check_event_types,
)
from billing.webhooks.outbound.signing import SigningKeys


@dataclass(frozen=True, slots=True)
class Limits:
    """How many endpoints an account may have, and how long an old secret stays valid beside its successor."""

    endpoints_max: int
    rotation_overlap: timedelta


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint with a new secret; this is the only moment at which anybody sees it."""

    secret: str = field(repr=False)
    endpoint: Endpoint


class EndpointService:
    """Makes, changes, tests and removes endpoints; changes are for people, not for API keys.

    A key that could point messages elsewhere, or learn the secret that they are signed with, would outlive itself.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        audit: AuditTrail,
        policy: AddressPolicy,
        keys: SigningKeys,
        limits: Limits,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._audit = audit
        self._policy = policy
        self._keys = keys
        self._limits = limits
        self._replays = Replays(clock, ids)

    async def endpoints(self, principal: Principal) -> list[Endpoint]:
        """The account's endpoints, oldest first.

        Raises:
            Forbidden: the caller may not read the account's billing.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            return await repository.endpoints_of(uow, principal.account_id, limit=PAGE_SIZE_MAX)

    async def endpoint(self, principal: Principal, endpoint_id: str) -> Endpoint:
        """One of the account's endpoints.

        Raises:
            Forbidden: the caller may not read the account's billing.
            WebhookEndpointNotFound: the account has no such endpoint.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            return await _found(uow, principal, endpoint_id, for_update=False)

    async def create(self, principal: Principal, wanted: WantedEndpoint, *, request_id: str) -> NewSecret:
        """Makes an endpoint; what happens from now on is sent there.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            WebhookUrlRefused: the address is not one that messages may be sent to.
            InvalidInput: description or types cannot be what they claim to be.
            OutboundNotConfigured: this deployment has no secret to sign with.
            WebhookEndpointLimitReached: the account has as many endpoints as it may.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        now = self._clock.now()
        blank = Endpoint(
            id=EndpointId(self._ids.new("whe")),
            account_id=principal.account_id,
            url="",
            description="",
            event_types=None,
            status=EndpointStatus.ENABLED,
            disabled_reason=None,
            disabled_at=None,
            spell=Spell(),
            created_at=now,
        )
        endpoint = self._changed(blank, wanted)
        name = self._keys.new_secret(1)
        async with self._begin() as uow:
            await repository.lock_account(uow, principal.account_id)
            has = len(await repository.endpoints_of(uow, principal.account_id, limit=self._limits.endpoints_max))
            if has >= self._limits.endpoints_max:
                raise WebhookEndpointLimitReached(self._limits.endpoints_max)
            await repository.insert_endpoint(uow, endpoint)
            await repository.insert_secret(uow, endpoint.id, name, at=now)
            await self._record(uow, principal, "created", endpoint.id, None, _facts(endpoint), request_id)
        return NewSecret(self._keys.secret(endpoint.id, name), endpoint)

    async def change(
        self, principal: Principal, endpoint_id: str, wanted: WantedEndpoint, *, request_id: str
    ) -> Endpoint:
        """Makes the endpoint what is wanted; the same again changes nothing and leaves no audit entry.

        Switched off, it loses what waits for it. Switched on, its failures are forgotten, and it is told what happens
        from then on; what it missed is replayed on request.

        Raises:
            Forbidden, WebhookUrlRefused, InvalidInput: as for `create`.
            WebhookEndpointNotFound: the account has no such endpoint.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            before = await _found(uow, principal, endpoint_id, for_update=True)
            after = self._changed(before, wanted)
            if after == before:
                return before
            if after.status is EndpointStatus.DISABLED and before.status is EndpointStatus.ENABLED:
                await repository.cancel_waiting(uow, after.id, at=self._clock.now())
                await repository.set_due(uow, after.id, None)
            await repository.update_endpoint(uow, after)
            await self._record(uow, principal, "changed", after.id, _facts(before), _facts(after), request_id)
        return after

    async def delete(self, principal: Principal, endpoint_id: str, *, request_id: str) -> None:
        """Removes the endpoint with everything that waits for it; what is on its way arrives.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            WebhookEndpointNotFound: the account has no such endpoint, or none any more.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            before = await _found(uow, principal, endpoint_id, for_update=True)
            await repository.delete_endpoint(uow, before.id)
            await self._record(uow, principal, "deleted", before.id, _facts(before), None, request_id)

    async def rotate_secret(self, principal: Principal, endpoint_id: str, *, request_id: str) -> NewSecret:
        """Gives the endpoint a new secret; for a while messages are signed with the one before it too.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            WebhookEndpointNotFound: the account has no such endpoint.
            OutboundNotConfigured: this deployment has no secret to sign with.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        now = self._clock.now()
        end = now + self._limits.rotation_overlap
        async with self._begin() as uow:
            endpoint = await _found(uow, principal, endpoint_id, for_update=True)
            newest = await repository.newest_generation(uow, endpoint.id)
            name = self._keys.new_secret(newest + 1)
            await repository.expire_secrets(uow, endpoint.id, newest=newest, at=now, end=end)
            await repository.insert_secret(uow, endpoint.id, name, at=now)
            before: Mapping[str, object] = {"generation": newest}
            after: Mapping[str, object] = {"generation": newest + 1, "old_secret_ends_at": end.isoformat()}
            await self._record(uow, principal, "secret_rotated", endpoint.id, before, after, request_id)
        return NewSecret(self._keys.secret(endpoint.id, name), endpoint)

    async def send_test(self, principal: Principal, endpoint_id: str, *, request_id: str) -> str:
        """Puts a test message in line for the endpoint; says the message's id.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            WebhookEndpointNotFound: the account has no such endpoint.
            WebhookEndpointDisabled: nothing is sent there.
            WebhookLineFull: too much waits there already.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        now = self._clock.now()
        async with self._begin() as uow:
            endpoint = await _found(uow, principal, endpoint_id, for_update=True)
            if endpoint.status is not EndpointStatus.ENABLED:
                raise WebhookEndpointDisabled(endpoint.id)
            await require_room(uow, endpoint)
            test = Message(self._ids.new("msg"), endpoint.account_id, ENDPOINT_TEST, endpoint.id, {}, now)
            await repository.insert_message(uow, test, routed_at=now)
            delivery = NewDelivery(self._ids.new("dlv"), endpoint.id, test.id)
            await repository.insert_deliveries(uow, [delivery], at=now, is_replay=False)
            await self._record(uow, principal, "tested", endpoint.id, None, {"message_id": test.id}, request_id)
        return test.id

    async def replay(self, principal: Principal, endpoint_id: str, order: ReplayOrder, *, request_id: str) -> int:
        """Sends one message again, or all since a moment; says how many.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            WebhookEndpointNotFound: the account has no such endpoint.
            InvalidInput, WebhookEndpointDisabled, WebhookMessageNotFound, WebhookLineFull: as `Replays.replay` says.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            endpoint = await _found(uow, principal, endpoint_id, for_update=True)
            count = await self._replays.replay(uow, endpoint, order)
            after = {**order.facts(), "deliveries": count}
            await self._record(uow, principal, "replayed", endpoint.id, None, after, request_id)
        return count

    async def deliveries(
        self, principal: Principal, endpoint_id: str, *, status: DeliveryStatus | None, cursor: str | None, limit: int
    ) -> Page[Delivery]:
        """What was and will be sent to the endpoint, the newest first, 200 a page at the most.

        Raises:
            Forbidden: the caller may not read the account's billing.
            WebhookEndpointNotFound: the account has no such endpoint.
            InvalidInput: the cursor is not one of ours.
        """
        require(principal, Permission.READ_BILLING)
        size, before = max(1, min(limit, PAGE_SIZE_MAX)), _position(decode_cursor(cursor))
        async with self._begin() as uow:
            endpoint = await _found(uow, principal, endpoint_id, for_update=False)
            found = await repository.deliveries_of(uow, endpoint.id, status=status, before=before, limit=size + 1)
        next_cursor = encode_cursor(str(found[size - 1].position)) if len(found) > size else None
        return Page(tuple(found[:size]), next_cursor)

    def _changed(self, before: Endpoint, wanted: WantedEndpoint) -> Endpoint:
        self._policy.parse(wanted.url)
        after = replace(
            before,
            url=wanted.url,
            description=check_description(wanted.description),
            event_types=check_event_types(wanted.event_types),
        )
        if wanted.is_enabled:
            return after if before.status is EndpointStatus.ENABLED else after.enabled()
        is_off = before.status is EndpointStatus.DISABLED
        return after if is_off else after.disabled(DisabledReason.OWNER, self._clock.now())

    async def _record(
        self,
        uow: UnitOfWork,
        principal: Principal,
        what: str,
        endpoint_id: EndpointId,
        before: Mapping[str, object] | None,
        after: Mapping[str, object] | None,
        request_id: str,
    ) -> None:
        await self._audit.record(
            uow,
            principal,
            action=f"webhook_endpoint.{what}",
            target=endpoint_id,
            before=before,
            after=after,
            reason="",
            request_id=request_id,
        )


async def _found(uow: UnitOfWork, principal: Principal, endpoint_id: str, *, for_update: bool) -> Endpoint:
    endpoint = await repository.find_endpoint(uow, endpoint_id, account_id=principal.account_id, for_update=for_update)
    if endpoint is None:
        raise WebhookEndpointNotFound(endpoint_id)
    return endpoint


def _position(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(2**63))):
        raise InvalidInput("cursor", "This is not a cursor of ours.")
    return min(int(text), 2**63 - 1)


def _facts(endpoint: Endpoint) -> dict[str, object]:
    """The endpoint as the audit trail keeps it."""
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": None if endpoint.event_types is None else sorted(endpoint.event_types),
        "status": endpoint.status.value,
        "disabled_reason": endpoint.disabled_reason,
    }
