"""Cursors: pages that stay right while rows are added."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Generic, TypeVar

from billing.kit.errors import InvalidInput

PAGE_SIZE_MAX = 200
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some rows, and the cursor of the next page, or None at the end."""

    rows: tuple[R, ...]
    next_cursor: str | None


def encode_cursor(position: str) -> str:
    """An opaque cursor that says: after this sortable position."""
    return base64.urlsafe_b64encode(json.dumps([position]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """The position in the cursor; None begins at the start.

    Raises:
        InvalidInput: it is not a cursor that we gave out.
    """
    if cursor is None:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("cursor", "This is not a cursor of ours.") from error
    if not (isinstance(decoded, list) and len(decoded) == 1 and isinstance(decoded[0], str)):
        raise InvalidInput("cursor", "This is not a cursor of ours.")
    return decoded[0]
