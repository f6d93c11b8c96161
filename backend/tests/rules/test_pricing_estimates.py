"""An estimate is what the charges of such a plan would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import snapshot
from backend.tests.builders.wallets import rub
from billing.pricing.estimates import chat_cost, images_cost, speech_cost, transcription_cost
from billing.pricing.rules import Unit, price_of

TOKENS = st.integers(min_value=0, max_value=10_000)
TEXT = snapshot({Unit.INPUT: 60_000_000, Unit.OUTPUT: 240_000_000, Unit.REQUEST: 10_000})


class TestAGrowingChat:
    def test_sends_its_history_along_with_each_question(self) -> None:
        rates = snapshot({Unit.INPUT: 1_000_000, Unit.OUTPUT: 0})

        cost = chat_cost(rates, input_tokens=1_000, output_tokens=500, turns=3)

        assert cost.micros == 1_000 + 2_500 + 4_000

    @given(input_tokens=TOKENS, output_tokens=TOKENS, turns=st.integers(min_value=1, max_value=50))
    def test_costs_what_its_calls_would_be_charged_one_by_one(
        self, input_tokens: int, output_tokens: int, turns: int
    ) -> None:
        calls = [
            {
                Unit.INPUT: input_tokens + turn * (input_tokens + output_tokens),
                Unit.OUTPUT: output_tokens,
                Unit.REQUEST: int(input_tokens + output_tokens > 0),
            }
            for turn in range(turns)
        ]

        cost = chat_cost(TEXT, input_tokens=input_tokens, output_tokens=output_tokens, turns=turns)

        assert cost.micros == sum(price_of(call, TEXT).micros for call in calls)


class TestOtherPlans:
    def test_for_images_cost_each_image_at_its_size(self) -> None:
        by_pixel = snapshot({Unit.IMAGE_PIXELS: 4_000_000})
        by_class = snapshot({Unit.IMAGE_SMALL: 1, Unit.IMAGE_MEDIUM: 2, Unit.IMAGE_LARGE: 7})

        assert images_cost(by_pixel, count=2, width=1000, height=1000) == rub("8")
        assert images_cost(by_class, count=3, width=1024, height=1536).micros == 21
        assert images_cost(by_class, count=0, width=512, height=512).micros == 0

    def test_for_speech_count_characters_by_the_minute(self) -> None:
        rates = snapshot({Unit.SPEECH_CHARACTERS: 1_000_000_000, Unit.REQUEST: 5})

        assert speech_cost(rates, minutes=10).micros == 9_000_000 + 5
        assert speech_cost(rates, minutes=0).micros == 0

    def test_for_transcription_count_seconds(self) -> None:
        rates = snapshot({Unit.TRANSCRIPTION_MS: 500_000, Unit.REQUEST: 5})

        assert transcription_cost(rates, minutes=2).micros == 60_000_000 + 5
        assert transcription_cost(rates, minutes=0).micros == 0
