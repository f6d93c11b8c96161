"""The statements around one free call: one that locks and reads what the decision needs, one that writes it.

They go to the driver directly, because on this path SQLAlchemy's own work would be most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.customers.rules import AccountId
from billing.kit.statements import DriverStatement, Question, only
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.rules import Amounts, BurnOrder, Cycle, FreeTerms, Metric, ReservationState


@dataclass(frozen=True, slots=True)
class Reservation:
    """One operation's reservation as it is stored."""

    operation_id: str
    account_id: AccountId
    holder_id: str
    cycle_number: int
    state: ReservationState
    reserved: Amounts
    used: Amounts | None


@dataclass(frozen=True, slots=True)
class Ground:
    """What a reservation is decided on: the terms in force (without their models; None while there are none), the
    account's choice and holder, and the holder's newest cycle, locked until the transaction ends if the model is free.
    """

    terms: FreeTerms | None
    is_model_eligible: bool
    burn_order: BurnOrder
    holder_id: str | None
    cycle: Cycle | None


_N = len(Metric)


def _listed(pattern: str) -> str:
    """The pattern once for every metric, in the order of `Metric`."""
    return ", ".join(pattern.format(metric) for metric in Metric)


# Whoever waits for the cycle's row reads it as it is then; but the next cycle may have begun meanwhile, which this
# statement does not see. The row is then over, and `open_cycle` finds out.
_GROUND = DriverStatement(
    f"""
SELECT terms.is_enabled, terms.cycle_days, %(model)s = ANY (terms.eligible_models), account.burn_order,
       account.holder_id, cycle.number, cycle.starts_at,
       {_listed("terms.{}_limit")}, {_listed("cycle.{}_used")}, {_listed("cycle.{}_reserved")}
FROM (VALUES (1)) AS always (one)
LEFT JOIN LATERAL (SELECT * FROM free_quota_terms ORDER BY version DESC LIMIT 1) AS terms ON true
LEFT JOIN free_quota_accounts AS account ON account.account_id = %(account_id)s
LEFT JOIN LATERAL (
    SELECT * FROM free_quota_cycles
    WHERE holder_id = account.holder_id AND terms.is_enabled AND %(model)s = ANY (terms.eligible_models)
    ORDER BY number DESC LIMIT 1 FOR UPDATE
) AS cycle ON true
"""  # noqa: S608 - put together from constants of this file
)

_NEWEST_CYCLE = DriverStatement(
    f"""
SELECT number, starts_at, {_listed("{}_used")}, {_listed("{}_reserved")}
FROM free_quota_cycles WHERE holder_id = %(holder_id)s ORDER BY number DESC LIMIT 1 FOR UPDATE
"""  # noqa: S608 - put together from constants of this file
)

_CYCLE = DriverStatement(
    f"""
SELECT number, starts_at, {_listed("{}_used")}, {_listed("{}_reserved")}
FROM free_quota_cycles WHERE holder_id = %(holder_id)s AND number = %(number)s FOR UPDATE
"""  # noqa: S608 - put together from constants of this file
)

_OPEN_CYCLE = DriverStatement(
    """
INSERT INTO free_quota_cycles (holder_id, number, starts_at) VALUES (%(holder_id)s, %(number)s, %(starts_at)s)
ON CONFLICT DO NOTHING
"""
)

_PLACE = DriverStatement(
    f"""
WITH cycle AS (
    UPDATE free_quota_cycles SET {_listed("{0}_reserved = {0}_reserved + %({0})s")}
    WHERE holder_id = %(holder_id)s AND number = %(cycle_number)s
)
INSERT INTO free_quota_reservations (operation_id, account_id, holder_id, cycle_number, state, placed_at, expires_at,
                                     {_listed("{}_reserved")})
VALUES (%(operation_id)s, %(account_id)s, %(holder_id)s, %(cycle_number)s, 'open', %(at)s, %(expires_at)s,
        {_listed("%({})s")})
"""  # noqa: S608 - put together from constants of this file
)

_GROW = DriverStatement(
    f"""
WITH cycle AS (
    UPDATE free_quota_cycles SET {_listed("{0}_reserved = {0}_reserved + %({0})s")}
    WHERE holder_id = %(holder_id)s AND number = %(cycle_number)s
)
UPDATE free_quota_reservations SET {_listed("{0}_reserved = {0}_reserved + %({0})s")}
WHERE operation_id = %(operation_id)s
"""  # noqa: S608 - put together from constants of this file
)

_RESERVATION = DriverStatement(
    f"""
SELECT account_id, holder_id, cycle_number, state, {_listed("{}_reserved")}, {_listed("{}_used")}
FROM free_quota_reservations WHERE operation_id = %(operation_id)s FOR UPDATE
"""  # noqa: S608 - put together from constants of this file
)

_END = DriverStatement(
    f"""
WITH reservation AS (
    UPDATE free_quota_reservations
    SET state = %(state)s, ended_at = %(at)s, {_listed("{0}_used = %({0}_final)s")}
    WHERE operation_id = %(operation_id)s
)
UPDATE free_quota_cycles
SET {_listed("{0}_used = {0}_used + %({0}_added)s")}, {_listed("{0}_reserved = {0}_reserved - %({0}_given_back)s")}
WHERE holder_id = %(holder_id)s AND number = %(cycle_number)s
"""  # noqa: S608 - put together from constants of this file
)

_RENEW = DriverStatement(
    """
UPDATE free_quota_reservations SET expires_at = greatest(expires_at, %(expires_at)s)
WHERE operation_id = %(operation_id)s AND state = 'open'
"""
)


def lock_ground(account_id: AccountId, model: str) -> Question[Ground]:
    """What is a reservation for this model decided on? The cycle is locked with the answer."""
    return Question(_GROUND.filled(account_id=account_id, model=model), _as_ground)


def _as_ground(rows: list[Any]) -> Ground:
    row = only(rows)
    assert row is not None, "one row comes always"
    terms = None
    if row[0] is not None:
        limits = Amounts(*row[7 : 7 + _N])
        terms = FreeTerms(is_enabled=row[0], cycle_days=row[1], limits=limits, eligible_models=frozenset())
    return Ground(
        terms=terms,
        is_model_eligible=bool(row[2]),
        burn_order=BurnOrder(row[3] or BurnOrder.FREE_FIRST),
        holder_id=row[4],
        cycle=None if row[5] is None else _cycle((*row[5:7], *row[7 + _N :])),
    )


async def lock_newest_cycle(uow: UnitOfWork, holder_id: str) -> Cycle | None:
    """The holder's newest cycle, whether it runs or is over."""
    row = await _NEWEST_CYCLE.row(uow, holder_id=holder_id)
    return None if row is None else _cycle(row)


async def lock_cycle(uow: UnitOfWork, holder_id: str, number: int) -> Cycle:
    """This cycle of the holder, whether it runs or is over."""
    row = await _CYCLE.row(uow, holder_id=holder_id, number=number)
    assert row is not None, "a reservation has its cycle"
    return _cycle(row)


async def open_cycle(uow: UnitOfWork, holder_id: str, number: int, starts_at: datetime) -> None:
    """Opens the cycle; does nothing if somebody else has just done so, after waiting for them to commit."""
    await _OPEN_CYCLE.changed(uow, holder_id=holder_id, number=number, starts_at=starts_at)


async def place(uow: UnitOfWork, reservation: Reservation, *, at: datetime, expires_at: datetime) -> None:
    """Writes an open reservation and adds it to its cycle's counters."""
    values = {
        "operation_id": reservation.operation_id,
        "account_id": reservation.account_id,
        "holder_id": reservation.holder_id,
        "cycle_number": reservation.cycle_number,
        "at": at,
        "expires_at": expires_at,
        **_values("{}", reservation.reserved),
    }
    await _PLACE.changed(uow, **values)


async def grow(uow: UnitOfWork, reservation: Reservation, growth: Amounts) -> None:
    """Adds to an open reservation and to its cycle's counters."""
    values = {
        "operation_id": reservation.operation_id,
        "holder_id": reservation.holder_id,
        "cycle_number": reservation.cycle_number,
        **_values("{}", growth),
    }
    await _GROW.changed(uow, **values)


async def lock_reservation(uow: UnitOfWork, operation_id: str) -> Reservation | None:
    """The operation's reservation, which nobody else ends until the transaction does; or None."""
    row = await _RESERVATION.row(uow, operation_id=operation_id)
    if row is None:
        return None
    return Reservation(
        operation_id=operation_id,
        account_id=AccountId(row[0]),
        holder_id=row[1],
        cycle_number=row[2],
        state=ReservationState(row[3]),
        reserved=Amounts(*row[4 : 4 + _N]),
        used=None if row[4 + _N] is None else Amounts(*row[4 + _N :]),
    )


async def end(
    uow: UnitOfWork,
    reservation: Reservation,
    state: ReservationState,
    *,
    used: Amounts | None,
    given_back: Amounts,
    at: datetime,
) -> None:
    """Writes how the reservation ended, and what that changes in its own cycle, which may be over."""
    values = {
        "operation_id": reservation.operation_id,
        "holder_id": reservation.holder_id,
        "cycle_number": reservation.cycle_number,
        "state": state.value,
        "at": at,
        **_values("{}_final", used),
        **_values("{}_added", used or Amounts()),
        **_values("{}_given_back", given_back),
    }
    await _END.changed(uow, **values)


async def renew(uow: UnitOfWork, operation_id: str, expires_at: datetime) -> None:
    """Pushes the expiry of an open reservation; never brings it nearer."""
    await _RENEW.changed(uow, operation_id=operation_id, expires_at=expires_at)


def _cycle(row: Sequence[object]) -> Cycle:
    number, starts_at, *counts = row
    assert isinstance(number, int), "the cycle's number"
    assert isinstance(starts_at, datetime), "the cycle's start"
    whole = [count for count in counts if isinstance(count, int)]
    return Cycle(number, starts_at, used=Amounts(*whole[:_N]), reserved=Amounts(*whole[_N:]))


def _values(pattern: str, amounts: Amounts | None) -> dict[str, int | None]:
    return {pattern.format(metric): amounts.of(metric) if amounts else None for metric in Metric}
