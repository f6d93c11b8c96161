"""Reports: the verdict and its reasons for machines, for a comment under a change, and for a release owner."""

from collections.abc import Sequence
from pathlib import Path

from confidence.evidence.artifacts import kind_of
from confidence.evidence.documents import write_document, write_text
from confidence.evidence.files import sha256_of
from confidence.evidence.manifest import write_manifest
from confidence.model.evidence import ArtifactEntry, Evidence
from confidence.model.verdicts import Verdict
from confidence.reports.html import render_html
from confidence.reports.markdown import render_markdown
from confidence.reports.summary_document import Summary, summarise

__all__ = ["Summary", "write_reports"]


def write_reports(run_dir: Path, evidence: Evidence, verdicts: Sequence[Verdict]) -> Summary:
    """Write ``report.html``, ``summary.md``, ``summary.json`` and, over all files of the bundle, ``manifest.json``.

    The two for people are entries of the artifact index, so they are written before the one for machines.
    """
    summary = summarise(evidence, verdicts, evidence.artifacts)
    write_text(run_dir / "report.html", render_html(evidence, summary))
    write_text(run_dir / "summary.md", render_markdown(evidence, summary))
    written = [_entry(run_dir, name) for name in ("report.html", "summary.md")]
    summary = summarise(evidence, verdicts, [*evidence.artifacts, *written])
    write_document(run_dir / "summary.json", summary.document)
    write_manifest(run_dir, evidence.plan.run_id, [*evidence.artifacts, *written])
    return summary


def _entry(run_dir: Path, name: str) -> ArtifactEntry:
    path = run_dir / name
    return ArtifactEntry(name, kind_of(name), sha256_of(path), path.stat().st_size, required=True, exists=True)
