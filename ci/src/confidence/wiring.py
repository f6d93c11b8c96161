"""The one place that knows which real thing stands behind each interface."""

import os
import secrets
import sys
from pathlib import Path

from confidence.adapters.clock import MachineClock
from confidence.adapters.git import GitTree
from confidence.adapters.processes import MachineLauncher
from confidence.gates import GATE_NAMES
from confidence.pipeline import World
from confidence.suites.configuration import read_configuration
from confidence.suites.errors import ConfigurationError

CONFIGURATION_PLACES = ("ci/confidence.toml", "confidence.toml")


def find_tree(start: Path) -> tuple[Path, Path]:
    """The repository's root and its configuration, seen from a folder inside it.

    Raises:
        ConfigurationError: there is no configuration here nor in any folder above.
    """
    for folder in (start, *start.parents):
        for place in CONFIGURATION_PLACES:
            if (folder / place).is_file():
                return folder, folder / place
    raise ConfigurationError(f"no {' or '.join(CONFIGURATION_PLACES)} in {start} or above")


def open_world(start: Path) -> World:
    """Everything that a run needs, for the repository around a folder.

    Raises:
        ConfigurationError: there is no configuration, or it makes no sense.
    """
    tree, path = find_tree(start)
    return World(
        tree=tree,
        configuration=read_configuration(path, GATE_NAMES),
        clock=MachineClock(),
        launcher=MachineLauncher(),
        source_tree=GitTree(tree),
        environment=dict(os.environ),
        python=sys.executable,
        chance=lambda: secrets.token_hex(3),
    )
