"""Reads server-sent events out of bytes that may be cut anywhere, also inside a letter or a line end.

Source of the format: the HTML standard, "Server-sent events", section "Parsing an event stream".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from billing.gateway.errors import UpstreamBroken

EVENT_BYTES_MAX = 1024 * 1024
"""An event with more bytes than this is nothing that a model provider means."""

_LINE_END = re.compile(rb"[\r\n]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_FEED = 0x0A
_CARRIAGE_RETURN = 0x0D


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its name, if it has one, and its data, several lines of which are joined by line feeds."""

    event: str | None
    data: str


class SseParser:
    """Gives each event once its empty line has come, whatever pieces the bytes come in."""

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._unread = bytearray()
        self._searched = 0
        self._size = 0
        self._name: str | None = None
        self._data: list[str] = []
        self._is_at_start = True
        self._may_skip_line_feed = False
        self._is_too_large = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that these bytes complete.

        Raises:
            UpstreamBroken: an event is larger than anybody means; the events before it were given out before.
        """
        self._require_bounded()
        self._unread += chunk
        events: list[ServerSentEvent] = []
        begins = 0
        while not self._is_too_large and (found := _LINE_END.search(self._unread, max(begins, self._searched))):
            ends = found.start()
            is_second_half = self._may_skip_line_feed and ends == begins and self._unread[ends] == _LINE_FEED
            self._may_skip_line_feed = self._unread[ends] == _CARRIAGE_RETURN
            if not is_second_half:
                self._take_line(bytes(self._unread[begins:ends]), events)
            begins = self._searched = ends + 1
        if begins < len(self._unread):
            self._may_skip_line_feed = False
        del self._unread[:begins]
        self._searched = len(self._unread)
        self._is_too_large = self._is_too_large or self._size + len(self._unread) > self._event_bytes_max
        if not events:
            self._require_bounded()
        return events

    def finish(self) -> list[ServerSentEvent]:
        """What the end of the bytes completes: some providers leave out the last empty line.

        Raises:
            UpstreamBroken: an event is larger than anybody means.
        """
        self._require_bounded()
        events: list[ServerSentEvent] = []
        if self._unread:
            self._take_line(bytes(self._unread), events)
            self._unread.clear()
            self._searched = 0
        self._dispatch(events)
        return events

    def _take_line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if self._is_at_start:
            self._is_at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            self._dispatch(events)
            return
        self._size += len(line)
        if self._size > self._event_bytes_max:
            self._is_too_large = True
            return
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode(errors="replace")
        if name == b"data":
            self._data.append(text)
        elif name == b"event":
            self._name = text

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        """An event without data is none, whatever its name."""
        if self._data:
            events.append(ServerSentEvent(self._name or None, "\n".join(self._data)))
        self._name, self._data, self._size = None, [], 0

    def _require_bounded(self) -> None:
        if self._is_too_large:
            raise UpstreamBroken


def rendered(event: ServerSentEvent) -> bytes:
    """The event as bytes, in the plainest form that every client reads."""
    name = "" if event.event is None else f"event: {event.event}\n"
    lines = "".join(f"data: {line}\n" for line in event.data.split("\n"))
    return f"{name}{lines}\n".encode(errors="replace")
