"""What the till promises."""

import pytest
from till import change  # type: ignore[import-not-found]  # found by pytest's own pythonpath


class TestChange:
    """The customer gets back what was paid too much."""

    def test_what_was_paid_too_much_comes_back(self) -> None:
        assert change(5, 3) == 2

    def test_too_little_is_refused(self) -> None:
        with pytest.raises(ValueError, match="too little"):
            change(1, 3)
