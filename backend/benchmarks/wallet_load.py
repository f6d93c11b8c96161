"""Wallets to try the service layer on: a server of their own, the same rows for everybody, and clients that hold and
settle from one process or several.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psycopg
import uvloop
from sqlalchemy.engine import URL

from billing import migrations
from billing.kit.clock import SystemClock
from billing.kit.database import APPLICATION_ROLE, application_engine, libpq_text, parse_database_url
from billing.kit.embedded_postgres import EmbeddedPostgres
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.turns import Turns
from billing.kit.unit_of_work import units_of_work
from billing.ledger.service import LedgerService
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import WalletService
from billing.wallets.settings import WalletSettings

WALLETS = 1000
CLIENTS = 8
ROUND_SECONDS = 5
_WARM_SECONDS = 1  # before it counts, each client connects and prepares its statements
_SCRIPT = Path(__file__).with_name("hold_settle.sql")
_TPS = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
_RUB = Currency("RUB")
_AT_MOST = Money(10_000, _RUB)
_ACTUAL = Money(4_000, _RUB)

# The same start for everybody: a thousand wallets, each with one lot and the entries that explain it.
_PREPARE = f"""
INSERT INTO accounts (id, kind, name, time_zone, created_at)
SELECT 'acc_bench_' || n, 'personal', 'bench', 'UTC', now() FROM generate_series(1, {WALLETS}) AS n;
INSERT INTO wallets (id, account_id, currency, paid_micros, entry_sequence, created_at)
SELECT 'wal_bench_' || n, 'acc_bench_' || n, 'RUB', 1000000000000, 1, now() FROM generate_series(1, {WALLETS}) AS n;
INSERT INTO credit_lots (id, wallet_id, source, is_granted, amount_micros, left_micros, origin, created_at)
SELECT 'lot_bench_' || n, 'wal_bench_' || n, 'topup', false, 1000000000000, 1000000000000, 'bench', now()
FROM generate_series(1, {WALLETS}) AS n;
INSERT INTO ledger_transfers (id, kind, occurred_at, reference, details)
SELECT 'trf_bench_' || n, 'credit', now(), 'bench', '{{}}' FROM generate_series(1, {WALLETS}) AS n;
INSERT INTO ledger_entries
    (transfer_id, position, account, wallet_id, amount_micros, currency, balance_after_micros, sequence)
SELECT 'trf_bench_' || n, 0, 'wallet.paid', 'wal_bench_' || n, 1000000000000, 'RUB', 1000000000000, 1
FROM generate_series(1, {WALLETS}) AS n
UNION ALL
SELECT 'trf_bench_' || n, 1, 'provider:yookassa', NULL, -1000000000000, 'RUB', NULL, NULL
FROM generate_series(1, {WALLETS}) AS n;
"""  # noqa: S608 - the only thing filled in is a constant of this file


@contextmanager
def server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of its own, empty, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bc-bench-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user where we are root
        with EmbeddedPostgres.start(Path(folder) / "data") as started:
            yield started


def prepared(started: EmbeddedPostgres, name: str) -> URL:
    """A new database with the thousand wallets in it."""
    with psycopg.connect(started.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = parse_database_url(started.url(name))
    migrations.upgrade(url)
    with psycopg.connect(libpq_text(url), autocommit=True) as connection:
        connection.execute(_PREPARE.encode())
        connection.execute("VACUUM ANALYZE")
    return url


def our_round(url: URL, *, processes: int, wallets: int = WALLETS) -> float:
    """Pairs of hold and settle per second through the service layer, over so many wallets, from so many processes."""
    context = multiprocessing.get_context("spawn")
    all_warm = context.Barrier(processes)
    answers: SimpleQueue[int] = context.SimpleQueue()
    arguments = (libpq_text(url), all_warm, answers, CLIENTS // processes, wallets)
    started = [context.Process(target=_count_pairs, args=arguments) for _ in range(processes)]
    for process in started:
        process.start()
    counts = [answers.get() for _ in started]
    for process in started:
        process.join()
    return sum(counts) / ROUND_SECONDS


def pgbench_round(started: EmbeddedPostgres, url: URL, *, wallets: int = WALLETS) -> float:
    """The same rows per second as `pgbench` writes them, with as many clients."""
    command = [
        str(started.bin_folder() / "pgbench"),
        "-n",
        "-M",
        "prepared",
        "-f",
        str(_SCRIPT),
        "-D",
        f"wallets={wallets}",
    ]
    load = ["-c", str(CLIENTS), "-j", "2", "-T", str(ROUND_SECONDS), libpq_text(url)]
    environment = {**os.environ, "PGOPTIONS": f"-c role={APPLICATION_ROLE}"}
    done = subprocess.run([*command, *load], check=True, capture_output=True, text=True, env=environment)
    found = _TPS.search(done.stdout)
    assert found is not None, f"pgbench said no rate: {done.stdout}"
    return float(found[1])


def _count_pairs(url: str, all_warm: Barrier, answers: SimpleQueue[int], clients: int, wallets: int) -> None:
    """One process's share of a round, on the event loop that the product is served with."""
    answers.put(uvloop.run(_pairs(parse_database_url(url), all_warm, clients, wallets)))


async def _pairs(url: URL, all_warm: Barrier, clients: int, wallets: int) -> int:
    """How many pairs these clients finish in a round's seconds, once every process has connected and prepared."""
    engine = application_engine(url, connections_max=clients)
    begin, turns = units_of_work(engine), Turns()
    clock = SystemClock()
    ids = Ids(clock)
    service = WalletService(begin=begin, clock=clock, ids=ids, ledger=LedgerService(), settings=WalletSettings())

    async def client(seconds: float) -> int:
        pairs = 0
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            wallet_id = WalletId(f"wal_bench_{secrets.randbelow(wallets) + 1}")
            operation_id = OperationId(ids.new("opr"))
            # Turns, and writes that wait for the commit, as in the gateway.
            async with turns.at(wallet_id), begin() as uow:
                uow.writes_may_wait = True
                await service.hold(uow, wallet_id, _AT_MOST, operation_id)
            async with turns.at(wallet_id), begin() as uow:
                uow.writes_may_wait = True
                await service.settle(uow, wallet_id, operation_id, _ACTUAL)
            pairs += 1
        return pairs

    await asyncio.gather(*(client(_WARM_SECONDS) for _ in range(clients)))
    await asyncio.to_thread(all_warm.wait)
    counts = await asyncio.gather(*(client(ROUND_SECONDS) for _ in range(clients)))
    await engine.dispose()
    return sum(counts)
