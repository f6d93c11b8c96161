"""The owner of the schema, who may change what is booked and the tables themselves; no process of the product may."""

from __future__ import annotations

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def owner_engine(url: URL) -> AsyncEngine:
    """An engine of the schema's owner."""
    return create_async_engine(url, pool_size=1, connect_args={"options": "-c timezone=UTC", "connect_timeout": 5})
