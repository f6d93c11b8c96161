"""What a benchmark answers, and how it is shown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, and its ratio to what it was measured against in the same run; the floor is the ratio's."""

    name: str
    figure: float
    unit: str
    ratio: float
    against: str
    floor: float | None

    @property
    def ok(self) -> bool:
        """The ratio is not below its floor; without a floor it only informs."""
        return self.floor is None or self.ratio >= self.floor

    def as_json(self) -> str:
        """One line for machines."""
        return json.dumps(
            {**asdict(self), "figure": round(self.figure, 1), "ratio": round(self.ratio, 3), "ok": self.ok}
        )


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison: its name, and what runs one round and answers a rate per second."""

    name: str
    round: Callable[[], float]


def compare(ours: Contender, theirs: Contender, *, unit: str, rounds: int = 3) -> tuple[float, float]:
    """The median rates of both, measured in turns so that the machine's moods meet both; prints the table."""
    rates: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for _ in range(rounds):
        for contender in (theirs, ours):
            rates[contender.name].append(contender.round())
    _print(rates, unit)
    return statistics.median(rates[ours.name]), statistics.median(rates[theirs.name])


def _print(rates: dict[str, list[float]], unit: str) -> None:
    table = Table("", f"median {unit}", "rounds")
    for name, values in rates.items():
        table.add_row(name, f"{statistics.median(values):,.0f}", _joined(values))
    Console().print(table)


def _joined(values: Sequence[float]) -> str:
    return "  ".join(f"{value:,.0f}" for value in values)
