"""Stories across all processes: nothing of ours is stubbed."""

from testkit.browser_fixtures import *  # noqa: F403 - pytest finds fixtures and hooks as names of this module
