"""What the page about the gateway's routes says is what the gateway does."""

from __future__ import annotations

import re
from typing import get_type_hints

import pytest

from backend.tests.architecture.sources import ROOT
from billing.gateway.rules import (
    audio_length,
    completions_request,
    image_requests,
    multipart,
    responses_request,
    speech_request,
    text_inputs,
    transcription_request,
    unpriced,
)
from billing.gateway.rules.doors import Door
from billing.gateway.rules.readers import READERS
from billing.gateway.rules.whole_answers import WholeAnswer
from billing.gateway.schemas import QuoteView
from billing.gateway.settings import GatewaySettings
from billing.http_errors import STATUS_OF
from billing.pricing.rules import Unit
from billing.usage.rules import EstimateReason

PAGE = ROOT / "docs" / "reference" / "gateway-routes.md"
TEXT = PAGE.read_text(encoding="utf-8")
WORDS = frozenset(re.findall(r"`([^`\n]+)`", TEXT))


class TestTheRoutes:
    def test_are_all_in_the_table_with_whether_they_stream(self) -> None:
        """A client plans by this table."""
        rows = dict(re.findall(r"^\| `([a-z/]+)` \| [^|]+ \| (yes|no) \|$", TEXT, re.MULTILINE))

        streams = {Door.CHAT, Door.RESPONSES, Door.COMPLETIONS}
        assert rows == {door.value: "yes" if door in streams else "no" for door in READERS}
        assert {door for door in Door if not issubclass(_request_class(door), WholeAnswer)} == streams

    @pytest.mark.parametrize(
        "names",
        [
            responses_request._ELSEWHERE,  # noqa: SLF001 - the page lists the very names
            unpriced._TOOLS,  # noqa: SLF001 - the same
            unpriced._MEMBERS,  # noqa: SLF001 - the same
            unpriced._PARTS,  # noqa: SLF001 - the same
            set(unpriced._TIERS) - {None},  # noqa: SLF001 - the same
            transcription_request._AS_JSON,  # noqa: SLF001 - the same
            transcription_request._AS_TEXT,  # noqa: SLF001 - the same
            {reason.value for reason in EstimateReason if reason.value.startswith("usage_")},
            {unit.value for unit in Unit if unit.value.startswith(("image", "speech", "embedding", "requests"))},
            set(QuoteView.model_fields) - {"route", "model"},
        ],
    )
    def test_are_described_with_every_name_that_the_code_knows(self, names: object) -> None:
        """A name that the page leaves out is found by trying."""
        assert isinstance(names, set | frozenset | dict | tuple)
        assert set(names) <= WORDS

    def test_are_described_with_codes_that_exist(self) -> None:
        """A program that waits for a code that nobody sends waits for ever."""
        codes = {"unsupported_stream", "upstream_broken", "invalid_request", "price_unknown"}

        assert codes <= WORDS & set(STATUS_OF)

    def test_name_settings_that_exist(self) -> None:
        """An operator sets what the page names, and the server refuses what it does not know."""
        known = {field.alias for field in GatewaySettings.model_fields.values()}

        assert {word for word in WORDS if word.startswith("BILLING_")} <= known

    @pytest.mark.parametrize(
        ("sentence", "number"),
        [
            ("one for every {} characters", speech_request.CHARACTERS_PER_FREE_SECOND),
            ("has up to {} characters", speech_request._CHARACTERS_MAX),  # noqa: SLF001 - the page tells the number
            ("at {} kbit/s", audio_length._LOWEST_BYTES_PER_SECOND * 8 // 1000),  # noqa: SLF001 - the same
            ("faster than {} kbit/s", audio_length._HIGHEST_COMPRESSED_BYTES_PER_SECOND * 8 // 1000),  # noqa: SLF001 - the same
            ("formats {} MB a second", audio_length._HIGHEST_BYTES_PER_SECOND // 1_000_000),  # noqa: SLF001 - the same
            ("At most {} parts", multipart._PARTS_MAX),  # noqa: SLF001 - the same
            ("at most {} KiB", multipart._TEXT_BYTES_MAX // 1024),  # noqa: SLF001 - the same
            ("or up to {} as", image_requests._FILES_MAX),  # noqa: SLF001 - the same
            ("up to {} prompts", text_inputs._TEXTS_MAX),  # noqa: SLF001 - the same
            ("at {} characters a second", transcription_request._CHARACTERS_PER_SECOND_MAX),  # noqa: SLF001 - the same
            ("get at most {}.", completions_request._CHOICES_IN_ALL_MAX),  # noqa: SLF001 - the same
        ],
    )
    def test_have_the_limits_that_the_page_tells(self, sentence: str, number: int) -> None:
        """A limit that was changed in one place only surprises somebody."""
        told = TEXT.replace("\n", " ").replace("100 000", "100000")

        assert sentence.format(number) in told


def _request_class(door: Door) -> type[object]:
    """What a door's reader makes."""
    made: type[object] = get_type_hints(READERS[door])["return"]
    return made
