"""Reserve, finalise, release: the free quota around one call; and the terms on which it is given."""

from __future__ import annotations

from datetime import timedelta

from billing.customers.audit import AuditTrail
from billing.customers.rules import AccountId, Permission, Principal, check_reason, require, require_operator
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.statements import Question, answer
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.quotas import changes, repository
from billing.quotas.changes import Ground, Reservation
from billing.quotas.errors import FreeTermsOutdated, ReservationEnded
from billing.quotas.ports import ModelsOnOffer, People, PlanQuotas
from billing.quotas.rules import (
    NOTHING,
    Amounts,
    BurnOrder,
    Cycle,
    FreeStanding,
    FreeTerms,
    NotAvailable,
    RefusedStart,
    ReservationState,
    Reserved,
    StartsReport,
    Unavailable,
    exhausted,
    growth_to,
    require_meaningful,
    standing_of,
)
from billing.quotas.settings import QuotaSettings
from billing.quotas.starts import Starts

_SWEEP_BATCH = 500
_SWEEPS_MAX = 40
_NETWORKS_KEPT = timedelta(days=30)


class QuotaService:
    """The free quota: the maximum is set aside before the call, what was used is counted after it.

    Operations are those of the wallets; a reservation stays with the cycle in which it was made.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        audit: AuditTrail,
        models: ModelsOnOffer,
        people: People,
        settings: QuotaSettings,
        plans: PlanQuotas | None = None,
    ) -> None:
        """`plans` is None where no plans are sold."""
        self._begin = begin
        self._clock = clock
        self._audit = audit
        self._models = models
        self._plans = plans
        self._settings = settings
        self._starts = Starts(clock=clock, ids=ids, people=people, starts_per_network=settings.starts_per_network)

    async def reserve(
        self,
        uow: UnitOfWork,
        account_id: AccountId,
        operation_id: str,
        estimate: Amounts,
        *,
        model: str,
        client_network: str | None = None,
        is_wallet_empty: bool = False,
        ground: Ground | None = None,
        extra: Amounts = NOTHING,
    ) -> Reserved | NotAvailable:
        """Sets the estimate aside if all of it fits into what is left of the person's cycle.

        The cycle stays locked until the transaction ends, so parallel calls never exceed a limit together. An account
        that spends its wallet first gets nothing here until the caller says that the wallet cannot pay.
        `client_network` is the address that the call comes from, or its network; None for calls from inside.
        `ground` is the answer to `ground_of` in the same transaction, where it was asked together with others; `extra`
        is what the account's plan adds to every limit.
        """
        if ground is None:
            ground = await answer(uow, self.ground_of(account_id, model))
        terms = _terms_for(ground, estimate, extra, is_wallet_empty=is_wallet_empty)
        if isinstance(terms, NotAvailable):
            return terms
        holder_id = ground.holder_id or await self._starts.begin(
            uow, account_id, client_network=client_network, burn_order=ground.burn_order
        )
        if isinstance(holder_id, NotAvailable):
            return holder_id
        cycle = await self._running_cycle(uow, holder_id, ground.cycle, terms)
        not_free = exhausted(terms, cycle.used + cycle.reserved, estimate, ground.burn_order)
        if not_free is not None:
            return not_free
        reservation = Reservation(
            operation_id=operation_id,
            account_id=account_id,
            holder_id=holder_id,
            cycle_number=cycle.number,
            state=ReservationState.OPEN,
            reserved=estimate,
            used=None,
        )
        now = self._clock.now()
        await changes.place(uow, reservation, at=now, expires_at=now + self._settings.reservation_ttl)
        return Reserved(operation_id, cycle.number, estimate)

    def ground_of(self, account_id: AccountId, model: str) -> Question[Ground]:
        """What is a reservation for this model decided on? It is locked with the answer, until the transaction ends."""
        return changes.lock_ground(account_id, model)

    async def renew(self, uow: UnitOfWork, operation_id: str) -> None:
        """Keeps the reservation of a call that still runs from expiring; one that has ended stays as it is."""
        await changes.renew(uow, operation_id, self._clock.now() + self._settings.reservation_ttl)

    async def extend(
        self, uow: UnitOfWork, operation_id: str, to: Amounts, *, extra: Amounts = NOTHING
    ) -> Reserved | NotAvailable:
        """Lets the reservation of a call that still runs grow up to `to`, if all of it fits; it never shrinks.

        The growth counts in the cycle of the reservation, by the terms that are in force now; `extra` as in `reserve`.

        Raises:
            ReservationEnded: there is no such reservation, or it has ended.
        """
        reservation = await changes.lock_reservation(uow, operation_id)
        if reservation is None or reservation.state is not ReservationState.OPEN:
            raise ReservationEnded(operation_id, "unknown" if reservation is None else reservation.state)
        growth = growth_to(to, reservation.reserved)
        cycle = await changes.lock_cycle(uow, reservation.holder_id, reservation.cycle_number)
        terms, order = await self.terms(uow), await self.burn_order(uow, reservation.account_id)
        if terms is None or not terms.is_enabled:
            return NotAvailable(Unavailable.DISABLED, burn_order=order)
        not_free = exhausted(terms.with_extra(extra), cycle.used + cycle.reserved, growth, order)
        if not_free is not None:
            return not_free
        await changes.grow(uow, reservation, growth)
        return Reserved(operation_id, cycle.number, reservation.reserved + growth)

    async def finalise(self, uow: UnitOfWork, operation_id: str, actual: Amounts) -> None:
        """Counts what was really used, even above what was set aside, and even after the reservation expired.

        The second time, with the same use, changes nothing.

        Raises:
            ReservationEnded: there is no such reservation, or it ended in another way.
        """
        reservation = await changes.lock_reservation(uow, operation_id)
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
        reservation = await changes.lock_reservation(uow, operation_id)
        if reservation is None:
            raise ReservationEnded(operation_id, "unknown")
        if reservation.state is ReservationState.FINALISED:
            raise ReservationEnded(operation_id, reservation.state)
        if reservation.state is ReservationState.OPEN:
            await self._end(uow, reservation, ReservationState.RELEASED, used=None)

    async def record_refused_start(self, outcome: Reserved | NotAvailable) -> None:
        """Writes down for the operators that somebody could not begin; other outcomes are nobody's business.

        Opens a transaction of its own, after the one of `reserve`: that one is rolled back where nobody pays.
        """
        if isinstance(outcome, NotAvailable) and outcome.refused_start is not None:
            async with self._begin() as uow:
                await self._record(uow, outcome.refused_start)

    async def standing(self, uow: UnitOfWork, account_id: AccountId) -> FreeStanding:
        """Where the account stands now; only models that can really be called are named.

        What another account of the same person has used is used here too, also before this one has begun.
        """
        terms = await self.terms(uow)
        if terms is not None and self._plans is not None:
            terms = terms.with_extra(await answer(uow, self._plans.quotas_of(account_id, self._clock.now())))
        holder = await repository.holder_of(uow, account_id)
        holder_id, is_verified = holder.holder_id, True
        if holder_id is None:
            holder_id, is_verified = await self._starts.known_holder(uow, account_id)
        return standing_of(
            terms,
            await repository.last_cycle(uow, holder_id) if holder_id else None,
            await self._models.models_on_offer(uow),
            self._clock.now(),
            burn_order=holder.burn_order,
            is_verified=is_verified,
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

    async def burn_order(self, uow: UnitOfWork, account_id: AccountId) -> BurnOrder:
        """What the account spends first."""
        return (await repository.holder_of(uow, account_id)).burn_order

    async def burn_order_of(self, principal: Principal) -> BurnOrder:
        """What the caller's account spends first.

        Raises:
            Forbidden: the caller may not read the account's billing.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            return await self.burn_order(uow, principal.account_id)

    async def set_burn_order(self, principal: Principal, order: BurnOrder, *, request_id: str) -> None:
        """Changes what the account spends first, from its next call on; choosing the same again changes nothing.

        Raises:
            Forbidden: the caller may not manage the account's billing.
        """
        require(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            await repository.ensure_account(uow, principal.account_id)
            before = (await repository.holder_of(uow, principal.account_id, for_update=True)).burn_order
            if before is order:
                return
            await repository.set_burn_order(uow, principal.account_id, order)
            await self._audit.record(
                uow,
                principal,
                action="free_quota.burn_order_changed",
                target=principal.account_id,
                before={"burn_order": before.value},
                after={"burn_order": order.value},
                reason="",
                request_id=request_id,
            )

    async def terms(self, uow: UnitOfWork) -> FreeTerms | None:
        """The terms in force, or None if nothing was ever said about free use."""
        found = await repository.current_terms(uow)
        return found[1] if found else None

    async def terms_in_force(self, principal: Principal) -> tuple[int, FreeTerms | None]:
        """The terms with their version, which is 0 while there are none.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await repository.current_terms(uow) or (0, None)

    async def set_terms(self, uow: UnitOfWork, terms: FreeTerms) -> int:
        """Puts new terms in force, in every process from its next call on; answers their version.

        Terms that say what the ones in force say change nothing. For programs; people use `change_terms`.

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

    async def change_terms(
        self, principal: Principal, terms: FreeTerms, *, expected_version: int | None, reason: str, request_id: str
    ) -> int:
        """Puts an operator's terms in force, in every process from its next call on; answers their version.

        `expected_version` is the one that the operator has seen; None where a script says how things shall be.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: there is no reason.
            FreeTermsRefused: the terms cannot be meant.
            FreeTermsOutdated: another version is in force by now.
        """
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        require_meaningful(terms)
        async with self._begin() as uow:
            await repository.lock_terms(uow)
            version, current = await repository.current_terms(uow) or (0, None)
            if expected_version is not None and expected_version != version:
                raise FreeTermsOutdated(version)
            if current == terms:
                return version
            await repository.insert_terms(uow, version + 1, terms)
            await self._audit.record(
                uow,
                principal,
                action="free_quota.terms_changed",
                target=f"free_quota_terms/{version + 1}",
                before=None if current is None else current.to_json(),
                after=terms.to_json(),
                reason=reason,
                request_id=request_id,
            )
            return version + 1

    async def starts_report(self, principal: Principal, *, days: int) -> StartsReport:
        """First starts and refused ones of the last days, by network; those of the last thirty days are kept.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await repository.starts_report(uow, since=self._clock.now() - timedelta(days=days))

    async def sweep(self) -> int:
        """Gives back the reservations whose calls never came back, oldest first; says how many there were."""
        swept = 0
        for _ in range(_SWEEPS_MAX):
            async with self._begin() as uow:
                found = await repository.expire_due(uow, self._clock.now(), _SWEEP_BATCH)
            swept += found
            if found < _SWEEP_BATCH:
                break
        return swept

    async def forget_networks(self) -> int:
        """Removes from where people began a month ago; says how many rows that changed."""
        async with self._begin() as uow:
            before = self._clock.now() - _NETWORKS_KEPT
            return await repository.forget_networks(uow, before=before, limit=_SWEEP_BATCH)

    async def _running_cycle(self, uow: UnitOfWork, holder_id: str, newest: Cycle | None, terms: FreeTerms) -> Cycle:
        """The holder's running cycle, locked; a new one begins with the first use after the last one's end."""
        now = self._clock.now()
        cycle = newest or await changes.lock_newest_cycle(uow, holder_id)
        if cycle is None or cycle.is_over(terms, now):
            await changes.open_cycle(uow, holder_id, cycle.number + 1 if cycle else 1, now)
            cycle = await changes.lock_newest_cycle(uow, holder_id)
        assert cycle is not None, "the cycle has just been opened, by us or by somebody else"
        return cycle

    async def _end(
        self, uow: UnitOfWork, reservation: Reservation, state: ReservationState, *, used: Amounts | None
    ) -> None:
        given_back = reservation.reserved if reservation.state is ReservationState.OPEN else NOTHING
        await changes.end(uow, reservation, state, used=used, given_back=given_back, at=self._clock.now())

    async def _record(self, uow: UnitOfWork, refused: RefusedStart) -> None:
        await repository.insert_refused_start(uow, refused, self._clock.now())


def _terms_for(ground: Ground, estimate: Amounts, extra: Amounts, *, is_wallet_empty: bool) -> FreeTerms | NotAvailable:
    """The terms on which the call can be free, or why it is not, whatever is left.

    Nobody begins for a call that would never fit.
    """
    terms, order = ground.terms, ground.burn_order
    if order is BurnOrder.WALLET_FIRST and not is_wallet_empty:
        return NotAvailable(Unavailable.WALLET_FIRST, burn_order=order)
    if terms is None or not terms.is_enabled:
        return NotAvailable(Unavailable.DISABLED, burn_order=order)
    if not ground.is_model_eligible:
        return NotAvailable(Unavailable.MODEL_NOT_ELIGIBLE, burn_order=order)
    extended = terms.with_extra(extra)
    return exhausted(extended, NOTHING, estimate, order) or extended
