"""Wallets with a million ledger entries behind them, against the same wallets without a past."""

from __future__ import annotations

import asyncio

import psycopg
from sqlalchemy.engine import URL

from backend.benchmarks.measurement import Contender, Measurement, compare
from backend.benchmarks.wallet_load import WALLETS, our_round, prepared, server
from billing.kit.clock import SystemClock
from billing.kit.database import application_engine, libpq_text
from billing.kit.unit_of_work import snapshots
from billing.ledger.invariants import LedgerVerifier
from billing.wallets.invariants import WalletVerifier

_FLOOR = 0.90
_OPERATIONS = 200  # of each wallet, five entries each: a million in all

# Every operation held 10 000 micros and used 4 000 of them, as the clients of a round do; balances and numbers of
# entries follow in closed form. The triggers that refuse unbalanced transfers would look at each row by itself, for
# minutes; the checker looks at all of them in the end.
_FILL = f"""
SET session_replication_role = replica;
CREATE TEMP TABLE past AS
SELECT w, k, 'wal_bench_' || w AS wallet_id, '_bench_' || w || '_' || k AS name,
       now() - interval '30 days' + k * interval '1 hour' AS at
FROM generate_series(1, {WALLETS}) AS w, generate_series(1, {_OPERATIONS}) AS k ORDER BY k, w;
INSERT INTO holds (id, wallet_id, operation_id, amount_micros, status, placed_at, expires_at, ended_at, charged_micros)
SELECT 'hld' || name, wallet_id, 'opr' || name, 10000, 'settled', at, at + interval '15 minutes', at, 4000 FROM past;
INSERT INTO hold_allocations (hold_id, lot_id, amount_micros) SELECT 'hld' || name, 'lot_bench_' || w, 10000 FROM past;
INSERT INTO ledger_transfers (id, kind, occurred_at, reference, details)
SELECT 'trf_h' || name, 'hold', at, 'opr' || name, '{{}}'::jsonb FROM past
UNION ALL SELECT 'trf_s' || name, 'charge', at, 'opr' || name, '{{}}'::jsonb FROM past;
INSERT INTO ledger_entries
    (transfer_id, position, account, wallet_id, amount_micros, currency, balance_after_micros, sequence)
SELECT 'trf_h' || name, 0, 'wallet.paid', wallet_id, -10000, 'RUB', 1000000000000 - 4000 * k - 6000, 4 * k - 2 FROM past
UNION ALL SELECT 'trf_h' || name, 1, 'wallet.held', wallet_id, 10000, 'RUB', 10000, 4 * k - 1 FROM past
UNION ALL SELECT 'trf_s' || name, 0, 'wallet.paid', wallet_id, 6000, 'RUB', 1000000000000 - 4000 * k, 4 * k FROM past
UNION ALL SELECT 'trf_s' || name, 1, 'wallet.held', wallet_id, -10000, 'RUB', 0, 4 * k + 1 FROM past
UNION ALL SELECT 'trf_s' || name, 2, 'revenue', NULL, 4000, 'RUB', NULL, NULL FROM past;
UPDATE wallets SET paid_micros = paid_micros - 4000 * {_OPERATIONS}, entry_sequence = 4 * {_OPERATIONS} + 1;
UPDATE credit_lots SET left_micros = left_micros - 4000 * {_OPERATIONS};
"""  # noqa: S608 - the only things filled in are constants of these files


def ledger_growth() -> Measurement:
    """Pairs of hold and settle per second after 1 000 000 ledger entries, against the same without a past."""
    with server() as started:
        empty, grown = prepared(started, "empty"), prepared(started, "grown")
        _fill(grown)
        ours, theirs = compare(
            Contender("after 1 000 000 entries", lambda: our_round(grown, processes=1)),
            Contender("without a past", lambda: our_round(empty, processes=1)),
            unit="pairs/s",
        )
        asyncio.run(_require_whole_ledger(grown))
    return Measurement(
        name="ledger-growth",
        figure=ours,
        unit="pairs/s",
        ratio=ours / theirs,
        against="without a past",
        floor=_FLOOR,
    )


def _fill(url: URL) -> None:
    with psycopg.connect(libpq_text(url), autocommit=True) as connection:
        connection.execute(_FILL.encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


async def _require_whole_ledger(url: URL) -> None:
    engine = application_engine(url, connections_max=1)
    async with snapshots(engine)() as view:
        drifts = (*await LedgerVerifier().drifts(view), *await WalletVerifier(SystemClock()).drifts(view))
    await engine.dispose()
    assert not drifts, f"what was measured is no whole ledger: {drifts[:3]}"
