"""What tests steer and watch of one simulator: the faults to come, the answers that wait, the calls so far."""

from dataclasses import dataclass, field

from testkit.simulators.calls import CallLog
from testkit.simulators.faults import FaultPlan
from testkit.simulators.pauses import Pauses


@dataclass(frozen=True, slots=True)
class Stage:
    """Empty to begin with."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    pauses: Pauses = field(default_factory=Pauses)
    calls: CallLog = field(default_factory=CallLog)

    def clear(self) -> None:
        """Forgets faults and calls; no answer waits any longer."""
        self.plan.clear()
        self.pauses.resume()
        self.calls.clear()
