"""What can be a notification, and when two are the same."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.webhooks.errors import WebhookMalformed
from billing.webhooks.rules import DEPTH_MAX, depth_of, digest_of_body, parse_body, wait_after

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class TestTheBody:
    def test_that_is_a_json_object_is_taken_as_it_is(self) -> None:
        assert parse_body(' {"событие": 1} '.encode()) == ' {"событие": 1} '

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"text"',
            b"{",
            b'{"a": 1} {"b": 2}',
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b"{'a': 1}",
            b'{"a": "\x00"}',
            b'{"a": "\xff"}',
            '{"a": 1}'.encode("utf-16"),
            b'{"a": ' + b"9" * 5000 + b"}",
            b'{"a": ' + b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"}",
            b"[" * 200_000,
            b'{"a": "' + b"\\" * 200_001,
        ],
    )
    def test_that_is_anything_else_is_refused(self, body: bytes) -> None:
        with pytest.raises(WebhookMalformed):
            parse_body(body)

    def test_may_hold_any_number_of_brackets_in_its_texts(self) -> None:
        body = json.dumps({"a": "[" * 1000, 'b"': "{\\" * 1000}).encode()

        assert parse_body(body)

    @given(JSON)
    def test_is_as_deep_as_its_nesting(self, value: object) -> None:
        def depth(inner: object) -> int:
            if isinstance(inner, dict):
                return 1 + max(map(depth, inner.values()), default=0)
            return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0

        assert depth_of(json.dumps(value)) == depth(value)


class TestTheDigest:
    def test_is_equal_however_the_event_is_written(self) -> None:
        assert digest_of_body('{"a": 1, "b": "é"}') == digest_of_body('{"b":"\\u00e9","a":1}')

    def test_differs_for_different_events(self) -> None:
        assert digest_of_body('{"a": 1}') != digest_of_body('{"a": "1"}')

    def test_takes_texts_that_no_encoding_can_write(self) -> None:
        assert digest_of_body('{"a": "\\ud800"}')


class TestWaiting:
    def test_takes_longer_each_time_and_ends(self) -> None:
        waits = [wait_after(attempts) for attempts in range(1, 9)]

        known = [wait for wait in waits if wait is not None]
        assert known == sorted(known)
        assert (waits[0], waits[-1]) == (timedelta(seconds=5), None)
