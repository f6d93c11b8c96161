"""What the reference says is what the code does."""

from __future__ import annotations

import pytest

from backend.tests.architecture.reference_pages import FOLDER, PAGES
from billing.wiring.settings import GROUPS


class TestPages:
    @pytest.mark.parametrize("name", sorted(PAGES))
    def test_the_page_says_what_the_code_does(self, name: str) -> None:
        """An operator believes the page, and sets what nobody reads. `nox -s docs` writes it anew."""
        assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name]()


class TestSettings:
    def test_every_setting_says_what_it_does(self) -> None:
        """A variable without a description is set by guesswork."""
        silent = [
            f"{group.__name__}.{name}"
            for group in GROUPS
            for name, field in group.model_fields.items()
            if not field.description or not field.alias
        ]

        assert silent == []

    def test_no_variable_is_read_by_two_groups(self) -> None:
        """Two readings of one variable can disagree about its default."""
        variables = [str(field.alias) for group in GROUPS for field in group.model_fields.values()]

        assert len(set(variables)) == len(variables)
