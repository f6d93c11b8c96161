"""Processes that end with whoever started them, whatever happens to either."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testkit.stack.errors import NotReadyError, ProcessDiedError

_TAIL_LINES = 25
_LOOK_SECONDS = 0.1


class Process:
    """A process of the stack, its words in a log file.

    The kernel kills it when its owner dies: start it from a thread that lives as long as it shall. It has a process
    group of its own, so that Ctrl-C reaches the owner only, who then stops everything in order.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        inherited: Sequence[int] = (),
        speaks: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self._spoken = b""
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if speaks else output,
                stderr=output if speaks else subprocess.STDOUT,
                pass_fds=tuple(inherited),
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def require_alive(self) -> None:
        """Looks whether it still runs.

        Raises:
            ProcessDiedError: it does not.
        """
        status = self.status
        if status is not None:
            raise ProcessDiedError(self.name, status, self.log_tail())

    def first_words(self, *, within_seconds: float) -> dict[str, Any]:
        """The line of JSON that it says when it is ready.

        Raises:
            ProcessDiedError: it ended instead.
            NotReadyError: it said nothing in time.
        """
        stdout = self._process.stdout
        assert stdout is not None, "only for processes that speak"
        deadline = time.monotonic() + within_seconds
        while b"\n" not in self._spoken:
            readable, _, _ = select.select([stdout], [], [], _LOOK_SECONDS)
            chunk = os.read(stdout.fileno(), 4096) if readable else None
            if chunk == b"":
                self._process.wait()
                self.require_alive()
            self._spoken += chunk or b""
            if time.monotonic() > deadline:
                raise NotReadyError(self.name, within_seconds, "it has not said so", self.log_tail())
        words = json.loads(self._spoken.partition(b"\n")[0])
        assert isinstance(words, dict), "processes of ours speak objects"
        return words

    def ask_to_end(self) -> None:
        """Sends SIGTERM if it is still there. Once is enough: a second one would cut its last words short."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def wait_or_kill(self, *, grace_seconds: float) -> None:
        """Waits for it to end, and kills it when it does not."""
        try:
            self._process.wait(max(grace_seconds, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def kill(self) -> None:
        """Ends it with SIGKILL: it has no last word."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def log_tail(self) -> str:
        """The end of its log, for people."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])
