"""What every backend test stands on: a real PostgreSQL, one database per worker, a clock that tests can move."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import structlog
import uvloop
from filelock import FileLock
from hypothesis import settings
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.customers import CHEAP_HASHER, Town, customers_service
from backend.tests.builders.gateway import Gate, Provider, open_gate, routes_to
from backend.tests.builders.payments import Till, open_till
from backend.tests.builders.wallets import Wallets
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from backend.tests.fakes.clock import StoppedClock
from billing import migrations
from billing.commands import running
from billing.kit.database import application_engine, parse_database_url
from billing.kit.embedded_postgres import EmbeddedPostgres
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.logs import configure_logs
from billing.kit.unit_of_work import Begin, snapshots, units_of_work
from billing.ledger.invariants import LedgerVerifier
from billing.payments.invariants import PaymentVerifier
from billing.quotas.invariants import QuotaVerifier
from billing.wallets.invariants import WalletVerifier
from billing.wiring.verification import Verification
from testkit.loopback import NO_TLS
from testkit.simulators.model import create_model
from testkit.simulators.server import running as running_server

TEMPLATE = "template_billing"

# How hard hypothesis tries, for every property in this suite. `--hypothesis-profile heavy` is for a release candidate,
# `thorough` for a quiet hour; what stateful tests do under each stands in `properties/ground.py`.
settings.register_profile("quick", max_examples=60, stateful_step_count=20, derandomize=True, deadline=None)
settings.register_profile("heavy", max_examples=300, stateful_step_count=50, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=2000, stateful_step_count=60, deadline=None)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def _logs_as_they_are_for_every_test() -> Iterator[None]:
    """Lines of every level go to standard error and can be captured; no command that runs in a test's process changes
    that for later tests.
    """
    configure = structlog.configure

    def without_cache(**configuration: Any) -> None:
        configure(**{**configuration, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        configure_logs("DEBUG")
        patch.setattr(running, "configure_logs", lambda _level: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_cheap() -> Iterator[None]:
    """A thousand accounts are opened and signed in to; at full strength their passwords take a minute of two cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("billing.wiring.services.PasswordHasher", lambda: CHEAP_HASHER)
        yield


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """A folder that all xdist workers of this run share, and nobody else."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"pid{os.getpid()}")
    suite = os.environ.get("CONFIDENCE_TMP_DIR", tempfile.gettempdir())
    folder = Path(suite) / f"billing-tests-{run[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def postgres(run_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The run's server, with a migrated template database from which each worker clones its own."""
    with FileLock(run_folder / "lock"):
        server = EmbeddedPostgres.start(run_folder / "data")
        if not (run_folder / "template_is_ready").exists():
            _make_template(server)
            (run_folder / "template_is_ready").touch()
    with server:
        yield server
    if not (run_folder / "data" / "postmaster.pid").exists():  # the last worker to leave tidies up
        shutil.rmtree(run_folder, ignore_errors=True)


@pytest.fixture(scope="session")
def database_url(postgres: EmbeddedPostgres, run_folder: Path) -> URL:
    """This worker's own database, as its owner."""
    name = f"worker_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with FileLock(run_folder / "lock"), psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}".encode())
    return parse_database_url(postgres.url(name))


@pytest.fixture
def new_database(postgres: EmbeddedPostgres, run_folder: Path) -> Iterator[Callable[[str], URL]]:
    """Makes databases that one test has for itself, from TEMPLATE or from "template0", and drops them after it."""
    made: list[str] = []

    def make(template: str) -> URL:
        name = f"own_{secrets.token_hex(6)}"
        with FileLock(run_folder / "lock"), psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        made.append(name)
        return parse_database_url(postgres.url(name))

    yield make
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def own_database(new_database: Callable[[str], URL]) -> URL:
    """A migrated database that this test has for itself: nobody else's jobs, nobody else's money."""
    return new_database(TEMPLATE)


@pytest.fixture(scope="session")
async def engine(database_url: URL) -> AsyncIterator[AsyncEngine]:
    """The application's own engine: its role cannot rewrite the ledger."""
    engine = application_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
def begin(engine: AsyncEngine) -> Begin:
    """Opens a unit of work that really commits."""
    return units_of_work(engine)


@pytest.fixture(scope="session")
def snapshot(engine: AsyncEngine) -> Begin:
    """Opens a consistent, read-only view."""
    return snapshots(engine)


@pytest.fixture
def clock() -> StoppedClock:
    """Stands at noon of a Monday until the test moves it."""
    return StoppedClock()


@pytest.fixture(scope="session")
def seed() -> random.Random:
    """Seeded chance, different in each worker so that ids of one database never meet."""
    return random.Random(os.environ.get("PYTEST_XDIST_WORKER", "main"))  # noqa: S311 - tests want repeatable chance


@pytest.fixture
def ids(clock: StoppedClock, seed: random.Random) -> Ids:
    """Repeatable ids."""
    return Ids(clock, seed.randbytes)


@pytest.fixture(scope="session")
def job_queue(database_url: URL) -> JobQueue:
    """The real queue, in this worker's database; nobody works on it unless a test does."""
    return JobQueue(database_url)


@pytest.fixture
def wallets(begin: Begin, clock: StoppedClock, ids: Ids) -> Wallets:
    """The real wallet service over the real database."""
    return build_wallets(begin, clock, ids)


@pytest.fixture(scope="session")
def provider_url() -> Iterator[str]:
    """A simulated model provider on loopback, for all tests of this worker."""
    with running_server(create_model()) as server:
        yield server.url


@pytest.fixture
async def provider(provider_url: str) -> AsyncIterator[Provider]:
    """The model provider, with no fault planned and no call made."""
    async with httpx.AsyncClient(verify=NO_TLS, base_url=provider_url) as client:
        provider = Provider(provider_url, client)
        await provider.start_over()
        yield provider


@pytest.fixture
async def gate(
    begin: Begin, wallets: Wallets, clock: StoppedClock, ids: Ids, provider: Provider
) -> AsyncIterator[Gate]:
    """The gateway, in front of the simulated provider."""
    town = Town(customers_service(begin, clock, ids), begin)
    async with open_gate(begin=begin, wallets=wallets, town=town, routes=routes_to(provider.url)) as gate:
        yield gate


@pytest.fixture
async def ledger_is_whole(request: pytest.FixtureRequest, snapshot: Begin) -> AsyncIterator[None]:
    """After the test, the checker reads the worker's whole database and must find no drift."""
    yield
    await _verify(request, snapshot)


@pytest.fixture
async def own_ledger_is_whole(request: pytest.FixtureRequest, own_database: URL) -> AsyncIterator[None]:
    """The same where the test moved its money in a database of its own."""
    yield
    engine = application_engine(own_database, connections_max=1)
    try:
        await _verify(request, snapshots(engine))
    finally:
        await engine.dispose()


async def _verify(request: pytest.FixtureRequest, snapshot: Begin) -> None:
    verifiers = (LedgerVerifier(), WalletVerifier(StoppedClock()), QuotaVerifier(), PaymentVerifier())
    drifts = await Verification(snapshot, verifiers).drifts()
    request.node.user_properties.append(("ledger_verified", not drifts))
    assert not drifts, f"the ledger drifts: {drifts}"


def pytest_configure() -> None:
    """Tests run in the loop that the product's commands run in.

    Not by pytest-asyncio's hook for it: it sets that loop up for coroutines alone, and tears down meanwhile what plain
    functions have.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test marked `money` ends with the ledger checker, after all else that the test has set up is gone.

    A `usefixtures` mark that is added here comes too late: pytest has looked for those when it made the item.
    """
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("money"):
            uses_own_database = "own_database" in item.fixturenames
            item.fixturenames.insert(0, "own_ledger_is_whole" if uses_own_database else "ledger_is_whole")


def pytest_collection_finish() -> None:
    """What is there now stays to the end: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def _make_template(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        # The machine does not crash in a test, only our processes do; those need no fsync.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
    migrations.upgrade(parse_database_url(server.url(TEMPLATE)))


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatedYookassa]:
    """The provider."""
    async with simulated_yookassa() as simulator:
        yield simulator


@pytest.fixture
async def till(
    simulator: SimulatedYookassa, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
) -> AsyncIterator[Till]:
    """Where money comes in."""
    async with open_till(simulator, begin, clock, ids, job_queue) as till:
        yield till
