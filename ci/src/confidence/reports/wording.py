"""Words and figures as people read them, the same in every report."""

import re
from collections.abc import Sequence

from confidence.model.verdicts import Outcome, OverallStatus, Verdict

HEADLINES = {
    OverallStatus.PASS: "Green: every gate passed",
    OverallStatus.FAIL: "Red: a gate is violated",
    OverallStatus.NO_EVIDENCE: "No evidence: this is not a pass",
    OverallStatus.INFRASTRUCTURE: "The machine failed, not the product",
    OverallStatus.INTERRUPTED: "Interrupted before the end",
    OverallStatus.NOT_RUN: "Dry run: nothing was executed",
}
MINUTE_SECONDS = 60
SPANS_SHOWN_MAX = 12
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def headline(status: OverallStatus, verdicts: Sequence[Verdict]) -> str:
    """The verdict in one line; a red one says how many gates said no."""
    violated = sum(verdict.outcome is Outcome.VIOLATED for verdict in verdicts)
    if status is OverallStatus.FAIL and violated > 1:
        return f"Red: {violated} gates are violated"
    return HEADLINES[status]


def plain(text: str) -> str:
    r"""The text with characters that are invisible or turn its direction spelled out (``\x1b``)."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def duration(seconds: float) -> str:
    """``340 ms``, ``4.2 s``, ``2 min 05 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE_SECONDS)
    return f"{minutes} min {rest:02d} s"


def size(count: int) -> str:
    """``512 B``, ``4.0 KB``, ``12.3 MB``."""
    amount = float(count)
    for unit in ("B", "KB", "MB"):
        if amount < 1024:  # noqa: PLR2004 - what a kilobyte is
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"


def ranges(lines: Sequence[int]) -> str:
    """Ascending line numbers as ``3, 7-9``; the first few only."""
    spans: list[list[int]] = []
    for line in lines:
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    shown = [f"{first}" if first == last else f"{first}-{last}" for first, last in spans[:SPANS_SHOWN_MAX]]
    return ", ".join(shown) + (" …" if len(spans) > SPANS_SHOWN_MAX else "")
