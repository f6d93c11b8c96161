"""Holds and settlements through the service layer, against pgbench writing the same rows."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from backend.benchmarks.measurement import Contender, Measurement, compare
from billing import migrations
from billing.kit.clock import SystemClock
from billing.kit.database import APPLICATION_ROLE, application_engine, parse_database_url
from billing.kit.embedded_postgres import EmbeddedPostgres
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import units_of_work
from billing.ledger.service import LedgerService
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import WalletService
from billing.wallets.settings import WalletSettings

_WALLETS = 1000
_CLIENTS = 8
_ROUND_SECONDS = 5
_SCRIPT = Path(__file__).with_name("hold_settle.sql")
_TPS = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
_RUB = Currency("RUB")
_AT_MOST = Money(10_000, _RUB)
_ACTUAL = Money(4_000, _RUB)

# The same start for both: a thousand wallets, each with one lot and the entries that explain it.
_PREPARE = f"""
INSERT INTO accounts (id, kind, name, time_zone, created_at)
SELECT 'acc_bench_' || n, 'personal', 'bench', 'UTC', now() FROM generate_series(1, {_WALLETS}) AS n;
INSERT INTO wallets (id, account_id, currency, paid_micros, entry_sequence, created_at)
SELECT 'wal_bench_' || n, 'acc_bench_' || n, 'RUB', 1000000000000, 1, now() FROM generate_series(1, {_WALLETS}) AS n;
INSERT INTO credit_lots (id, wallet_id, source, is_granted, amount_micros, left_micros, origin, created_at)
SELECT 'lot_bench_' || n, 'wal_bench_' || n, 'topup', false, 1000000000000, 1000000000000, 'bench', now()
FROM generate_series(1, {_WALLETS}) AS n;
INSERT INTO ledger_transfers (id, kind, occurred_at, reference, details)
SELECT 'trf_bench_' || n, 'credit', now(), 'bench', '{{}}' FROM generate_series(1, {_WALLETS}) AS n;
INSERT INTO ledger_entries
    (transfer_id, position, account, wallet_id, amount_micros, currency, balance_after_micros, sequence)
SELECT 'trf_bench_' || n, 0, 'wallet.paid', 'wal_bench_' || n, 1000000000000, 'RUB', 1000000000000, 1
FROM generate_series(1, {_WALLETS}) AS n
UNION ALL
SELECT 'trf_bench_' || n, 1, 'provider:yookassa', NULL, -1000000000000, 'RUB', NULL, NULL
FROM generate_series(1, {_WALLETS}) AS n;
"""  # noqa: S608 - the only thing filled in is a constant of this file


def hold_settle() -> Measurement:
    """Pairs of hold and settle per second, one process, 1 000 wallets, against pgbench on identical rows."""
    with tempfile.TemporaryDirectory(prefix="bc-bench-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user where we are root
        with EmbeddedPostgres.start(Path(folder) / "data") as server:
            url = parse_database_url(server.url())
            migrations.upgrade(url)
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute(_PREPARE.encode())
            ours, theirs = compare(
                Contender("service layer", lambda: asyncio.run(_our_round(url))),
                Contender("pgbench", lambda: _pgbench_round(server)),
                unit="pairs/s",
            )
    return Measurement(
        name="hold-settle", figure=ours, unit="pairs/s", ratio=ours / theirs, against="pgbench", floor=None
    )


async def _our_round(url: URL) -> float:
    engine = application_engine(url, connections_max=_CLIENTS)
    begin = units_of_work(engine)
    clock = SystemClock()
    ids = Ids(clock)
    wallets = WalletService(begin=begin, clock=clock, ids=ids, ledger=LedgerService(), settings=WalletSettings())
    ends_at = time.monotonic() + _ROUND_SECONDS
    pairs = 0

    async def client() -> None:
        nonlocal pairs
        while time.monotonic() < ends_at:
            wallet_id = WalletId(f"wal_bench_{secrets.randbelow(_WALLETS) + 1}")
            operation_id = OperationId(ids.new("opr"))
            async with begin() as uow:
                await wallets.hold(uow, wallet_id, _AT_MOST, operation_id)
            async with begin() as uow:
                await wallets.settle(uow, wallet_id, operation_id, _ACTUAL)
            pairs += 1

    began_at = time.monotonic()
    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    rate = pairs / (time.monotonic() - began_at)
    await engine.dispose()
    return rate


def _pgbench_round(server: EmbeddedPostgres) -> float:
    command = [str(server.bin_folder() / "pgbench"), "-n", "-M", "prepared", "-f", str(_SCRIPT)]
    load = ["-c", str(_CLIENTS), "-j", "2", "-T", str(_ROUND_SECONDS), server.url()]
    environment = {**os.environ, "PGOPTIONS": f"-c role={APPLICATION_ROLE}"}
    done = subprocess.run([*command, *load], check=True, capture_output=True, text=True, env=environment)
    found = _TPS.search(done.stdout)
    assert found is not None, f"pgbench said no rate: {done.stdout}"
    return float(found[1])
