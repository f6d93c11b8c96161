"""What the runner tells the processes of a suite about the run, through their environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Whose evidence a process writes, and where."""

    run_id: str
    run_dir: Path
    suite: str
    plan_digest: str
    commit: str
    events_dir: Path

    @staticmethod
    def of_environment(environment: Mapping[str, str]) -> "RunIdentity | None":
        """The identity of the run, or nothing when the process was started by hand."""
        if not environment.get("CONFIDENCE_EVENTS_DIR"):
            return None
        return RunIdentity(
            run_id=environment["CONFIDENCE_RUN_ID"],
            run_dir=Path(environment["CONFIDENCE_RUN_DIR"]),
            suite=environment["CONFIDENCE_SUITE"],
            plan_digest=environment["CONFIDENCE_PLAN_DIGEST"],
            commit=environment["CONFIDENCE_COMMIT"],
            events_dir=Path(environment["CONFIDENCE_EVENTS_DIR"]),
        )
