"""Ids that say what they name and sort by when they were made."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from billing.kit.clock import Clock

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS = 10
_CHANCE_DIGITS = 16
_CHANCE_BYTES = 10


class Ids:
    """Makes ids such as `wal_01kb0x…`: a prefix, 48 bits of milliseconds, 80 bits of chance (the ULID layout).

    The source of chance can be given, so that tests are repeatable.
    """

    def __init__(self, clock: Clock, chance: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._clock = clock
        self._chance = chance

    def new(self, prefix: str) -> str:
        """A new id with this prefix; ids made later in one process sort later, to the millisecond."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        chance = int.from_bytes(self._chance(_CHANCE_BYTES), "big")
        return f"{prefix}_{_digits(milliseconds, _TIME_DIGITS)}{_digits(chance, _CHANCE_DIGITS)}"


def _digits(number: int, length: int) -> str:
    """The number in Crockford's base 32, padded to the length."""
    return "".join(_CROCKFORD[(number >> (5 * place)) & 31] for place in reversed(range(length)))
