"""Who begins to use the free quota: once for each verified person, and not too many a day from one network."""

from __future__ import annotations

from datetime import datetime, timedelta

from billing.customers.rules import AccountId
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas import repository
from billing.quotas.ports import People
from billing.quotas.rules import BurnOrder, NotAvailable, RefusedStart, Unavailable, neighbourhood_of

START_WINDOW = timedelta(days=1)


class Starts:
    """Leads accounts to the person whose free quota they use. A participant in its caller's unit of work."""

    def __init__(self, *, clock: Clock, ids: Ids, people: People, starts_per_network: int) -> None:
        self._clock = clock
        self._ids = ids
        self._people = people
        self._starts_per_network = starts_per_network

    async def known_holder(self, uow: UnitOfWork, account_id: AccountId) -> tuple[str | None, bool]:
        """Whose free quota the account would use, if that person has begun already; and whether it may use one."""
        person = await self._people.identity_of(uow, account_id)
        if person is None or not person.is_verified:
            return None, False
        return await repository.holder_with_identity(uow, person.digests), True

    async def begin(
        self, uow: UnitOfWork, account_id: AccountId, *, client_network: str | None, burn_order: BurnOrder
    ) -> str | NotAvailable:
        """The holder whose free quota the account uses from now on.

        A person who has begun already, under whatever account or spelling of the e-mail, begins no second time. The
        first start of a person counts for the network that it comes from; a call from inside, which has none, is not
        counted.
        """
        person = await self._people.identity_of(uow, account_id)
        if person is None or not person.is_verified:
            return NotAvailable(Unavailable.EMAIL_NOT_VERIFIED, burn_order=burn_order)
        holder_id = await repository.holder_with_identity(uow, person.digests)
        if holder_id is None:
            now = self._clock.now()
            network = None if client_network is None else neighbourhood_of(client_network)
            if network is not None and not await self._has_room(uow, network, now):
                refused = RefusedStart(account_id, network)
                return NotAvailable(Unavailable.START_RATE, burn_order=burn_order, refused_start=refused)
            await repository.insert_holder(
                uow,
                self._ids.new("fqh"),
                identity=person.digests[0],
                network=network,
                account_id=account_id,
                at=now,
            )
            holder_id = await repository.holder_with_identity(uow, person.digests)
        assert holder_id is not None, "the person has just begun, by us or by somebody else"
        await repository.ensure_account(uow, account_id)
        await repository.bind_account(uow, account_id, holder_id)
        bound = await repository.holder_of(uow, account_id)
        assert bound.holder_id is not None, "the account has just been bound, by us or by somebody else"
        return bound.holder_id

    async def _has_room(self, uow: UnitOfWork, network: str, now: datetime) -> bool:
        await repository.lock_network(uow, network)
        return await repository.count_starts(uow, network, since=now - START_WINDOW) < self._starts_per_network
