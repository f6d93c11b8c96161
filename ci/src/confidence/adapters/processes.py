"""Starts suites as processes of the operating system and finds again whatever they started.

A suite's command leads a session of its own. Whoever belongs to it is found in three ways, because each alone is easily
left by accident: the session, the descent from the command, and the marker in the environment, which also a daemon that
made a session of its own and lost its parent still carries.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from confidence.model.endings import LeakedProcess

_STACKS_SECONDS = 2.0
_LOOK_SECONDS = 0.05


class MachineLauncher:
    """Starts commands on this machine."""

    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        marker: Mapping[str, str],
    ) -> "MachineProcess":
        """Start a command in a session of its own, its output going to the log.

        Raises:
            OSError: it cannot be started.
        """
        with log.open("ab") as output:
            leader = subprocess.Popen(
                list(command),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return MachineProcess(leader, marker, Path(environment["CONFIDENCE_STACKS_DIR"]))


class MachineProcess:
    """A started command with everything that belongs to it."""

    def __init__(self, leader: subprocess.Popen[bytes], marker: Mapping[str, str], stacks: Path) -> None:
        self._leader = leader
        self._marker = dict(marker)
        self._stacks = stacks
        self._noted: dict[int, psutil.Process] = {}

    def exit_status(self) -> int | None:
        """The command's exit status, negative for a signal, or nothing while it runs."""
        return self._leader.poll()

    def note_members(self) -> None:
        """Remember the descendants of now."""
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self._leader.pid).children(recursive=True):
                self._noted.setdefault(process.pid, process)

    def members(self) -> Sequence[LeakedProcess]:
        """The processes of the suite that are alive now, the command first."""
        return [_described(process) for process in self._alive()]

    def dump_stacks(self, path: Path) -> bool:
        """Ask every process that can for its stacks, and gather them in one file."""
        able = [process for process in self._alive() if self._stacks_of(process.pid).exists()]
        before = {process.pid: self._size(process.pid) for process in able}
        for process in able:
            self._send(process, signal.SIGUSR1)
        deadline = time.monotonic() + _STACKS_SECONDS
        while any(self._size(pid) == size for pid, size in before.items()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)  # bounded: a process in an uninterruptible call never answers
        answers = [_stacks_section(process, self._stacks_of(process.pid)) for process in able]
        path.write_text("\n".join(answers), encoding="utf-8")
        return any(self._size(pid) > size for pid, size in before.items())

    def terminate(self) -> None:
        """Ask every member to end."""
        for process in self._alive():
            self._send(process, signal.SIGTERM)

    def kill(self) -> None:
        """End every member at once."""
        for process in self._alive():
            self._send(process, signal.SIGKILL)

    def _alive(self) -> list[psutil.Process]:
        self._leader.poll()  # takes the leader's body away, else it would count as alive
        self.note_members()
        for process in psutil.process_iter():
            if process.pid not in self._noted and self._belongs(process):
                self._noted[process.pid] = process
        return [process for process in sorted(self._noted.values(), key=self._order) if _is_alive(process)]

    def _belongs(self, process: psutil.Process) -> bool:
        try:
            if os.getsid(process.pid) == self._leader.pid:
                return True
            environment = process.environ()
        except (OSError, psutil.Error):
            return False
        return all(environment.get(name) == value for name, value in self._marker.items())

    def _order(self, process: psutil.Process) -> tuple[bool, int]:
        return process.pid != self._leader.pid, process.pid

    def _stacks_of(self, pid: int) -> Path:
        return self._stacks / f"{pid}.txt"

    def _size(self, pid: int) -> int:
        with contextlib.suppress(OSError):
            return self._stacks_of(pid).stat().st_size
        return 0

    def _send(self, process: psutil.Process, number: signal.Signals) -> None:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _described(process: psutil.Process) -> LeakedProcess:
    command = ""
    ports: tuple[int, ...] = ()
    with contextlib.suppress(psutil.Error):
        command = " ".join(process.cmdline()) or process.name()
        ports = tuple(sorted(set(_listening_ports(process))))
    return LeakedProcess(process.pid, command, ports)


def _listening_ports(process: psutil.Process) -> Iterator[int]:
    for connection in process.net_connections(kind="inet"):
        if connection.status == psutil.CONN_LISTEN:
            yield connection.laddr.port


def _stacks_section(process: psutil.Process, path: Path) -> str:
    heading = f"process {process.pid}: {_described(process).command}"
    try:
        return f"{heading}\n{path.read_text(encoding='utf-8', errors='replace') or 'no answer'}"
    except OSError as unreadable:
        return f"{heading}\nno answer ({unreadable.strerror})"
