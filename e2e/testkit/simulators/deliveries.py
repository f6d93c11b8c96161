"""How an answer travels: in which pieces, in which dialect of server-sent events, where it waits, and where it ends."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

_PIECES_MAX = 200_000
_ESCAPED = re.compile(r"\\.", re.DOTALL)


class LineEnd(StrEnum):
    """How a stream's lines end; the standard allows all three."""

    LF = "lf"
    CRLF = "crlf"
    CR = "cr"

    @property
    def text(self) -> str:
        """The characters themselves."""
        return {LineEnd.LF: "\n", LineEnd.CRLF: "\r\n", LineEnd.CR: "\r"}[self]


class Stop(StrEnum):
    """How an answer ends before its time."""

    CLOSE = "close"
    """The connection is closed without the end that the protocol asks for."""
    RESET = "reset"
    """The connection is torn down (TCP RST)."""
    END = "end"
    """The answer ends as the protocol asks: what is missing looks as if it had never been meant to come."""
    SILENCE = "silence"
    """Nothing comes any more, and the connection stays open until the client goes."""


class Insertion(BaseModel):
    """Bytes that do not belong there: `text` comes as it stands after so many events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after_events: NonNegativeInt
    text: str = Field(min_length=1)


class Delivery(BaseModel):
    """The way of one answer. Each piece is an HTTP chunk of its own; `events` are those of a stream.

    An answer that is no stream counts as one event, and its text is never changed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    piece_bytes: PositiveInt | None = None
    """Every piece has so many bytes; 1 is one byte a time."""
    split_at: tuple[NonNegativeInt, ...] = ()
    """A piece begins at each of these bytes of the body, and nowhere else."""
    events_per_piece: PositiveInt = 1
    """Several events in one piece, where neither bytes nor positions say otherwise."""
    line_end: LineEnd = LineEnd.LF
    has_space: bool = True
    """Whether a space follows the colon of a field."""
    has_comments: bool = False
    """Whether comment lines come between the events, as proxies send them to keep a connection alive."""
    lines_per_event: PositiveInt = 1
    """An event's data come in so many `data` lines at most; JSON is cut where white space may stand."""
    insertions: tuple[Insertion, ...] = ()
    pause_before_status: bool = False
    """Whether the answer waits until it may go on before anything of it is sent."""
    pause_after_events: tuple[NonNegativeInt, ...] = ()
    """After so many events it waits until it may go on; 0 is between the headers and the first event."""
    stop_after_events: NonNegativeInt | None = None
    stop_after_bytes: NonNegativeInt | None = None
    stop: Stop | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.piece_bytes is not None and self.split_at:
            message = "either `piece_bytes` or `split_at`"
            raise ValueError(message)
        if (self.stop is not None) != (self.stop_after_events is not None or self.stop_after_bytes is not None):
            message = "`stop` says how, `stop_after_events` or `stop_after_bytes` says where"
            raise ValueError(message)
        if self.stop_after_events is not None and self.stop_after_bytes is not None:
            message = "either `stop_after_events` or `stop_after_bytes`"
            raise ValueError(message)
        return self


@dataclass(frozen=True, slots=True)
class Piece:
    """One write to the connection, what it waits for before, and how the answer ends instead, if it ends here."""

    content: bytes
    pause_after: int | None = None
    """The number of events that have been written when the answer waits for leave to go on before this piece."""
    stop: Stop | None = None


def pieces_of(body: bytes, delivery: Delivery, *, is_stream: bool) -> Iterator[Piece]:
    """The pieces of an answer in their order; the last one has a `stop` where the answer ends before its time."""
    units = _units(body, delivery) if is_stream else [body]
    ends = list(_running_totals(units))
    content = b"".join(units)
    stop_at = _stop_position(delivery, ends, len(content))
    pauses = {ends[count]: count for count in delivery.pause_after_events if count < len(ends)}
    marks = sorted({0, *_cuts(delivery, ends, len(content)), *pauses, *([] if stop_at is None else [stop_at])})
    for start, end in zip(marks, [*marks[1:], len(content)], strict=True):
        pause = pauses.get(start)
        if start == stop_at:
            yield Piece(b"", pause, delivery.stop)
            return
        if start < end or pause is not None:
            yield Piece(content[start:end], pause)


def _units(body: bytes, delivery: Delivery) -> list[bytes]:
    """What precedes the first event, then each event with whatever is inserted behind it."""
    events = [event for event in body.decode().split("\n\n") if event]
    units = [""] + [_rendered(event, delivery) for event in events]
    for insertion in delivery.insertions:
        units[min(insertion.after_events, len(events))] += insertion.text
    return [unit.encode() for unit in units]


def _rendered(event: str, delivery: Delivery) -> str:
    end, colon = delivery.line_end.text, ": " if delivery.has_space else ":"
    lines = [": keep the connection alive"] if delivery.has_comments else []
    for line in event.split("\n"):
        field, _, value = line.partition(": ")
        is_cut = field == "data" and delivery.lines_per_event > 1
        parts = _parts_of(value, delivery.lines_per_event) if is_cut else [value]
        lines += [f"{field}{colon}{part}" for part in parts]
    return "".join(f"{line}{end}" for line in lines) + end


def _parts_of(data: str, lines_max: int) -> list[str]:
    """Cuts JSON text behind its first commas that stand between members; a line feed there means nothing to JSON."""
    cuts = [index + 1 for index, letter in enumerate(data) if letter == "," and _is_outside_texts(data[:index])]
    marks = [0, *cuts[: lines_max - 1], len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def _is_outside_texts(before: str) -> bool:
    return _ESCAPED.sub("", before).count('"') % 2 == 0


def _running_totals(units: list[bytes]) -> Iterator[int]:
    position = 0
    for unit in units:
        position += len(unit)
        yield position


def _stop_position(delivery: Delivery, ends: list[int], size: int) -> int | None:
    if delivery.stop_after_bytes is not None:
        return min(delivery.stop_after_bytes, size)
    if delivery.stop_after_events is not None:
        return ends[min(delivery.stop_after_events, len(ends) - 1)]
    return None


def _cuts(delivery: Delivery, ends: list[int], size: int) -> list[int]:
    if delivery.piece_bytes is not None:
        assert size // delivery.piece_bytes <= _PIECES_MAX, "a test that asks for so many pieces has another question"
        return list(range(delivery.piece_bytes, size, delivery.piece_bytes))
    if delivery.split_at:
        return [position for position in delivery.split_at if 0 < position < size]
    return ends[delivery.events_per_piece :: delivery.events_per_piece]
