"""A person sees which suite runs, how far it is and how long it takes."""

import io

from rich.console import Console

from ci.tests.unit.conftest import FakeClock, FakeLauncher, FakeProcess, MakeShop, MakeSpec
from confidence.execution.scheduling import Interruptions, Schedule
from confidence.execution.suite_run import SuiteRun
from confidence.progress import PlainProgress


class TestPlainProgress:
    """Elsewhere than on a terminal there are plain lines: few, but enough to see that something moves."""

    def test_start_waiting_and_end_are_told(
        self, make_shop: MakeShop, make_spec: MakeSpec, launcher: FakeLauncher, clock: FakeClock
    ) -> None:
        launcher.prepared["till"] = FakeProcess(clock, ends_at=20)
        shop, page = make_shop(make_spec("till", weight=2), make_spec("[red]receipts")), io.StringIO()
        watcher = PlainProgress(Console(file=page, width=200))

        Schedule(shop, watcher, Interruptions(), cores=2, start=lambda spec: SuiteRun(shop, spec)).run()

        assert page.getvalue().splitlines() == [
            "till: started (P0, ends within 600 s)",
            "till: 15 s, no test finished yet; 1 suites wait",
            "till: 20.0 s, no test finished yet; the command ended with 0",
            "[red]receipts: started (P0, ends within 600 s)",
            "[red]receipts: 1.0 s, no test finished yet; the command ended with 0",
        ]
