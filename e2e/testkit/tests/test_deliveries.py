"""An answer is cut, dressed and stopped exactly as planned."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from testkit.simulators.deliveries import Delivery, Insertion, LineEnd, Piece, Stop, pieces_of

BODY = b'data: {"a": 1, "b": "x,\\"y"}\n\nevent: late\ndata: {"c": "\xd0\xb4"}\n\ndata: [DONE]\n\n'
EVENTS = [f"{event}\n\n".encode() for event in BODY.decode().split("\n\n") if event]


def contents(**delivery: Any) -> list[bytes]:
    """What is written, piece by piece."""
    return [piece.content for piece in pieces_of(BODY, Delivery(**delivery), is_stream=True) if piece.content]


class TestPieces:
    def test_each_event_is_a_piece(self) -> None:
        assert contents() == EVENTS

    def test_one_byte_a_time(self) -> None:
        assert contents(piece_bytes=1) == [bytes([byte]) for byte in BODY]

    @pytest.mark.parametrize("position", range(len(BODY) + 2))
    def test_any_position_can_be_a_boundary(self, position: int) -> None:
        pieces = contents(split_at=[position])

        assert b"".join(pieces) == BODY
        assert len(pieces) == (2 if 0 < position < len(BODY) else 1)
        assert position in {0, len(pieces[0]), len(BODY) + 1}

    def test_several_events_can_share_a_piece(self) -> None:
        assert contents(events_per_piece=2) == [EVENTS[0] + EVENTS[1], EVENTS[2]]

    def test_what_is_no_stream_is_one_event(self) -> None:
        body = b'{"a":\n\n1}'

        assert list(pieces_of(body, Delivery(), is_stream=False)) == [Piece(body)]
        assert [piece.content for piece in pieces_of(body, Delivery(split_at=(3,)), is_stream=False)] == [
            body[:3],
            body[3:],
        ]


class TestTheDialect:
    @pytest.mark.parametrize("line_end", LineEnd)
    def test_lines_end_in_three_ways(self, line_end: LineEnd) -> None:
        end = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}[line_end]

        assert b"".join(contents(line_end=line_end)) == BODY.replace(b"\n", end)

    def test_the_space_behind_the_colon_can_be_missing(self) -> None:
        assert contents(has_space=False)[1] == 'event:late\ndata:{"c": "д"}\n\n'.encode()

    def test_comments_can_come_in_between(self) -> None:
        assert contents(has_comments=True)[2] == b": keep the connection alive\ndata: [DONE]\n\n"

    def test_data_can_come_in_several_lines_that_are_still_json(self) -> None:
        first = contents(lines_per_event=9)[0].decode()

        lines = [line.removeprefix("data: ") for line in first.splitlines() if line]
        assert len(lines) == 2
        assert json.loads("\n".join(lines)) == {"a": 1, "b": 'x,"y'}

    def test_anything_can_be_inserted(self) -> None:
        insertions = [Insertion(after_events=0, text="first"), Insertion(after_events=2, text="data: {\n\n")]

        assert contents(insertions=insertions) == [
            b"first" + EVENTS[0],
            EVENTS[1] + b"data: {\n\n",
            EVENTS[2],
        ]


class TestPausesAndStops:
    def test_a_pause_comes_between_two_pieces(self) -> None:
        pieces = list(pieces_of(BODY, Delivery(events_per_piece=9, pause_after_events=(0, 2)), is_stream=True))

        assert [(piece.pause_after, piece.content) for piece in pieces] == [
            (0, EVENTS[0] + EVENTS[1]),
            (2, EVENTS[2]),
        ]

    @pytest.mark.parametrize("position", range(len(BODY) + 1))
    def test_an_answer_can_stop_at_any_byte(self, position: int) -> None:
        delivery = Delivery(stop_after_bytes=position, stop=Stop.RESET)

        *before, last = pieces_of(BODY, delivery, is_stream=True)

        assert b"".join(piece.content for piece in before) == BODY[:position]
        assert (last.content, last.stop) == (b"", Stop.RESET)

    @pytest.mark.parametrize("count", range(4))
    def test_an_answer_can_stop_after_any_event(self, count: int) -> None:
        delivery = Delivery(stop_after_events=count, stop=Stop.END, piece_bytes=5)

        *before, last = pieces_of(BODY, delivery, is_stream=True)

        assert b"".join(piece.content for piece in before) == b"".join(EVENTS[:count])
        assert last.stop is Stop.END

    def test_a_pause_at_the_stop_comes_first(self) -> None:
        delivery = Delivery(pause_after_events=(1,), stop_after_events=1, stop=Stop.CLOSE)

        *_, last = pieces_of(BODY, delivery, is_stream=True)

        assert last == Piece(b"", 1, Stop.CLOSE)


class TestRefusals:
    @pytest.mark.parametrize(
        "impossible",
        [
            {"piece_bytes": 0},
            {"piece_bytes": 1, "split_at": [3]},
            {"stop": "close"},
            {"stop_after_events": 1},
            {"stop_after_events": 1, "stop_after_bytes": 1, "stop": "end"},
            {"unknown": 1},
        ],
    )
    def test_a_delivery_that_contradicts_itself_cannot_be_planned(self, impossible: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Delivery.model_validate(impossible)
