"""Every refusal has one code, one status, and a place in its capability's tree."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from backend.tests.architecture.refusals import all_modules, refusals
from billing.http_errors import STATUS_OF
from billing.kit.errors import BillingError


class TestCodes:
    def test_every_refusal_has_a_code_of_its_own(self) -> None:
        """Clients branch on codes: two refusals with one code cannot be told apart, an inherited one lies."""
        inherited = [kind.__qualname__ for kind in refusals() if "code" not in vars(kind)]
        shared = [code for code, times in Counter(kind.code for kind in refusals()).items() if times > 1]

        assert (inherited, shared) == ([], [])

    def test_every_code_has_a_status(self) -> None:
        """Without one the refusal itself fails, and the client reads a bug of ours instead of its reason."""
        assert {kind.code for kind in refusals()} - set(STATUS_OF) == set()

    def test_every_status_belongs_to_a_refusal_that_exists(self) -> None:
        """A row without a class is a promise that nobody keeps."""
        assert set(STATUS_OF) - {kind.code for kind in refusals()} == set()

    def test_no_refusal_is_a_success(self) -> None:
        """No 2xx on failure (G11), but for work that goes on."""
        assert {code for code, status in STATUS_OF.items() if status < 400} <= {"provider_ambiguous"}


class TestTrees:
    @pytest.mark.parametrize(
        "module", [one for one in all_modules() if one.__name__.endswith(".errors")], ids=lambda module: module.__name__
    )
    def test_the_tree_in_the_docstring_names_every_class_of_its_file(self, module: ModuleType) -> None:
        """Who looks for what a capability refuses reads the tree; what it lacks does not exist for the reader."""
        declared = {
            name
            for name, kind in vars(module).items()
            if isinstance(kind, type) and issubclass(kind, BillingError) and kind.__module__ == module.__name__
        }

        assert {name for name in declared if name not in str(module.__doc__).split()} == set()
