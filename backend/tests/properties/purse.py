"""A wallet as a child would keep it: every rouble is a coin that lies somewhere. It shares no code with the product."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_NEVER = datetime.max.replace(tzinfo=UTC)


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


class RefusedError(Exception):
    """The purse does not do that."""


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
    """A call that set coins aside."""

    amount: int
    expires_at: datetime
    ending: Ending = Ending.OPEN
    charged: int | None = None


@dataclass
class Purse:
    """All coins that ever came in, and what is owed."""

    hold_ttl: timedelta
    coins: list[Coin] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    debt: int = 0

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

    def hold(self, operation: str, count: int, now: datetime) -> None:
        """Sets coins aside."""
        if operation in self.operations:
            if self.operations[operation].amount != count:
                raise RefusedError
            return
        if self.available(now) < count:
            raise RefusedError
        self.operations[operation] = Operation(count, now + self.hold_ttl)
        for coin in self._spendable(now)[:count]:
            coin.place, coin.operation = Place.HELD, operation

    def settle(self, operation: str, count: int, now: datetime) -> None:
        """Takes what was really used: from what was set aside, then from the rest, then it is owed."""
        held = self.operations[operation]
        if held.charged is not None:
            if held.charged != count:
                raise RefusedError
            return
        if held.ending is Ending.RELEASED:
            raise RefusedError
        aside = self._held_for(operation)
        spent = (aside + self._spendable(now))[:count]
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
            raise RefusedError
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

    def _spendable(self, now: datetime) -> list[Coin]:
        left = (coin for coin in self.coins if coin.place is Place.LEFT and not coin.is_expired(now))
        return sorted(left, key=lambda coin: coin.order)

    def _held_for(self, operation: str) -> list[Coin]:
        return sorted((coin for coin in self.coins if coin.operation == operation), key=lambda coin: coin.order)

    def _give_back(self, operation: str, now: datetime) -> None:
        for coin in self._held_for(operation):
            coin.place = Place.BROKEN if coin.is_expired(now) else Place.LEFT
            coin.operation = None
