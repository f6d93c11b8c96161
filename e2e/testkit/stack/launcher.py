"""Starts the processes of one stack and stops them again, all of them, in any state."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from testkit.loopback import LOOPBACK, listening
from testkit.stack import product
from testkit.stack.database import Database
from testkit.stack.processes import Process

_GRACE_SECONDS = 5.0


class Launcher:
    """Every process of a stack goes through here, so that none is forgotten."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self.logs = logs
        self.processes: list[Process] = []
        self._database: Database | None = None
        self._listeners: list[socket.socket] = []

    def listen(self, port: int) -> socket.socket:
        """A socket that listens on this port, or on a free one where it is taken or zero."""
        listener = _listener_on(port)
        self._listeners.append(listener)
        return listener

    def database(self, prepared: Path) -> Database:
        """The stack's PostgreSQL, on its way, with a copy of the prepared data; in the end it removes the folder."""
        self._database = Database(
            self.folder,
            environment=product.unmeasured_environment(),
            log=self.logs / "postgres.log",
            prepared=prepared,
        )
        return self._database

    def testkit(self, name: str, *words: str) -> Process:
        """A process of the testkit, which says when it is ready."""
        command = [sys.executable, "-m", "testkit.cli", *words]
        log = self.logs / f"{name}.log"
        process = Process(name, command, environment=product.unmeasured_environment(), log=log, speaks=True)
        return self._remember(process)

    def server(self, name: str, listener: socket.socket, environment: Mapping[str, str]) -> Process:
        """`billing serve` on a socket that listens already; the socket is given away."""
        with contextlib.closing(listener):
            listener.set_inheritable(True)
            descriptor = listener.fileno()
            command = product.command("serve", "--fd", str(descriptor))
            log = self.logs / f"{name}.log"
            process = Process(name, command, environment=environment, log=log, inherited=(descriptor,))
        return self._remember(process)

    def worker(self, environment: Mapping[str, str]) -> Process:
        """`billing worker`."""
        command = product.command("worker")
        return self._remember(Process("worker", command, environment=environment, log=self.logs / "worker.log"))

    def kill(self, process: Process) -> None:
        """Ends a process with SIGKILL, as a crash does; from now on nobody expects it to live."""
        process.kill()
        self.processes.remove(process)

    def stop_all(self) -> None:
        """Asks every process to end at the same time, kills those that do not, and stops the database last."""
        for listener in self._listeners:
            listener.close()
        for process in self.processes:
            process.ask_to_end()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in self.processes:
            process.wait_or_kill(grace_seconds=deadline - time.monotonic())
        if self._database is not None:
            self._database.stop()

    def _remember(self, process: Process) -> Process:
        self.processes.append(process)
        return process


def free_port_like(port: int) -> int:
    """This port, or zero (any free one) where it is taken."""
    with contextlib.closing(_listener_on(port)) as listener:
        return port if listener.getsockname()[1] == port else 0


def url_of(listener: socket.socket) -> str:
    """Scheme, host and port of a listening socket."""
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"


def _listener_on(port: int) -> socket.socket:
    try:
        return listening(port, backlog=512)
    except OSError:
        return listening(backlog=512)
