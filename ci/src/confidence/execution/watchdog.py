"""Decides, from outside, when a suite has had its time: a process that hangs cannot be trusted to end itself."""

from dataclasses import dataclass

from confidence.model.endings import Ending
from confidence.model.plan import SuiteSpec


@dataclass(frozen=True, slots=True)
class Expiry:
    """A suite's time is over, and why."""

    ending: Ending
    sentence: str


def expiry_of(spec: SuiteSpec, *, age_seconds: float, silence_seconds: float) -> Expiry | None:
    """Whether the suite must be ended now.

    Args:
        spec: the suite with its limits.
        age_seconds: since the suite was started.
        silence_seconds: since its last sign of life.
    """
    if age_seconds >= spec.timeout_suite_seconds:
        return Expiry(Ending.TIMED_OUT, f"the suite did not end within {spec.timeout_suite_seconds:g} s")
    if silence_seconds >= spec.timeout_idle_seconds:
        return Expiry(Ending.IDLE, f"no event came for {spec.timeout_idle_seconds:g} s")
    return None
