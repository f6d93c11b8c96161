"""The ground on which stateful tests stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from backend.tests.properties.ground import Ground
from billing.kit.database import application_engine
from billing.kit.unit_of_work import snapshots, units_of_work


@pytest.fixture
def ground(own_database: URL) -> Iterator[Ground]:
    """A loop, an engine and a database that only the machine uses."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        engine = application_engine(own_database, connections_max=6)
        yield Ground(runner, units_of_work(engine), snapshots(engine))
        runner.run(engine.dispose())
