"""What the capability needs from outside."""

from __future__ import annotations

from typing import Protocol


class Passwords(Protocol):
    """Keeps passwords so that they cannot be read back."""

    async def hashed(self, password: str) -> str:
        """What to store for this password."""
        ...

    async def is_right(self, password: str, stored: str | None) -> bool:
        """Whether the password belongs to what is stored.

        With nothing stored the answer is no, after the same work, so that the time tells nothing.
        """
        ...
