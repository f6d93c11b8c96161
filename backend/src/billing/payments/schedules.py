"""When the provider is asked about what has not ended, and when nobody can expect an answer any more. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

CHECKS_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=12),
    *(timedelta(days=days) for days in range(1, 8)),
)
"""How long after its beginning a payment or a refund is asked about, if nothing else has ended it by then."""

WAITS_AT_LEAST = timedelta(seconds=30)
WAITS_AT_MOST = timedelta(minutes=15)


def next_check_at(begun_at: datetime, *, now: datetime) -> datetime | None:
    """The first moment of the schedule that is still to come; None when the last one has passed.

    It depends on nothing but the two moments: checks that were missed while no worker ran are made good by one.
    """
    return next((begun_at + after for after in CHECKS_AFTER if begun_at + after > now), None)


def after_no_answer(now: datetime, *, retry_after_seconds: int | None) -> datetime:
    """When to ask again a provider that could not be asked; such an attempt is none of the schedule's checks.

    The provider's own wish counts, within half a minute and a quarter of an hour.
    """
    wish = timedelta(seconds=retry_after_seconds or 0)
    return now + min(max(wish, WAITS_AT_LEAST), WAITS_AT_MOST)
