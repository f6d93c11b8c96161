"""What a merge leaves about itself: which bundles went in, whose events are therefore at home, and what was wrong."""

from dataclasses import dataclass
from typing import Any

from confidence.model.evidence import EvidenceProblem
from confidence.model.shapes import from_json, to_json

MERGE_FILE = "merge.json"


@dataclass(frozen=True, slots=True)
class MergeRecord:
    """``merge.json`` of a merged bundle."""

    sources: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    problems: tuple[EvidenceProblem, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the file."""
        written: dict[str, Any] = to_json(self)
        return written

    @staticmethod
    def from_json(value: Any) -> "MergeRecord":
        """Read it back.

        Raises:
            MalformedRecordError: a member is missing or has another type.
        """
        return from_json(MergeRecord, value, MERGE_FILE)
