"""A wallet as a child would keep it: every rouble is a coin that lies somewhere. It shares no code with the product."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_NEVER = datetime.max.replace(tzinfo=UTC)

# The account's days and months begin by a clock that is always so much ahead, as in Kolkata.
AHEAD = timedelta(hours=5, minutes=30)


class Place(StrEnum):
    """Where a coin can lie."""

    LEFT = "left"
    HELD = "held"
    SPENT = "spent"
    BROKEN = "broken"


class Ending(StrEnum):
    """How an operation stands."""

    OPEN = "open"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"
    CHARGED_LATE = "charged late"


class Why(StrEnum):
    """Why the purse does not do something."""

    FUNDS = "funds"
    CAP = "cap"
    REPLY = "reply"
    ENDED = "ended"
    REUSED = "reused"


class Scope(StrEnum):
    """For how long a cap counts."""

    DAY = "day"
    MONTH = "month"

    def of(self, moment: datetime) -> tuple[int, ...]:
        """The day or month in which the moment lies; later ones compare as greater."""
        local = moment + AHEAD
        day = (local.year, local.month, local.day)
        return day if self is Scope.DAY else day[:2]


class RefusedError(Exception):
    """The purse does not do that, for all of these reasons."""

    def __init__(self, *reasons: Why) -> None:
        super().__init__(", ".join(reasons))
        self.reasons = frozenset(reasons)


@dataclass
class Coin:
    """One rouble."""

    number: int
    is_granted: bool
    expires_at: datetime | None
    place: Place = Place.LEFT
    operation: str | None = None

    def is_expired(self, now: datetime) -> bool:
        """Its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def order(self) -> tuple[datetime, bool, int]:
        """Which coin goes first: the one that expires first, granted before paid, older before younger."""
        return (self.expires_at or _NEVER, not self.is_granted, self.number)


@dataclass
class Operation:
    """A call that set coins aside; `asked` is how many at first."""

    asked: int
    amount: int
    placed_at: datetime
    expires_at: datetime
    ending: Ending = Ending.OPEN
    charged: int | None = None


@dataclass
class Purse:
    """All coins that ever came in, what is owed, and how much may be spent."""

    hold_ttl: timedelta
    coins: list[Coin] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    debt: int = 0
    caps: dict[Scope, int | None] = field(default_factory=dict)
    counted_since: dict[Scope, tuple[int, ...]] = field(default_factory=dict)
    reply_limit: int | None = None

    def put_in(self, count: int, *, is_granted: bool, expires_at: datetime | None) -> None:
        """Coins come in; what is owed is paid from them first."""
        owed = min(self.debt, count)
        self.debt -= owed
        for position in range(count):
            place = Place.SPENT if position < owed else Place.LEFT
            self.coins.append(Coin(len(self.coins), is_granted, expires_at, place))

    def available(self, now: datetime) -> int:
        """What a new operation can set aside."""
        return max(0, len(self._spendable(now)) - self.debt)

    def bound(self, caps: dict[Scope, int | None], reply_limit: int | None, now: datetime) -> None:
        """No more than that may be spent from now on; what was spent in the running day and month counts."""
        for scope, cap in caps.items():
            if cap is not None:
                self.counted_since.setdefault(scope, scope.of(now))
        self.caps, self.reply_limit = caps, reply_limit

    def spent(self, scope: Scope, at: datetime) -> int:
        """What operations of this day or month were charged."""
        return sum(one.charged or 0 for one in self._of_period(scope, at))

    def reserved(self, scope: Scope, at: datetime) -> int:
        """What open operations of this day or month keep."""
        return sum(one.amount for one in self._of_period(scope, at) if one.ending is Ending.OPEN)

    def hold(self, operation: str, count: int, now: datetime) -> None:
        """Sets coins aside."""
        if operation in self.operations:
            if self.operations[operation].asked != count:
                raise RefusedError(Why.REUSED)
            return
        self._require(count, count, placed_at=now, now=now)
        self.operations[operation] = Operation(count, count, now, now + self.hold_ttl)
        self._set_aside(operation, count, now)

    def extend(self, operation: str, count: int, now: datetime) -> None:
        """Sets more coins aside, so that they are as many; begins the time anew."""
        held = self.operations[operation]
        if held.ending is not Ending.OPEN:
            raise RefusedError(Why.ENDED)
        growth = max(0, count - held.amount)
        if growth:
            self._require(growth, count, placed_at=held.placed_at, now=now)
        held.amount += growth
        held.expires_at = max(held.expires_at, now + self.hold_ttl)
        self._set_aside(operation, growth, now)

    def renew(self, operation: str, now: datetime) -> None:
        """Begins the time of an open operation anew."""
        held = self.operations[operation]
        if held.ending is Ending.OPEN:
            held.expires_at = max(held.expires_at, now + self.hold_ttl)

    def settle(self, operation: str, count: int, now: datetime) -> None:
        """Takes what was really used: from what was set aside, then from the rest, then it is owed."""
        held = self.operations[operation]
        if held.charged is not None:
            if held.charged != count:
                raise RefusedError(Why.ENDED)
            return
        if held.ending is Ending.RELEASED:
            raise RefusedError(Why.ENDED)
        spent = (self._held_for(operation) + self._spendable(now))[:count]
        for coin in spent:
            coin.place, coin.operation = Place.SPENT, None
        self._give_back(operation, now)
        self.debt += count - len(spent)
        held.charged = count
        held.ending = Ending.SETTLED if held.ending is Ending.OPEN else Ending.CHARGED_LATE

    def release(self, operation: str, now: datetime) -> None:
        """Nothing was used: everything back, unless its time is over."""
        held = self.operations[operation]
        if held.charged is not None:
            raise RefusedError(Why.ENDED)
        if held.ending is Ending.OPEN:
            self._give_back(operation, now)
            held.ending = Ending.RELEASED

    def sweep(self, now: datetime) -> None:
        """Ends what nobody ended in time."""
        for operation in self.overdue(now):
            self._give_back(operation, now)
            self.operations[operation].ending = Ending.EXPIRED

    def overdue(self, now: datetime) -> list[str]:
        """Open operations whose time is over."""
        return [name for name, held in self.operations.items() if held.ending is Ending.OPEN and held.expires_at <= now]

    def has_expired_credit(self, now: datetime) -> bool:
        """Coins lie there whose time is over."""
        return any(coin.place is Place.LEFT and coin.is_expired(now) for coin in self.coins)

    def break_expired(self, now: datetime) -> None:
        """Coins whose time is over are gone."""
        for coin in self.coins:
            if coin.place is Place.LEFT and coin.is_expired(now):
                coin.place = Place.BROKEN

    def count(self, place: Place, *, is_granted: bool | None = None, now: datetime | None = None) -> int:
        """How many coins lie there; with `now`, only those whose time is not over."""
        return sum(
            coin.place is place
            and is_granted in {None, coin.is_granted}
            and not (now is not None and coin.is_expired(now))
            for coin in self.coins
        )

    def _require(self, growth: int, whole: int, *, placed_at: datetime, now: datetime) -> None:
        reasons = []
        if self.available(now) < growth:
            reasons.append(Why.FUNDS)
        if self.reply_limit is not None and whole > self.reply_limit:
            reasons.append(Why.REPLY)
        if any(self._is_exceeded(scope, growth, placed_at) for scope in self.caps):
            reasons.append(Why.CAP)
        if reasons:
            raise RefusedError(*reasons)

    def _is_exceeded(self, scope: Scope, growth: int, placed_at: datetime) -> bool:
        cap = self.caps[scope]
        if cap is None or scope.of(placed_at) < self.counted_since[scope]:
            return False
        return self.spent(scope, placed_at) + self.reserved(scope, placed_at) + growth > cap

    def _of_period(self, scope: Scope, at: datetime) -> Iterable[Operation]:
        return (one for one in self.operations.values() if scope.of(one.placed_at) == scope.of(at))

    def _set_aside(self, operation: str, count: int, now: datetime) -> None:
        for coin in self._spendable(now)[:count]:
            coin.place, coin.operation = Place.HELD, operation

    def _spendable(self, now: datetime) -> list[Coin]:
        left = (coin for coin in self.coins if coin.place is Place.LEFT and not coin.is_expired(now))
        return sorted(left, key=lambda coin: coin.order)

    def _held_for(self, operation: str) -> list[Coin]:
        return sorted((coin for coin in self.coins if coin.operation == operation), key=lambda coin: coin.order)

    def _give_back(self, operation: str, now: datetime) -> None:
        for coin in self._held_for(operation):
            coin.place = Place.BROKEN if coin.is_expired(now) else Place.LEFT
            coin.operation = None
