"""Evidence: what a run directory holds, read strictly, folded into records, and joined with other bundles."""

from confidence.evidence.bundle import assemble
from confidence.evidence.merging import merge

__all__ = ["assemble", "merge"]
