"""Passwords kept by argon2id, in threads, so that the event loop serves others meanwhile.

Source: RFC 9106, second recommended option (the library's defaults): 64 MiB, 3 passes, 4 lanes.
"""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

# Each hash takes 64 MiB and a core while it runs: a crowd waits in line instead of taking the machine.
_AT_ONCE_MAX = 4


class Argon2Passwords:
    """Hashes and checks passwords; at most four at once in one process."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._threads = ThreadPoolExecutor(_AT_ONCE_MAX, thread_name_prefix="argon2")
        # Nobody's password: what an unknown e-mail is checked against. Same parameters, same time.
        self._of_nobody = hasher.hash(secrets.token_urlsafe())

    async def hashed(self, password: str) -> str:
        """The password's salted argon2id hash, with its parameters."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def is_right(self, password: str, stored: str | None) -> bool:
        """Whether the password belongs to the hash; checks against nobody's where there is none.

        A stored hash that is none of argon2 is a bug, and raises.
        """
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(self._threads, self._matches, password, stored or self._of_nobody)
        return matches and stored is not None

    def _matches(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False
