"""Stories across all processes: nothing of ours is stubbed."""

from __future__ import annotations

import pytest

from testkit.browser_fixtures import *  # noqa: F403 - pytest finds fixtures and hooks as names of this module


@pytest.fixture(scope="session")
def stack_customers() -> int:
    """Enough for all stories, whichever worker tells them."""
    return 20
