"""The reference page of the simulators names everything that they offer."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI

from testkit.simulators.deliveries import Delivery, LineEnd, Stop
from testkit.simulators.faults import FaultKind, UsagePlacement, UsageVariant
from testkit.simulators.model import create_model
from testkit.simulators.receiver import create_receiver
from testkit.simulators.stripe import create_stripe
from testkit.simulators.yookassa import create_yookassa

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "simulators.md"


@pytest.fixture(scope="module")
def page() -> str:
    """The page's text."""
    return PAGE.read_text(encoding="utf-8")


def control_calls(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path of every control call, as the application itself describes them."""
    return {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        if path.startswith("/control/")
        for method in methods
    }


class TestTheReferencePage:
    @pytest.mark.parametrize("create", [create_yookassa, create_stripe, create_model, create_receiver])
    def test_it_names_every_control_call(self, page: str, create: Callable[[], FastAPI]) -> None:
        offered = control_calls(create())

        named = {(method, path) for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/control/[^`?]*)", page)}

        assert offered
        assert offered - named == set()

    def test_it_names_every_fault(self, page: str) -> None:
        missing = [kind for kind in [*FaultKind, *UsageVariant, *UsagePlacement] if f"`{kind}`" not in page]

        assert missing == []

    def test_it_names_every_way_of_an_answer(self, page: str) -> None:
        missing = [name for name in [*Delivery.model_fields, *LineEnd, *Stop] if f"`{name}`" not in page]

        assert missing == []
