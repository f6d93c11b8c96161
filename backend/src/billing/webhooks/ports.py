"""To whom stored notifications are handed over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """What became of a notification."""

    DONE = "done"
    IGNORED = "ignored"
    """Of a kind that nobody here has a use for."""
    QUARANTINED = "quarantined"
    """It led to something that contradicts our records; a person has to look at it."""
    LATER = "later"
    """It cannot be decided yet: what it speaks of is not known, or cannot be asked about now."""


@dataclass(frozen=True, slots=True)
class Handling:
    """The verdict, and a short reason in our own words for whoever reads the inbox."""

    verdict: Verdict
    reason: str | None = None


class NotificationHandler(Protocol):
    """Understands one provider's notifications. Handling the same one again must change nothing more."""

    async def handle(self, body: str) -> Handling:
        """Acts on a notification; its body (valid JSON, an object) is a hint about what to ask, never a fact."""
        ...
