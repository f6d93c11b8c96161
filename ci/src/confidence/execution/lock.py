"""One run at a time in one tree: two would take each other's cores, ports and verdict."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confidence.ports import Clock

_LOOK_SECONDS = 0.2


class TreeIsBusyError(Exception):
    """Another run is at work in this tree."""


@contextmanager
def only_run(artifacts: Path, clock: Clock, *, wait_seconds: float) -> Iterator[None]:
    """Hold the tree until the block is left; the operating system gives it back when the process dies.

    Raises:
        TreeIsBusyError: the other run did not end within the wait.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    deadline = clock.monotonic() + wait_seconds
    # The descriptor is not inherited (Python's default), so that a leaked child of a run does not keep the lock.
    with (artifacts / ".lock").open("a+", encoding="utf-8") as lock:
        while not _taken(lock.fileno()):
            if clock.monotonic() >= deadline:
                lock.seek(0)
                raise TreeIsBusyError(f"another run is at work in this tree ({lock.read().strip() or 'unnamed'})")
            clock.rest(_LOOK_SECONDS)
        lock.truncate(0)
        lock.write(f"process {os.getpid()}\n")
        lock.flush()
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
