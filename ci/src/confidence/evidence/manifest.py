"""The manifest: the digest of every file of a bundle, so that a later reader can name what is missing or changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidence.evidence.documents import read_document, write_document
from confidence.evidence.files import bundle_files, sha256_of
from confidence.model.evidence import ArtifactEntry, EvidenceProblem, Flaw
from confidence.model.shapes import MalformedRecordError

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_RAW_DOCUMENTS = frozenset({"plan.json", "run.json", "merge.json"})
_RAW_FOLDERS = (
    *("events/", "suites/", "logs/", "traces/", "screenshots/", "coverage/data/", "server/", "junit/foreign/"),
    "baseline/",
)
_DERIVED_INSIDE = frozenset({"traces/index.json"})


@dataclass(frozen=True, slots=True)
class ManifestCheck:
    """What a bundle's own manifest says about it; without a manifest nothing is known and nothing is wrong."""

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    problems: tuple[EvidenceProblem, ...] = ()


def is_raw(relative: str) -> bool:
    """Whether a file is what the run left, as opposed to what is derived from it and may be written again."""
    if relative in _RAW_DOCUMENTS:
        return True
    return relative.startswith(_RAW_FOLDERS) and relative not in _DERIVED_INSIDE


def write_manifest(run_dir: Path, run_id: str, entries: Iterable[ArtifactEntry]) -> Path:
    """Write ``manifest.json`` over all files; digests that were just computed are taken from the entries.

    The first manifest seals what the run left: judging a bundle again never accepts what was changed, added or taken
    out meanwhile. A manifest that cannot be read is left as it is, for the same reason.
    """
    target = run_dir / MANIFEST
    sealed: dict[str, tuple[str, int]] | None = None
    if target.exists():
        sealed, _ = read_document(target, MANIFEST, _files)
        if sealed is None:
            return target
    files = _current(run_dir, entries, derived_only=sealed is not None)
    files.update({path: entry for path, entry in (sealed or {}).items() if is_raw(path)})
    listed = {path: {"sha256": digest, "bytes": size} for path, (digest, size) in sorted(files.items())}
    write_document(target, {"schema_version": SCHEMA_VERSION, "run_id": run_id, "files": listed})
    return target


def _current(run_dir: Path, entries: Iterable[ArtifactEntry], *, derived_only: bool) -> dict[str, tuple[str, int]]:
    known = {entry.path: entry for entry in entries if entry.exists}
    files = {}
    for relative, path in bundle_files(run_dir):
        if derived_only and is_raw(relative):
            continue
        entry = known.get(relative)
        size = path.stat().st_size
        fresh = entry is not None and entry.bytes == size
        files[relative] = (entry.sha256 if entry is not None and fresh else sha256_of(path), size)
    return files


def check_manifest(run_dir: Path) -> ManifestCheck:
    """Compare the bundle with the manifest that its writer left."""
    if not (run_dir / MANIFEST).exists():
        return ManifestCheck()
    files, problem = read_document(run_dir / MANIFEST, MANIFEST, _files)
    if files is None:
        return ManifestCheck(problems=(problem,) if problem else ())
    missing, changed = [], []
    for relative, (digest, size) in files.items():
        path = run_dir / relative
        if not path.is_file():
            missing.append(relative)
        elif path.stat().st_size != size or sha256_of(path) != digest:
            changed.append(relative)
    added = [relative for relative, _ in bundle_files(run_dir) if relative not in files and is_raw(relative)]
    problems = [
        *(_problem(Flaw.MISSING, path, "was in the bundle and is not there any more") for path in missing),
        *(_problem(Flaw.CORRUPT, path, "was changed after the bundle was written") for path in changed),
        *(_problem(Flaw.FOREIGN, path, "was added after the bundle was written") for path in added),
    ]
    return ManifestCheck(tuple(missing), tuple(changed), tuple(problems))


def _problem(flaw: Flaw, path: str, what: str) -> EvidenceProblem:
    return EvidenceProblem(flaw, path, f"{path} {what}")


def _files(value: Any) -> dict[str, tuple[str, int]]:
    """Read the list of files.

    Raises:
        MalformedRecordError: no manifest, or a path in it that points out of the bundle.
    """
    try:
        files = {str(path): (str(entry["sha256"]), int(entry["bytes"])) for path, entry in value["files"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as absent:
        raise MalformedRecordError(f"no list of files: {absent}") from absent
    if outside := next((path for path in files if path.startswith("/") or ".." in path.split("/")), None):
        raise MalformedRecordError(f"{outside[:120]} points out of the bundle")
    return files
