"""The statements over the tables of the free quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.models import FreeCycleRow, FreeReservationRow, FreeTermsRow
from billing.quotas.rules import Cycle, FreeTerms, ReservationState, Tokens

# The oldest due reservations first: those that are open, so that rows which ended long ago are never looked at.
_EXPIRE = text(
    """
    WITH due AS (
        SELECT operation_id FROM free_quota_reservations
        WHERE state = 'open' AND expires_at <= :now
        ORDER BY expires_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), expired AS (
        UPDATE free_quota_reservations AS reservation SET state = 'expired', ended_at = :now
        FROM due WHERE reservation.operation_id = due.operation_id
        RETURNING reservation.account_id, reservation.cycle_number,
                  reservation.input_tokens_reserved, reservation.output_tokens_reserved
    ), given_back AS (
        UPDATE free_quota_cycles AS cycle
        SET input_tokens_reserved = cycle.input_tokens_reserved - part.input_tokens,
            output_tokens_reserved = cycle.output_tokens_reserved - part.output_tokens
        FROM (
            SELECT account_id, cycle_number, sum(input_tokens_reserved) AS input_tokens,
                   sum(output_tokens_reserved) AS output_tokens
            FROM expired GROUP BY account_id, cycle_number
        ) AS part
        WHERE cycle.account_id = part.account_id AND cycle.number = part.cycle_number
    )
    SELECT count(*) FROM expired
    """,
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """One operation's reservation as it is stored."""

    operation_id: str
    account_id: AccountId
    cycle_number: int
    state: ReservationState
    reserved: Tokens
    used: Tokens | None


async def current_terms(uow: UnitOfWork) -> tuple[int, FreeTerms] | None:
    """The newest terms with their version, or None if there never were any."""
    newest = select(FreeTermsRow).order_by(FreeTermsRow.version.desc()).limit(1)
    row = (await uow.connection.execute(newest)).one_or_none()
    if row is None:
        return None
    terms = FreeTerms(
        is_enabled=row.is_enabled,
        cycle_days=row.cycle_days,
        limits=Tokens(row.input_tokens_limit, row.output_tokens_limit),
        eligible_models=frozenset(row.eligible_models),
    )
    return row.version, terms


async def insert_terms(uow: UnitOfWork, version: int, terms: FreeTerms) -> None:
    """Writes the terms as this version."""
    await uow.connection.execute(
        insert(FreeTermsRow).values(
            version=version,
            is_enabled=terms.is_enabled,
            cycle_days=terms.cycle_days,
            input_tokens_limit=terms.limits.input,
            output_tokens_limit=terms.limits.output,
            eligible_models=sorted(terms.eligible_models),
        ),
    )


async def last_cycle(uow: UnitOfWork, account_id: AccountId, *, for_update: bool = False) -> Cycle | None:
    """The account's newest cycle, whether it runs or is over."""
    newest = (
        select(FreeCycleRow).where(FreeCycleRow.account_id == account_id).order_by(FreeCycleRow.number.desc()).limit(1)
    )
    row = (await uow.connection.execute(newest.with_for_update() if for_update else newest)).one_or_none()
    if row is None:
        return None
    return Cycle(
        number=row.number,
        starts_at=row.starts_at,
        used=Tokens(row.input_tokens_used, row.output_tokens_used),
        reserved=Tokens(row.input_tokens_reserved, row.output_tokens_reserved),
    )


async def open_cycle(uow: UnitOfWork, account_id: AccountId, number: int, starts_at: datetime) -> None:
    """Opens the cycle; does nothing if somebody else has just done so, after waiting for them to commit."""
    cycle = insert_or_skip(FreeCycleRow).values(account_id=account_id, number=number, starts_at=starts_at)
    await uow.connection.execute(cycle.on_conflict_do_nothing())


async def insert_reservation(
    uow: UnitOfWork, reservation: Reservation, *, placed_at: datetime, expires_at: datetime
) -> None:
    """Writes an open reservation; its cycle's counters are moved by `move_counters`."""
    await uow.connection.execute(
        insert(FreeReservationRow).values(
            operation_id=reservation.operation_id,
            account_id=reservation.account_id,
            cycle_number=reservation.cycle_number,
            state=reservation.state.value,
            input_tokens_reserved=reservation.reserved.input,
            output_tokens_reserved=reservation.reserved.output,
            placed_at=placed_at,
            expires_at=expires_at,
        ),
    )


async def reservation_of(uow: UnitOfWork, operation_id: str, *, for_update: bool) -> Reservation | None:
    """The operation's reservation, or None."""
    query = select(FreeReservationRow).where(FreeReservationRow.operation_id == operation_id)
    row = (await uow.connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        return None
    return Reservation(
        operation_id=row.operation_id,
        account_id=AccountId(row.account_id),
        cycle_number=row.cycle_number,
        state=ReservationState(row.state),
        reserved=Tokens(row.input_tokens_reserved, row.output_tokens_reserved),
        used=None if row.input_tokens_used is None else Tokens(row.input_tokens_used, row.output_tokens_used),
    )


async def end_reservation(
    uow: UnitOfWork, operation_id: str, state: ReservationState, used: Tokens | None, at: datetime
) -> None:
    """Writes how the reservation ended."""
    await uow.connection.execute(
        update(FreeReservationRow)
        .where(FreeReservationRow.operation_id == operation_id)
        .values(
            state=state.value,
            input_tokens_used=used.input if used else None,
            output_tokens_used=used.output if used else None,
            ended_at=at,
        ),
    )


async def move_counters(
    uow: UnitOfWork, account_id: AccountId, cycle_number: int, *, used: Tokens, reserved: Tokens
) -> None:
    """Adds to the counters of this one cycle, which may be over."""
    await uow.connection.execute(
        update(FreeCycleRow)
        .where(FreeCycleRow.account_id == account_id, FreeCycleRow.number == cycle_number)
        .values(
            input_tokens_used=FreeCycleRow.input_tokens_used + used.input,
            output_tokens_used=FreeCycleRow.output_tokens_used + used.output,
            input_tokens_reserved=FreeCycleRow.input_tokens_reserved + reserved.input,
            output_tokens_reserved=FreeCycleRow.output_tokens_reserved + reserved.output,
        ),
    )


async def expire_due(uow: UnitOfWork, now: datetime, limit: int) -> int:
    """Gives back what due reservations set aside; says how many there were."""
    return int((await uow.connection.execute(_EXPIRE, {"now": now, "limit": limit})).scalar_one())


async def lock_terms(uow: UnitOfWork) -> None:
    """Makes writers of new terms wait for each other until the transaction ends."""
    await uow.connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(FreeTermsRow.__tablename__))))
