"""The statements over the tables of the free quota that no call waits for; those that one does are in `changes`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.models import (
    FreeAccountRow,
    FreeCycleRow,
    FreeHolderRow,
    FreeRefusedStartRow,
    FreeTermsRow,
)
from billing.quotas.rules import (
    Amounts,
    BurnOrder,
    Cycle,
    FreeTerms,
    Holder,
    Metric,
    NetworkStarts,
    RefusedStart,
    RefusedStarts,
    StartsReport,
)

_REPORTED_MAX = 200

# The oldest due reservations first: those that are open, so that rows which ended long ago are never looked at. The
# cycles are locked in one order, so that two sweepers never wait for each other in a ring.
_RETURNED = ", ".join(f"reservation.{metric}_reserved" for metric in Metric)
_GIVEN_BACK = ", ".join(f"{metric}_reserved = cycle.{metric}_reserved - part.{metric}" for metric in Metric)
_SUMMED = ", ".join(f"sum({metric}_reserved) AS {metric}" for metric in Metric)
_EXPIRE = text(
    f"""
    WITH due AS MATERIALIZED (
        SELECT operation_id, holder_id, cycle_number FROM free_quota_reservations
        WHERE state = 'open' AND expires_at <= :now
        ORDER BY expires_at, operation_id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), locked AS MATERIALIZED (
        SELECT holder_id, number FROM free_quota_cycles
        WHERE (holder_id, number) IN (SELECT holder_id, cycle_number FROM due)
        ORDER BY holder_id, number FOR UPDATE
    ), expired AS (
        UPDATE free_quota_reservations AS reservation SET state = 'expired', ended_at = :now
        FROM due WHERE reservation.operation_id = due.operation_id
        RETURNING reservation.holder_id, reservation.cycle_number, {_RETURNED}
    ), given_back AS (
        UPDATE free_quota_cycles AS cycle SET {_GIVEN_BACK}
        FROM locked
        JOIN (SELECT holder_id, cycle_number, {_SUMMED} FROM expired GROUP BY holder_id, cycle_number) AS part
            ON part.holder_id = locked.holder_id AND part.cycle_number = locked.number
        WHERE cycle.holder_id = locked.holder_id AND cycle.number = locked.number
    )
    SELECT count(*) FROM expired
    """,  # noqa: S608 - put together from constants of this file
)

_STARTS = text(
    """
    SELECT network, sum(starts) AS starts, sum(refused) AS refused, sum(attempts) AS attempts, max(last_at) AS last_at
    FROM (
        SELECT network, count(*) AS starts, 0 AS refused, 0 AS attempts, max(started_at) AS last_at
        FROM free_quota_holders WHERE started_at > :since AND network IS NOT NULL GROUP BY network
        UNION ALL
        SELECT network, 0, count(DISTINCT account_id), sum(attempts), max(last_refused_at)
        FROM free_quota_refused_starts WHERE last_refused_at > :since GROUP BY network
    ) AS part
    GROUP BY network ORDER BY attempts DESC, starts DESC, network LIMIT :limit
    """,
)


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


async def lock_terms(uow: UnitOfWork) -> None:
    """Makes writers of new terms wait for each other until the transaction ends."""
    await uow.connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(FreeTermsRow.__tablename__))))


async def insert_terms(uow: UnitOfWork, version: int, terms: FreeTerms) -> None:
    """Writes the terms as this version."""
    await uow.connection.execute(
        insert(FreeTermsRow).values(
            version=version,
            is_enabled=terms.is_enabled,
            cycle_days=terms.cycle_days,
            eligible_models=sorted(terms.eligible_models),
            **{f"{metric}_limit": terms.limits.of(metric) for metric in Metric},
        ),
    )


async def holder_of(uow: UnitOfWork, account_id: AccountId, *, for_update: bool = False) -> Holder:
    """The account's holder and burn order; the defaults where nothing was ever said."""
    query = select(FreeAccountRow.holder_id, FreeAccountRow.burn_order).where(FreeAccountRow.account_id == account_id)
    row = (await uow.connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    return Holder(None, BurnOrder.FREE_FIRST) if row is None else Holder(row.holder_id, BurnOrder(row.burn_order))


async def ensure_account(uow: UnitOfWork, account_id: AccountId) -> None:
    """Gives the account its row, if it has none yet."""
    await uow.connection.execute(
        insert_or_skip(FreeAccountRow).values(account_id=account_id).on_conflict_do_nothing(),
    )


async def set_burn_order(uow: UnitOfWork, account_id: AccountId, order: BurnOrder) -> None:
    """Writes the account's choice."""
    await uow.connection.execute(
        update(FreeAccountRow).where(FreeAccountRow.account_id == account_id).values(burn_order=order.value),
    )


async def bind_account(uow: UnitOfWork, account_id: AccountId, holder_id: str) -> None:
    """From now on the account uses this person's free quota; one that uses somebody's already keeps to it."""
    await uow.connection.execute(
        update(FreeAccountRow)
        .where(FreeAccountRow.account_id == account_id, FreeAccountRow.holder_id.is_(None))
        .values(holder_id=holder_id),
    )


async def holder_with_identity(uow: UnitOfWork, digests: Sequence[bytes]) -> str | None:
    """Who is known under one of these digests; where there are several, whoever began first."""
    known = (
        select(FreeHolderRow.id)
        .where(FreeHolderRow.identity.in_(digests))
        .order_by(FreeHolderRow.started_at, FreeHolderRow.id)
        .limit(1)
    )
    return (await uow.connection.execute(known)).scalar_one_or_none()


async def lock_network(uow: UnitOfWork, network: str) -> None:
    """Makes first starts from one network wait for each other until the transaction ends."""
    key = func.hashtextextended(f"free quota starts from {network}", 0)
    await uow.connection.execute(select(func.pg_advisory_xact_lock(key)))


async def count_starts(uow: UnitOfWork, network: str, *, since: datetime) -> int:
    """How many people have begun from this network after this moment."""
    query = select(func.count()).where(FreeHolderRow.network == network, FreeHolderRow.started_at > since)
    return (await uow.connection.execute(query)).scalar_one()


async def insert_holder(
    uow: UnitOfWork, holder_id: str, *, identity: bytes, network: str | None, account_id: AccountId, at: datetime
) -> None:
    """Writes that somebody begins; does nothing if the same person has just done so, after waiting for the commit."""
    begun = insert_or_skip(FreeHolderRow).values(
        id=holder_id, identity=identity, network=network, first_account_id=account_id, started_at=at
    )
    await uow.connection.execute(begun.on_conflict_do_nothing(index_elements=[FreeHolderRow.identity]))


async def insert_refused_start(uow: UnitOfWork, refused: RefusedStart, at: datetime) -> None:
    """Counts the refusal: one row for an account, a network and a day, however often it knocks."""
    row = insert_or_skip(FreeRefusedStartRow).values(
        account_id=refused.account_id,
        network=refused.network,
        refused_on=at.date(),
        attempts=1,
        first_refused_at=at,
        last_refused_at=at,
    )
    await uow.connection.execute(
        row.on_conflict_do_update(
            constraint="pk_free_quota_refused_starts",
            set_={
                "attempts": FreeRefusedStartRow.attempts + 1,
                "last_refused_at": func.greatest(FreeRefusedStartRow.last_refused_at, at),
            },
        ),
    )


async def starts_report(uow: UnitOfWork, *, since: datetime) -> StartsReport:
    """What happened after this moment: the 200 busiest networks and the 200 latest refusals."""
    networks = await uow.connection.execute(_STARTS, {"since": since, "limit": _REPORTED_MAX})
    refusals = await uow.connection.execute(
        select(FreeRefusedStartRow)
        .where(FreeRefusedStartRow.last_refused_at > since)
        .order_by(FreeRefusedStartRow.last_refused_at.desc(), FreeRefusedStartRow.account_id)
        .limit(_REPORTED_MAX),
    )
    return StartsReport(
        since=since,
        networks=tuple(
            NetworkStarts(row.network, int(row.starts), int(row.refused), int(row.attempts), row.last_at)
            for row in networks
        ),
        refusals=tuple(
            RefusedStarts(
                RefusedStart(AccountId(row.account_id), row.network),
                row.attempts,
                row.first_refused_at,
                row.last_refused_at,
            )
            for row in refusals
        ),
    )


async def forget_networks(uow: UnitOfWork, *, before: datetime, limit: int) -> int:
    """Removes the network of some starts, and some refusals, that are older; says how many rows changed."""
    starts = (
        select(FreeHolderRow.id)
        .where(FreeHolderRow.started_at < before, FreeHolderRow.network.is_not(None))
        .order_by(FreeHolderRow.started_at)
        .limit(limit)
    )
    changed = await uow.connection.execute(
        update(FreeHolderRow).where(FreeHolderRow.id.in_(starts)).values(network=None),
    )
    removed = await uow.connection.execute(
        text(
            "DELETE FROM free_quota_refused_starts WHERE ctid IN (SELECT ctid FROM free_quota_refused_starts"
            " WHERE refused_on < :day ORDER BY refused_on LIMIT :limit)",
        ),
        {"day": before.date(), "limit": limit},
    )
    return changed.rowcount + removed.rowcount


async def last_cycle(uow: UnitOfWork, holder_id: str) -> Cycle | None:
    """The holder's newest cycle, whether it runs or is over."""
    newest = (
        select(FreeCycleRow).where(FreeCycleRow.holder_id == holder_id).order_by(FreeCycleRow.number.desc()).limit(1)
    )
    row = (await uow.connection.execute(newest)).one_or_none()
    if row is None:
        return None
    return Cycle(row.number, row.starts_at, used=_amounts(row, "used"), reserved=_amounts(row, "reserved"))


async def expire_due(uow: UnitOfWork, now: datetime, limit: int) -> int:
    """Gives back what due reservations set aside; says how many there were."""
    return int((await uow.connection.execute(_EXPIRE, {"now": now, "limit": limit})).scalar_one())


def _amounts(row: Row[Any], kind: str) -> Amounts:
    return Amounts(*(getattr(row, f"{metric}_{kind}") for metric in Metric))
