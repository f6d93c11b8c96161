"""Several figures of one run, each judged by its own bound."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Check:
    """A figure that must not be below its floor nor above its ceiling; a bound of None does not bind."""

    name: str
    figure: float
    unit: str
    floor: float | None = None
    ceiling: float | None = None

    @property
    def ok(self) -> bool:
        """It is within its bounds."""
        return (self.floor is None or self.figure >= self.floor) and (
            self.ceiling is None or self.figure <= self.ceiling
        )

    @property
    def bound(self) -> str:
        """What binds it, in words."""
        bounds = [f"at least {self.floor:g}"] if self.floor is not None else []
        bounds += [f"at most {self.ceiling:g}"] if self.ceiling is not None else []
        return " and ".join(bounds) or "informs"


@dataclass(frozen=True, slots=True)
class Judgement:
    """All checks of a benchmark, and the figures of each contender that they were computed from."""

    name: str
    checks: tuple[Check, ...]
    figures: Mapping[str, Mapping[str, float]]

    @property
    def ok(self) -> bool:
        """Every check is within its bounds, and there is one."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def as_json(self) -> str:
        """One line for machines."""
        checks = [
            {
                "name": check.name,
                "figure": round(check.figure, 3),
                "unit": check.unit,
                "floor": check.floor,
                "ceiling": check.ceiling,
                "ok": check.ok,
            }
            for check in self.checks
        ]
        figures = {
            who: {what: round(figure, 3) for what, figure in theirs.items()} for who, theirs in self.figures.items()
        }
        return json.dumps({"name": self.name, "ok": self.ok, "checks": checks, "figures": figures})

    def show(self) -> None:
        """Tables for people."""
        console = Console()
        columns = list(dict.fromkeys(what for theirs in self.figures.values() for what in theirs))
        table = Table("", *columns)
        for who, theirs in self.figures.items():
            table.add_row(who, *(f"{theirs[what]:,.2f}" if what in theirs else "" for what in columns))
        console.print(table)
        verdicts = Table("check", "figure", "bound", "")
        for check in self.checks:
            verdicts.add_row(
                check.name, f"{check.figure:,.2f} {check.unit}", check.bound, "ok" if check.ok else "[bold]BROKEN"
            )
        console.print(verdicts)
