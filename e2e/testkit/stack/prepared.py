"""A database with schema and seeds, made once per version of the product and copied for every stack.

Making it takes four times as long as everything else in a stack's start. A copy is as good as a new one: it is named
after all that goes into it (the product's files, its environment's packages, the number of customers), so that a
changed product never meets an old database, and it is made by the product's own commands. It is only a cache: whoever
removes it waits a few seconds longer, once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from testkit.stack import product
from testkit.stack.database import Database

_KEPT_MAX = 4


def prepared_data(*, customers: int) -> Path:
    """The data folder to copy: no server runs on it. Several processes may ask at once; one of them makes it.

    Raises:
        CommandFailedError: the product could not make its schema or its seeds.
    """
    shelf = Path(tempfile.gettempdir()) / f"testkit-prepared-{os.getuid()}"
    shelf.mkdir(exist_ok=True)
    place = shelf / _digest(customers)
    with _locked(shelf / "lock"):
        if not (place / "data").exists():
            _make(place, customers)
            _keep_the_newest(shelf)
        os.utime(place)
    return place / "data"


def _make(place: Path, customers: int) -> None:
    """A folder that is only half made never stands at its place."""
    making = Path(tempfile.mkdtemp(prefix="making-", dir=place.parent))
    try:
        database = Database(
            making / "server",
            environment=product.unmeasured_environment(),
            log=making / "postgres.log",
            keep_as=making / "data",
        )
        try:
            (making / "routes.toml").touch()
            environment = product.Surroundings(
                database_url=database.url(),
                provider_url="http://127.0.0.1",
                clock_file=making / "clock",
                routes_file=making / "routes.toml",
                settings={},
            ).environment("http://127.0.0.1")
            product.run_or_fail("migrate", environment=environment)
            product.run_or_fail("seed", "--customers", str(customers), environment=environment)
        finally:
            database.stop()
        making.rename(place)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _digest(customers: int) -> str:
    """All that decides what the database will hold."""
    product = importlib.util.find_spec("billing")
    assert product is not None, "the product is installed beside the testkit"
    folders = product.submodule_search_locations or []
    digest = hashlib.sha256(f"{customers}\0{sys.version}\0{sys.prefix}".encode())
    for name in sorted(f"{package.name}={package.version}" for package in importlib.metadata.distributions()):
        digest.update(name.encode())
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:20]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep_the_newest(shelf: Path) -> None:
    """A copy that is under way is among the newest: its place was looked at a moment ago."""
    places = sorted((path for path in shelf.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in places[:-_KEPT_MAX]:
        shutil.rmtree(old, ignore_errors=True)
