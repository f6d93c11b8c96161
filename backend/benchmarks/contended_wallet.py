"""Every client at the same wallet: what the wait for one row's lock leaves."""

from __future__ import annotations

from backend.benchmarks.measurement import Contender, Measurement, compare
from backend.benchmarks.wallet_load import our_round, pgbench_round, prepared, server

_PAIRS_MIN = 300.0


def contended_wallet() -> Measurement:
    """Pairs of hold and settle per second on one wallet, eight clients at once, against the 300 that must be."""
    with server() as started:
        url = prepared(started, "bench")
        ours, _ = compare(
            Contender("service layer", lambda: our_round(url, processes=1, wallets=1)),
            Contender("pgbench", lambda: pgbench_round(started, url, wallets=1)),
            unit="pairs/s",
        )
    return Measurement(
        name="contended-wallet",
        figure=ours,
        unit="pairs/s",
        ratio=ours / _PAIRS_MIN,
        against=f"{_PAIRS_MIN:.0f} pairs/s",
        floor=1.0,
    )
