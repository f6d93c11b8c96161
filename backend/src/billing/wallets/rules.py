"""Which credit is spent, held and given back: pure decisions over lots, nothing stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType

from billing.kit.money import Currency, Money
from billing.wallets.errors import InsufficientFunds, MaxReplyCostExceeded

WalletId = NewType("WalletId", str)
OperationId = NewType("OperationId", str)
HoldId = NewType("HoldId", str)
LotId = NewType("LotId", str)

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Spender:
    """Who causes a hold, as our own rows know them, and the time zone in which the account's days and months are.

    Member and key have caps of their own; a hold without them is bound by the caps of its wallet alone.
    """

    person_id: str | None = None
    api_key_id: str | None = None
    time_zone: str = "UTC"


NOBODY = Spender()


@dataclass(frozen=True, slots=True)
class Lot:
    """Credit that came in one piece: what is left of it to spend, and what open holds keep of it."""

    lot_id: LotId
    is_granted: bool
    left_micros: int
    expires_at: datetime | None

    def is_expired(self, now: datetime) -> bool:
        """Its last moment has passed; the boundary instant is expired (half-open, G19)."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one lot."""

    lot_id: LotId
    is_granted: bool
    micros: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a hold and of the wallet when an operation is charged.

    `used` and `returned` and `expired` together are the hold's pieces; `taken` comes from credit that was not held;
    `debt_micros` is what no credit covered. used + taken + debt = the charge.
    """

    used: tuple[Piece, ...]
    returned: tuple[Piece, ...]
    expired: tuple[Piece, ...]
    taken: tuple[Piece, ...]
    debt_micros: int

    @property
    def charged_micros(self) -> int:
        """What the operation is charged in all."""
        return total(self.used) + total(self.taken) + self.debt_micros

    def lot_changes(self) -> dict[LotId, tuple[int, int]]:
        """How many micros each lot's (left, held) changes by."""
        changes: dict[LotId, tuple[int, int]] = {}
        moves = ((self.used, 0, -1), (self.returned, 1, -1), (self.expired, 0, -1), (self.taken, -1, 0))
        for pieces, left_sign, held_sign in moves:
            for piece in pieces:
                left, held = changes.get(piece.lot_id, (0, 0))
                changes[piece.lot_id] = (left + left_sign * piece.micros, held + held_sign * piece.micros)
        return changes


def spending_order(lots: Iterable[Lot], now: datetime) -> list[Lot]:
    """The lots that can be spent now: earliest expiry first, granted before paid on ties, then the older one."""
    spendable = (lot for lot in lots if lot.left_micros > 0 and not lot.is_expired(now))
    return sorted(spendable, key=lambda lot: (lot.expires_at or _NEVER, not lot.is_granted, lot.lot_id))


def take(lots: Sequence[Lot], micros: int) -> tuple[Piece, ...]:
    """Pieces of the lots, in the given order, that add up to `micros`, or to all there is if that is less."""
    pieces: list[Piece] = []
    missing = micros
    for lot in lots:
        if missing == 0:
            break
        part = min(lot.left_micros, missing)
        pieces.append(Piece(lot.lot_id, lot.is_granted, part, lot.expires_at))
        missing -= part
    return tuple(pieces)


def total(pieces: Iterable[Piece]) -> int:
    """How many micros the pieces are together."""
    return sum(piece.micros for piece in pieces)


def available(lots: Iterable[Lot], debt_micros: int, currency: Currency, now: datetime) -> Money:
    """What a new hold can take: unexpired credit beyond the debt, never below zero."""
    spendable = sum(lot.left_micros for lot in spending_order(lots, now))
    return Money(max(0, spendable - debt_micros), currency)


def available_after(
    lots: Iterable[Lot], plan: Settlement, debt_micros: int, currency: Currency, now: datetime
) -> Money:
    """What a new hold can take once these lots have gone through this settlement; `debt_micros` is the debt then."""
    spendable = sum(lot.left_micros for lot in spending_order(lots, now))
    return Money(max(0, spendable - total(plan.taken) + total(plan.returned) - debt_micros), currency)


def require_within_reply_cost(required: Money, limits: Iterable[Money | None]) -> None:
    """The tightest limit counts; a client can tighten what the wallet allows, never widen it.

    Raises:
        MaxReplyCostExceeded: the call can cost more than one of the limits.
    """
    tightest = min((limit for limit in limits if limit is not None), default=None)
    if tightest is not None and required > tightest:
        raise MaxReplyCostExceeded(tightest, required)


def plan_hold(lots: Iterable[Lot], debt_micros: int, required: Money, now: datetime) -> tuple[Piece, ...]:
    """The pieces that a hold keeps.

    Raises:
        InsufficientFunds: unexpired credit beyond the debt does not cover it.
    """
    ordered = spending_order(lots, now)
    free = available(ordered, debt_micros, required.currency, now)
    if free < required:
        raise InsufficientFunds(free, required)
    return take(ordered, required.micros)


def plan_settlement(held: Sequence[Piece], lots: Iterable[Lot], actual_micros: int, now: datetime) -> Settlement:
    """Charges what was really used: from the hold first, then from the rest of the credit, then as debt.

    What the hold does not need goes back to its lots; of lots that have expired meanwhile it becomes breakage. Credit
    that expires while it is held stays usable for that hold.
    """
    as_lots = [Lot(piece.lot_id, piece.is_granted, piece.micros, None) for piece in held]
    used = take(as_lots, actual_micros)
    spent = {piece.lot_id: piece.micros for piece in used}
    rest = [piece for piece in held if piece.micros > spent.get(piece.lot_id, 0)]
    unused = [
        Piece(piece.lot_id, piece.is_granted, piece.micros - spent.get(piece.lot_id, 0), piece.expires_at)
        for piece in rest
    ]
    beyond = actual_micros - total(used)
    taken = take(spending_order(lots, now), beyond)
    return Settlement(
        used=used,
        returned=tuple(piece for piece in unused if not is_past(piece, now)),
        expired=tuple(piece for piece in unused if is_past(piece, now)),
        taken=taken,
        debt_micros=beyond - total(taken),
    )


def is_past(piece: Piece, now: datetime) -> bool:
    """The piece's lot has expired."""
    return piece.expires_at is not None and piece.expires_at <= now


def plan_return(lots: Iterable[Lot], own: Collection[LotId], micros: int, now: datetime) -> tuple[Piece, ...]:
    """The paid credit that goes back: that of the own lots first, then any other, up to `micros` together."""
    paid = [lot for lot in spending_order(lots, now) if not lot.is_granted or lot.lot_id in own]
    return take(sorted(paid, key=lambda lot: lot.lot_id not in own), micros)
