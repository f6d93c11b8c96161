"""The bounds within which streams run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class StreamTerms:
    """How often a stream is made durable, and how long and how far it goes on without somebody.

    `lease` is how long its checkpoint is left alone without a sign of its process; `retry_seconds` is the wait between
    two tries to book a stream that could not be booked at once.
    """

    lease: timedelta
    checkpoint_every: timedelta
    checkpoint_tokens: int
    drain_seconds: float
    drain_bytes: int
    client_patience_seconds: float
    buffer_bytes: int
    shutdown_seconds: float
    retry_seconds: float = 1.0
