"""The estimator reads what people type and asks the rules of pricing; it never guesses a number."""

from __future__ import annotations

import pytest

from backend.tests.builders.pricing import snapshot
from backend.tests.builders.wallets import RUB, rub
from billing.pages.estimator import EstimatorView, estimate
from billing.pricing.rules import IMAGE_CLASSES, Unit

MODELS = [
    snapshot({Unit.INPUT: 1_000_000, Unit.OUTPUT: 1_000_000}),
    snapshot(dict(zip(IMAGE_CLASSES, (1_000_000, 2_000_000, 5_000_000), strict=True))),
    snapshot({Unit.SPEECH_CHARACTERS: 1_000_000}),
    snapshot({Unit.TRANSCRIPTION_MS: 1_000_000}),
]


def estimated(**form: str) -> EstimatorView:
    """A plan of nothing but what the form says."""
    return estimate(MODELS, {"input_tokens": "0", "output_tokens": "0", **form}, RUB)


class TestAnEstimate:
    @pytest.mark.parametrize(
        ("form", "total"),
        [
            ({}, "0"),
            ({"input_tokens": "1 000", "turns": "1"}, "0.001"),
            ({"images": "3", "image_size": "512x512"}, "3"),
            ({"images": "3"}, "6"),
            ({"images": "1", "image_size": "1536x1024"}, "5"),
            ({"speech_minutes": "10"}, "0.009"),
            ({"transcription_minutes": "2"}, "120"),
            ({"transcription_minutes": "2", "images": "1"}, "122"),
            ({"transcription_minutes": ""}, "0"),
        ],
        ids=str,
    )
    def test_is_the_sum_of_its_parts(self, form: dict[str, str], total: str) -> None:
        assert estimated(**form).total == rub(total)

    def test_of_a_number_that_makes_no_sense_is_not_there(self) -> None:
        view = estimated(images="1e3", transcription_minutes="1")

        assert view.total is None
        assert view.refusal is not None
        assert view.refusal.field == "images"
        assert [part.cost is None for part in view.parts] == [False, True, False, False]

    def test_has_no_part_for_what_no_model_does(self) -> None:
        view = estimate(MODELS[:1], {}, RUB)

        assert [part.modality for part in view.parts] == ["text"]

    def test_of_no_models_at_all_is_an_empty_form(self) -> None:
        view = estimate([], {}, RUB)

        assert (view.parts, view.total) == ((), rub("0"))
