"""Waiting for what another process will have done soon, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.05


def until(wanted: object, look: Callable[[], T], *, within_seconds: float = 15.0) -> T:
    """Looks again and again until it sees what is wanted; answers what it saw last, wanted or not."""
    deadline = time.monotonic() + within_seconds
    seen = look()
    while seen != wanted and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)  # bounded by the deadline
        seen = look()
    return seen
