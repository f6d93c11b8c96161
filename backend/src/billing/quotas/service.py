"""Reserve, finalise, release: the free quota around one call."""

from __future__ import annotations

from datetime import timedelta

from billing.customers.rules import AccountId, Permission, Principal, require
from billing.kit.clock import Clock
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.quotas import repository
from billing.quotas.errors import ReservationEnded
from billing.quotas.ports import ModelsOnOffer
from billing.quotas.repository import Reservation
from billing.quotas.rules import (
    NOTHING,
    Amounts,
    Cycle,
    FreeStanding,
    FreeTerms,
    NotAvailable,
    ReservationState,
    Reserved,
    Unavailable,
    first_exceeded,
    require_meaningful,
    standing_of,
)

_SWEEP_BATCH = 500


class QuotaService:
    """The free quota: the maximum is set aside before the call, what was used is counted after it.

    Operations are those of the wallets; a reservation stays with the cycle in which it was made.
    """

    def __init__(self, begin: Begin, clock: Clock, models: ModelsOnOffer, *, reservation_ttl: timedelta) -> None:
        self._begin = begin
        self._clock = clock
        self._models = models
        self._reservation_ttl = reservation_ttl

    async def terms(self, uow: UnitOfWork) -> FreeTerms | None:
        """The terms in force, or None if nothing was ever said about free use."""
        found = await repository.current_terms(uow)
        return found[1] if found else None

    async def set_terms(self, uow: UnitOfWork, terms: FreeTerms) -> int:
        """Puts new terms in force, in every process from its next call on; answers their version.

        Terms that say what the ones in force say change nothing.

        Raises:
            FreeTermsRefused: a limit is negative or the cycle has no length.
        """
        require_meaningful(terms)
        await repository.lock_terms(uow)
        version, current = await repository.current_terms(uow) or (0, None)
        if current == terms:
            return version
        await repository.insert_terms(uow, version + 1, terms)
        return version + 1

    async def reserve(
        self, uow: UnitOfWork, account_id: AccountId, operation_id: str, estimate: Amounts, *, model: str
    ) -> Reserved | NotAvailable:
        """Sets the estimate aside if all of it fits into what is left of the account's cycle.

        The account's cycle stays locked until the transaction ends, so parallel calls never exceed a limit together.
        """
        terms = await self.terms(uow)
        if terms is None or not terms.is_enabled:
            return NotAvailable(Unavailable.DISABLED)
        if model not in terms.eligible_models:
            return NotAvailable(Unavailable.MODEL_NOT_ELIGIBLE)
        exceeded = first_exceeded(terms, NOTHING, estimate)
        if exceeded is not None:
            return NotAvailable(Unavailable.EXHAUSTED, exceeded)
        cycle = await self._locked_cycle(uow, account_id, terms)
        exceeded = first_exceeded(terms, cycle.used + cycle.reserved, estimate)
        if exceeded is not None:
            return NotAvailable(Unavailable.EXHAUSTED, exceeded)
        return await self._set_aside(uow, account_id, operation_id, cycle, estimate)

    async def finalise(self, uow: UnitOfWork, operation_id: str, actual: Amounts) -> None:
        """Counts what was really used, even above what was set aside, and even after the reservation expired.

        The second time, with the same use, changes nothing.

        Raises:
            ReservationEnded: there is no such reservation, or it ended in another way.
        """
        reservation = await repository.reservation_of(uow, operation_id, for_update=True)
        if reservation is None:
            raise ReservationEnded(operation_id, "unknown")
        if reservation.used == actual:
            return
        if reservation.state not in {ReservationState.OPEN, ReservationState.EXPIRED}:
            raise ReservationEnded(operation_id, reservation.state)
        await self._end(uow, reservation, ReservationState.FINALISED, used=actual)

    async def release(self, uow: UnitOfWork, operation_id: str) -> None:
        """Gives back what was set aside; the second time, or after it expired, changes nothing.

        Raises:
            ReservationEnded: there is no such reservation, or its use was counted.
        """
        reservation = await repository.reservation_of(uow, operation_id, for_update=True)
        if reservation is None:
            raise ReservationEnded(operation_id, "unknown")
        if reservation.state is ReservationState.FINALISED:
            raise ReservationEnded(operation_id, reservation.state)
        if reservation.state is ReservationState.OPEN:
            await self._end(uow, reservation, ReservationState.RELEASED, used=None)

    async def standing(self, uow: UnitOfWork, account_id: AccountId) -> FreeStanding:
        """Where the account stands now; only models that can really be called are named."""
        return standing_of(
            await self.terms(uow),
            await repository.last_cycle(uow, account_id),
            await self._models.models_on_offer(uow),
            self._clock.now(),
        )

    async def free_limits(self, principal: Principal) -> FreeStanding:
        """Where the caller's account stands now.

        Raises:
            Forbidden: the caller may not read the account's billing.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            return await self.standing(uow, principal.account_id)

    async def offer(self, uow: UnitOfWork) -> FreeStanding:
        """What is free for somebody who has used nothing yet."""
        offered = await self._models.models_on_offer(uow)
        return standing_of(await self.terms(uow), None, offered, self._clock.now())

    async def sweep(self) -> int:
        """Gives back the reservations whose calls never came back, 500 at a time; says how many there were."""
        async with self._begin() as uow:
            return await repository.expire_due(uow, self._clock.now(), _SWEEP_BATCH)

    async def _locked_cycle(self, uow: UnitOfWork, account_id: AccountId, terms: FreeTerms) -> Cycle:
        now = self._clock.now()
        cycle = await repository.last_cycle(uow, account_id, for_update=True)
        if cycle is None or cycle.is_over(terms, now):
            await repository.open_cycle(uow, account_id, cycle.number + 1 if cycle else 1, now)
            cycle = await repository.last_cycle(uow, account_id, for_update=True)
        assert cycle is not None, "the cycle has just been opened, by us or by somebody else"
        return cycle

    async def _set_aside(
        self, uow: UnitOfWork, account_id: AccountId, operation_id: str, cycle: Cycle, estimate: Amounts
    ) -> Reserved:
        now = self._clock.now()
        reservation = Reservation(
            operation_id=operation_id,
            account_id=account_id,
            cycle_number=cycle.number,
            state=ReservationState.OPEN,
            reserved=estimate,
            used=None,
        )
        await repository.insert_reservation(uow, reservation, placed_at=now, expires_at=now + self._reservation_ttl)
        await repository.move_counters(uow, account_id, cycle.number, used=NOTHING, reserved=estimate)
        return Reserved(operation_id, cycle.number, estimate)

    async def _end(
        self, uow: UnitOfWork, reservation: Reservation, state: ReservationState, *, used: Amounts | None
    ) -> None:
        given_back = -reservation.reserved if reservation.state is ReservationState.OPEN else NOTHING
        await repository.end_reservation(uow, reservation.operation_id, state, used, self._clock.now())
        await repository.move_counters(
            uow, reservation.account_id, reservation.cycle_number, used=used or NOTHING, reserved=given_back
        )
