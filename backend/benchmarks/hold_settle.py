"""Holds and settlements through the service layer, against pgbench writing the same rows."""

from __future__ import annotations

from backend.benchmarks.measurement import Contender, Measurement, compare
from backend.benchmarks.wallet_load import our_round, pgbench_round, prepared, server

_FLOOR_OF_ONE = 0.30
_FLOOR_OF_TWO = 0.45


def hold_settle() -> Measurement:
    """Pairs of hold and settle per second, one process, 1 000 wallets, against pgbench on identical rows."""
    return _against_pgbench("hold-settle", processes=1, floor=_FLOOR_OF_ONE)


def hold_settle_two_processes() -> Measurement:
    """The same from two processes."""
    return _against_pgbench("hold-settle-two-processes", processes=2, floor=_FLOOR_OF_TWO)


def _against_pgbench(name: str, *, processes: int, floor: float) -> Measurement:
    with server() as started:
        url = prepared(started, "bench")
        ours, theirs = compare(
            Contender("service layer", lambda: our_round(url, processes=processes)),
            Contender("pgbench", lambda: pgbench_round(started, url)),
            unit="pairs/s",
        )
    return Measurement(name=name, figure=ours, unit="pairs/s", ratio=ours / theirs, against="pgbench", floor=floor)
