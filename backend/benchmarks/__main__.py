"""The one door of the benchmarks: `python -m backend.benchmarks NAME`, or `--list`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from backend.benchmarks.contended_wallet import contended_wallet
from backend.benchmarks.gateway import gateway_calls, gateway_streams
from backend.benchmarks.gateway_contenders import NoComparisonError
from backend.benchmarks.hold_settle import hold_settle, hold_settle_two_processes
from backend.benchmarks.judgement import Judgement
from backend.benchmarks.ledger_growth import ledger_growth
from backend.benchmarks.measurement import Measurement
from backend.benchmarks.webhook_burst import webhook_burst

BENCHMARKS: dict[str, Callable[[], Measurement | Judgement]] = {
    "hold-settle": hold_settle,
    "hold-settle-two-processes": hold_settle_two_processes,
    "contended-wallet": contended_wallet,
    "ledger-growth": ledger_growth,
    "gateway": gateway_calls,
    "gateway-streams": gateway_streams,
    "webhook-burst": webhook_burst,
}

_BELOW_FLOOR = 1
_USAGE = 2
_NO_COMPARISON = 3


def main(arguments: list[str]) -> int:
    """Runs one benchmark; 0 when it is not below its floor, 1 when it is, 2 when nobody knows its name.

    3 says that there is nothing here to compare with, which is no pass.
    """
    if arguments == ["--list"]:
        for name, listed in BENCHMARKS.items():
            print(f"{name}: {(listed.__doc__ or '').splitlines()[0]}")
        return 0
    benchmark = BENCHMARKS.get(arguments[0]) if len(arguments) == 1 else None
    if benchmark is None:
        print(f"Which benchmark? One of: {', '.join(BENCHMARKS)}; or --list.", file=sys.stderr)
        return _USAGE
    try:
        measurement = benchmark()
    except NoComparisonError as error:
        print(f"No comparison: {error}", file=sys.stderr)
        return _NO_COMPARISON
    print(measurement.as_json())
    return 0 if measurement.ok else _BELOW_FLOOR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
