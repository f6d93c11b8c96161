"""Reads a provider's list object by object, so that one that makes no sense does not hide the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from billing.payments.errors import ProviderListHoles, ProviderMalformed
from billing.payments.rules import parse_provider_id

T = TypeVar("T")

_UNNAMED = "unnamed"


async def readable(bodies: AsyncIterator[Any], read: Callable[[Any], Awaitable[T]]) -> AsyncIterator[T]:
    """Each object that can be understood, in the list's order.

    Raises:
        ProviderListHoles: at the end, if there were others.
        ProviderFailure: the list itself could not be read on.
    """
    holes: list[str] = []
    async for body in bodies:
        try:
            one = await read(body)
        except ProviderMalformed:
            holes.append(_id_of(body))
        else:
            yield one
    if holes:
        raise ProviderListHoles(tuple(dict.fromkeys(holes)))


def _id_of(body: object) -> str:
    try:
        return parse_provider_id(body.get("id") if isinstance(body, Mapping) else None)
    except ProviderMalformed:
        return _UNNAMED
