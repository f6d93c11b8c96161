"""The trust matrix: every dimension of a knock at a provider's door, which cells cannot be, and what each must end in.

Written by hand from docs/decisions/0020-trust-in-notifications.md, as plain data. Nothing here asks the code under
test, which is what the matrix is for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Provider(StrEnum):
    """Whose door."""

    YOOKASSA = "yookassa"
    STRIPE = "stripe"


class Part(StrEnum):
    """What a knock shows, and what a policy may check; in the order in which the checks stand on the page."""

    TOKEN = "token"
    SOURCE = "source"
    SIGNATURE = "signature"


class How(StrEnum):
    """How one part is shown, while the others are right."""

    VALID = "valid"
    MISSING = "missing"
    WRONG = "wrong"
    EMPTY = "empty"
    NON_ASCII = "non_ascii"


class Topology(StrEnum):
    """What the knock passes on its way."""

    DIRECT = "direct"
    ONE_PROXY = "one_proxy"
    """The deployment counts its proxies."""
    TWO_PROXIES = "two_proxies"
    """The deployment knows its proxies by their networks."""
    SPOOFED = "spoofed"
    """A stranger has written into `X-Forwarded-For` before our proxy did, or instead of it."""
    MAPPED = "mapped"
    """The server listens on IPv6, and sees an IPv4 address in IPv6 clothes."""


class Time(StrEnum):
    """When the knock was signed, and whether it comes a second time."""

    NOW = "now"
    OLD = "old"
    FUTURE = "future"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Cell:
    """One knock; `part` is the one that is not right, None where all are."""

    provider: Provider
    checks: frozenset[Part]
    part: Part | None
    how: How
    topology: Topology
    time: Time

    @property
    def row(self) -> str:
        """The row of the matrix, as the gate's configuration calls it."""
        return f"{self.provider}: {', '.join(part for part in Part if part in self.checks) or 'nothing'}"

    @property
    def id(self) -> str:
        """The cell's name among the tests."""
        checks = "+".join(part for part in Part if part in self.checks) or "nothing"
        shown = "all_valid" if self.part is None else f"{self.part}_{self.how}"
        return f"{self.provider}-{checks}-{self.topology}-{shown}-{self.time}"


@dataclass(frozen=True, slots=True)
class Impossible:
    """Cells that cannot be played, and why."""

    reason: str
    part: Part
    hows: frozenset[How]
    topologies: frozenset[Topology] = frozenset(Topology)
    times: frozenset[Time] = frozenset(Time)

    def covers(self, cell: Cell) -> bool:
        """The cell is one of these."""
        is_shown_so = cell.part is self.part and cell.how in self.hows
        return is_shown_so and cell.topology in self.topologies and cell.time in self.times


IMPOSSIBLE = (
    Impossible(
        "Without a proxy no header is read: the source is the connection's own address, which is always there.",
        Part.SOURCE,
        frozenset({How.MISSING, How.EMPTY, How.NON_ASCII}),
        topologies=frozenset({Topology.DIRECT, Topology.MAPPED}),
    ),
    Impossible(
        "Without a signature there is no timestamp that could be of another time.",
        Part.SIGNATURE,
        frozenset({How.MISSING, How.EMPTY}),
        times=frozenset({Time.OLD, Time.FUTURE}),
    ),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of the table of outcomes: where this check is on and the knock is like this, the door says this."""

    check: Part
    parts: frozenset[Part | None]
    times: frozenset[Time]
    status: int
    code: str


_ANY_TIME = frozenset(Time)

REFUSALS = (
    Refusal(Part.TOKEN, frozenset({Part.TOKEN}), _ANY_TIME, 401, "webhook_token_invalid"),
    Refusal(Part.SOURCE, frozenset({Part.SOURCE}), _ANY_TIME, 401, "webhook_source_refused"),
    Refusal(Part.SIGNATURE, frozenset({Part.SIGNATURE}), _ANY_TIME, 401, "webhook_signature_invalid"),
    Refusal(
        Part.SIGNATURE,
        frozenset({None, Part.TOKEN, Part.SOURCE}),
        frozenset({Time.OLD, Time.FUTURE}),
        401,
        "webhook_signature_outdated",
    ),
)
"""The first row that fits decides; where none does, the knock is accepted: answered 200, stored once with one job."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cell must end in: each answer, what is stored, how often its refusal was counted."""

    answers: tuple[tuple[int, str], ...]
    messages: int
    jobs: int
    refusals: dict[str, int]


def outcome_of(cell: Cell) -> Outcome:
    """The cell's row in the table; a replayed knock gets the same answer twice, and is stored or counted as such."""
    knocks = 2 if cell.time is Time.REPLAYED else 1
    for row in REFUSALS:
        if row.check in cell.checks and cell.part in row.parts and cell.time in row.times:
            return Outcome(((row.status, row.code),) * knocks, messages=0, jobs=0, refusals={row.code: knocks})
    return Outcome(((200, "accepted"),) * knocks, messages=1, jobs=1, refusals={})


def all_cells() -> Iterator[Cell]:
    """Every combination of the dimensions, the impossible ones too."""
    shown = [(None, How.VALID), *itertools.product(Part, [how for how in How if how is not How.VALID])]
    policies = [frozenset(on) for count in range(4) for on in itertools.combinations(Part, count)]
    for provider, checks, topology, (part, how), time in itertools.product(Provider, policies, Topology, shown, Time):
        yield Cell(provider, checks, part, how, topology, time)


def why_impossible(cell: Cell) -> str | None:
    """The reason why this cell is left out; None where it is played."""
    return next((kind.reason for kind in IMPOSSIBLE if kind.covers(cell)), None)
