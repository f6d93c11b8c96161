"""A client's Idempotency-Key: the second time answers like the first, within one owner."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import DateTime, Text, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table
from billing.kit.errors import IdempotencyKeyReused, InvalidInput
from billing.kit.unit_of_work import UnitOfWork

_KEY_LENGTH_MAX = 200


class IdempotencyKeyRow(Table):
    """What a key of one owner stands for: the request's digest and the id of what it made."""

    __tablename__ = "idempotency_keys"

    owner_id: Mapped[str] = mapped_column(Text, primary_key=True)
    operation: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_digest: Mapped[str] = mapped_column(Text)
    result_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def digest_of(request: Mapping[str, str]) -> str:
    """A digest that is equal exactly when the two requests say the same."""
    return hashlib.sha256(json.dumps(dict(request), sort_keys=True).encode()).hexdigest()


async def claim(
    uow: UnitOfWork,
    *,
    owner_id: str,
    operation: str,
    key: str,
    request_digest: str,
    result_id: str,
    at: datetime,
) -> str:
    """Binds the key to this request and this result, or tells what it is bound to already.

    Answers the id of the result that counts: `result_id` the first time, the first call's afterwards. Two owners may
    use the same key for different things. A concurrent claim waits for the other transaction to end.

    Raises:
        InvalidInput: the key is longer than 200 characters or not printable ASCII.
        IdempotencyKeyReused: the key came before with a different request.
    """
    if not (1 <= len(key) <= _KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
        raise InvalidInput("Idempotency-Key", "An Idempotency-Key has 1 to 200 printable ASCII characters.")
    claimed = await uow.connection.scalar(
        insert(IdempotencyKeyRow)
        .values(
            owner_id=owner_id,
            operation=operation,
            key=key,
            request_digest=request_digest,
            result_id=result_id,
            created_at=at,
        )
        .on_conflict_do_nothing()
        .returning(IdempotencyKeyRow.result_id),
    )
    if claimed is not None:
        return result_id
    earlier = (
        await uow.connection.execute(
            select(IdempotencyKeyRow.request_digest, IdempotencyKeyRow.result_id).where(
                IdempotencyKeyRow.owner_id == owner_id,
                IdempotencyKeyRow.operation == operation,
                IdempotencyKeyRow.key == key,
            ),
        )
    ).one()
    if earlier.request_digest != request_digest:
        raise IdempotencyKeyReused(key)
    return str(earlier.result_id)
