"""Server-sent events are what they are, however their bytes were cut."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.errors import UpstreamBroken
from billing.gateway.rules.sse import ServerSentEvent, SseParser, rendered

RECORDED = sorted((Path(__file__).parent.parent / "recorded").glob("*.sse"))


def parsed(*chunks: bytes) -> list[ServerSentEvent]:
    """The events of these chunks."""
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + parser.finish()


def data(*chunks: bytes) -> list[str]:
    """What the events of these chunks carry."""
    return [event.data for event in parsed(*chunks)]


class TestAnEvent:
    @pytest.mark.parametrize(
        ("stream", "carried"),
        [
            (b"data: a\n\n", ["a"]),
            (b"data:a\n\n", ["a"]),
            (b"data:  a\n\n", [" a"]),
            (b"data: a\r\n\r\n", ["a"]),
            (b"data: a\r\r", ["a"]),
            (b"data: a\ndata: b\n\n", ["a\nb"]),
            (b"data\n\n", [""]),
            (b"data: a: b\n\n", ["a: b"]),
            (b": comment\n\ndata: a\n\n", ["a"]),
            (b"id: 1\nretry: 5\nunknown: x\ndata: a\n\n", ["a"]),
            (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
            (b"data: a\n\ndata: b\n\n", ["a", "b"]),
            (b"\n\n\ndata: a\n\n\n\n", ["a"]),
            (b"event: ping\n\n", []),
            (b"", []),
        ],
    )
    def test_is_read_as_the_standard_says(self, stream: bytes, carried: list[str]) -> None:
        assert data(stream) == carried

    def test_has_the_name_that_it_was_given_and_no_other(self) -> None:
        events = parsed(b"event: error\ndata: a\n\ndata: b\n\n")

        assert [event.event for event in events] == ["error", None]

    def test_comes_out_as_soon_as_its_empty_line_is_there(self) -> None:
        parser = SseParser()

        assert parser.feed(b"data: a\r\n\r") == [ServerSentEvent(None, "a")]
        assert parser.feed(b"\ndata: b\n") == []
        assert parser.feed(b"\n") == [ServerSentEvent(None, "b")]

    def test_at_the_end_needs_no_empty_line(self) -> None:
        assert data(b"data: a\n\ndata: [DONE]") == ["a", "[DONE]"]

    def test_that_is_not_utf_8_is_read_as_far_as_it_goes(self) -> None:
        assert data(b"data: a\xffb\n\n") == ["a\ufffdb"]

    @given(name=st.none() | st.text("abc._", min_size=1, max_size=8), text=st.text(max_size=50))
    def test_that_we_write_is_read_as_it_was_meant(self, name: str | None, text: str) -> None:
        event = ServerSentEvent(name, text.replace("\r", ""))

        (read,) = parsed(rendered(event))

        assert read.event == event.event
        assert read.data == event.data.encode(errors="replace").decode()


class TestAnEventThatIsTooLarge:
    def test_breaks_the_stream_and_no_event_before_it(self) -> None:
        parser = SseParser(event_bytes_max=100)

        assert parser.feed(b"data: small\n\ndata: " + b"x" * 200) == [ServerSentEvent(None, "small")]
        with pytest.raises(UpstreamBroken):
            parser.feed(b"\n\n")

    @pytest.mark.parametrize("line", [b"data: " + b"x" * 30 + b"\n", b": " + b"x" * 30 + b"\n"])
    def test_of_many_lines_breaks_it_too(self, line: bytes) -> None:
        parser = SseParser(event_bytes_max=100)

        with pytest.raises(UpstreamBroken):
            parser.feed(line * 10)

    def test_breaks_it_at_the_end_as_well(self) -> None:
        parser = SseParser(event_bytes_max=100)
        parser.feed(b"data: a\n\n" + b"y" * 200)

        with pytest.raises(UpstreamBroken):
            parser.finish()

    def test_is_measured_by_event_and_not_by_stream(self) -> None:
        parser = SseParser(event_bytes_max=100)

        assert len(parser.feed(b"data: twenty bytes\n\n" * 1000)) == 1000


class TestChunks:
    @pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
    def test_cut_anywhere_give_the_same_events(self, recorded: Path) -> None:
        whole = recorded.read_bytes()
        expected = parsed(whole)

        for cut in range(len(whole) + 1):
            assert parsed(whole[:cut], whole[cut:]) == expected

    @pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
    def test_of_one_byte_give_the_same_events(self, recorded: Path) -> None:
        whole = recorded.read_bytes()

        assert parsed(*(bytes([byte]) for byte in whole)) == parsed(whole)

    @given(
        lines=st.lists(st.sampled_from([b"data: \xd1\x82", b"", b":", b"event: e", b"\xef\xbb\xbf"])), ends=st.data()
    )
    def test_with_any_line_ends_give_the_same_events(self, lines: list[bytes], ends: st.DataObject) -> None:
        whole = b"".join(line + ends.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])) for line in lines)
        cuts = sorted(ends.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
        borders = [0, *cuts, len(whole)]

        chunks = [whole[start:end] for start, end in pairwise(borders)]

        assert parsed(*chunks) == parsed(whole)
