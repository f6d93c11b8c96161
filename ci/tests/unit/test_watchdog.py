"""When a suite has had its time."""

import pytest

from ci.tests.unit.conftest import MakeSpec
from confidence.execution.watchdog import expiry_of
from confidence.model.endings import Ending


class TestExpiry:
    """The deadline counts from the start, silence from the last sign of life."""

    @pytest.mark.parametrize(
        ("age", "silence", "ending"),
        [
            (9.9, 3.9, None),
            (9.9, 4.0, Ending.IDLE),
            (10.0, 0.0, Ending.TIMED_OUT),
            (10.0, 4.0, Ending.TIMED_OUT),
        ],
    )
    def test_a_limit_is_reached_at_its_very_second(
        self, make_spec: MakeSpec, age: float, silence: float, ending: Ending | None
    ) -> None:
        spec = make_spec(timeout_suite_seconds=10.0, timeout_idle_seconds=4.0)

        expiry = expiry_of(spec, age_seconds=age, silence_seconds=silence)

        assert (expiry.ending if expiry else None) is ending
