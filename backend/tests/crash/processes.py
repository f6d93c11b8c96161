"""Child processes that say on a pipe where they stand, so that a test can kill them exactly there."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

_ROOT = Path(__file__).parents[3]
_WAIT_SECONDS_MAX = 20.0


@dataclass(frozen=True)
class Process:
    """A child of `backend.tests.crash.children`."""

    child: asyncio.subprocess.Process

    async def says(self) -> str:
        """The next line that the child writes; an empty one when it has ended without a word."""
        assert self.child.stdout is not None
        line = await asyncio.wait_for(self.child.stdout.readline(), _WAIT_SECONDS_MAX)
        return line.decode().strip()

    async def kill(self) -> None:
        """Ends the child as a power cut would: no handler runs, nothing is flushed, nothing rolled back by it."""
        if self.child.returncode is None:
            self.child.kill()
        await asyncio.wait_for(self.child.wait(), _WAIT_SECONDS_MAX)


@contextlib.asynccontextmanager
async def started(role: str, *words: str | URL) -> AsyncIterator[Process]:
    """Starts a child in this role; it is killed at the latest when this is left."""
    texts = [word.render_as_string(hide_password=False) if isinstance(word, URL) else word for word in words]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backend.tests.crash.children",
        role,
        *texts,
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    process = Process(child)
    try:
        yield process
    finally:
        await process.kill()
