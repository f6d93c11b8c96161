"""The statements over the tables of the free quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.models import FreeCycleRow, FreeReservationRow, FreeTermsRow
from billing.quotas.rules import Amounts, Cycle, FreeTerms, Metric, ReservationState

# The oldest due reservations first: those that are open, so that rows which ended long ago are never looked at.
_RETURNED = ", ".join(f"reservation.{metric}_reserved" for metric in Metric)
_GIVEN_BACK = ", ".join(f"{metric}_reserved = cycle.{metric}_reserved - part.{metric}" for metric in Metric)
_SUMMED = ", ".join(f"sum({metric}_reserved) AS {metric}" for metric in Metric)
_EXPIRE = text(
    f"""
    WITH due AS (
        SELECT operation_id FROM free_quota_reservations
        WHERE state = 'open' AND expires_at <= :now
        ORDER BY expires_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), expired AS (
        UPDATE free_quota_reservations AS reservation SET state = 'expired', ended_at = :now
        FROM due WHERE reservation.operation_id = due.operation_id
        RETURNING reservation.account_id, reservation.cycle_number, {_RETURNED}
    ), given_back AS (
        UPDATE free_quota_cycles AS cycle SET {_GIVEN_BACK}
        FROM (SELECT account_id, cycle_number, {_SUMMED} FROM expired GROUP BY account_id, cycle_number) AS part
        WHERE cycle.account_id = part.account_id AND cycle.number = part.cycle_number
    )
    SELECT count(*) FROM expired
    """,  # noqa: S608 - put together from constants of this file
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """One operation's reservation as it is stored."""

    operation_id: str
    account_id: AccountId
    cycle_number: int
    state: ReservationState
    reserved: Amounts
    used: Amounts | None


async def current_terms(uow: UnitOfWork) -> tuple[int, FreeTerms] | None:
    """The newest terms with their version, or None if there never were any."""
    newest = select(FreeTermsRow).order_by(FreeTermsRow.version.desc()).limit(1)
    row = (await uow.connection.execute(newest)).one_or_none()
    if row is None:
        return None
    terms = FreeTerms(
        is_enabled=row.is_enabled,
        cycle_days=row.cycle_days,
        limits=_amounts(row, "limit"),
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
            eligible_models=sorted(terms.eligible_models),
            **_columns(terms.limits, "limit"),
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
        used=_amounts(row, "used"),
        reserved=_amounts(row, "reserved"),
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
            placed_at=placed_at,
            expires_at=expires_at,
            **_columns(reservation.reserved, "reserved"),
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
        reserved=_amounts(row, "reserved"),
        used=None if row.input_tokens_used is None else _amounts(row, "used"),
    )


async def end_reservation(
    uow: UnitOfWork, operation_id: str, state: ReservationState, used: Amounts | None, at: datetime
) -> None:
    """Writes how the reservation ended."""
    values = {"state": state.value, "ended_at": at} | (_columns(used, "used") if used else {})
    await uow.connection.execute(
        update(FreeReservationRow).where(FreeReservationRow.operation_id == operation_id).values(values),
    )


async def move_counters(
    uow: UnitOfWork, account_id: AccountId, cycle_number: int, *, used: Amounts, reserved: Amounts
) -> None:
    """Adds to the counters of this one cycle, which may be over."""
    changes = _columns(used, "used") | _columns(reserved, "reserved")
    await uow.connection.execute(
        update(FreeCycleRow)
        .where(FreeCycleRow.account_id == account_id, FreeCycleRow.number == cycle_number)
        .values({name: FreeCycleRow.__table__.c[name] + change for name, change in changes.items()}),
    )


async def expire_due(uow: UnitOfWork, now: datetime, limit: int) -> int:
    """Gives back what due reservations set aside; says how many there were."""
    return int((await uow.connection.execute(_EXPIRE, {"now": now, "limit": limit})).scalar_one())


async def lock_terms(uow: UnitOfWork) -> None:
    """Makes writers of new terms wait for each other until the transaction ends."""
    await uow.connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(FreeTermsRow.__tablename__))))


def _columns(amounts: Amounts, kind: str) -> dict[str, int]:
    return {f"{metric}_{kind}": amounts.of(metric) for metric in Metric}


def _amounts(row: Row[Any], kind: str) -> Amounts:
    return Amounts(*(getattr(row, f"{metric}_{kind}") for metric in Metric))
