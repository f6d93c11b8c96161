"""Child processes that are killed where a test wants: they say on a pipe where they are, or count their steps."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy.engine import URL

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NEVER = -1

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


@dataclass(frozen=True)
class Forker:
    """A process that forks a child for each order and says what became of it (`backend.tests.crash.boundaries`)."""

    orders: IO[str]
    answers: IO[str]

    def lives(self, script: str, names: DataclassInstance, **more: object) -> int:
        """Has a child do all of the script; how many steps that took."""
        self.send(script, names, at=NEVER, is_after=False, **more)
        answer = self.answer()
        assert answer["is_well"], script
        return int(answer["steps"])

    def dies(self, script: str, names: DataclassInstance, *, at: int, is_after: bool, **more: object) -> None:
        """Has a child do the script until it is killed, before or after this step."""
        self.send(script, names, at=at, is_after=is_after, **more)
        assert self.answer()["is_killed"], (script, at, is_after)

    def send(self, script: str, names: DataclassInstance, **more: object) -> None:
        """Gives an order."""
        self.orders.write(json.dumps({"script": script, "names": asdict(names), **more}) + "\n")
        self.orders.flush()

    def answer(self) -> dict[str, Any]:
        """What became of the child of the oldest order that has not been answered; waits for its end."""
        answer: dict[str, Any] = json.loads(self.answers.readline())
        return answer


@contextlib.contextmanager
def forker(module: str, *words: str | URL) -> Iterator[Forker]:
    """Starts the process that forks; it ends when this is left."""
    texts = [word.render_as_string(hide_password=False) if isinstance(word, URL) else word for word in words]
    with subprocess.Popen(
        [sys.executable, "-m", module, *texts], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Forker(process.stdin, process.stdout)
        process.stdin.close()


def deaths(steps: int) -> Iterator[tuple[int, bool]]:
    """Every boundary: before and after each step."""
    return ((at, is_after) for at in range(steps) for is_after in (False, True))
