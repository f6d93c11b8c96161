"""A cursor leads back to its place, and only our own cursors lead anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kit.errors import InvalidInput
from billing.kit.pagination import decode_cursor, encode_cursor


class TestCursors:
    @given(position=st.text())
    def test_every_position_survives_the_way_out_and_back(self, position: str) -> None:
        cursor = encode_cursor(position)

        assert decode_cursor(cursor) == position
        assert cursor.isascii()
        assert not set(cursor) & set("+/=&?# ")

    def test_no_cursor_begins_at_the_start(self) -> None:
        assert decode_cursor(None) is None

    @pytest.mark.parametrize("cursor", ["", "x", "opr_1", "!!!!", "bnVsbA", "WzFd", "W10", "WyJhIiwiYiJd", "é", "%00"])
    def test_what_we_never_gave_out_is_refused(self, cursor: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            decode_cursor(cursor)

        assert refusal.value.field == "cursor"

    @given(cursor=st.text())
    def test_any_text_is_read_or_refused_but_never_breaks_us(self, cursor: str) -> None:
        try:
            position = decode_cursor(cursor)
        except InvalidInput:
            return

        assert isinstance(position, str)
