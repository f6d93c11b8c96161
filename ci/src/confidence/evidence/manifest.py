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


@dataclass(frozen=True, slots=True)
class ManifestCheck:
    """What a bundle's own manifest says about it; without a manifest nothing is known and nothing is wrong."""

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    problems: tuple[EvidenceProblem, ...] = ()


def write_manifest(run_dir: Path, run_id: str, entries: Iterable[ArtifactEntry]) -> Path:
    """Write ``manifest.json`` over all files; digests that were just computed are taken from the entries."""
    known = {entry.path: entry for entry in entries if entry.exists}
    files = {}
    for relative, path in bundle_files(run_dir):
        entry = known.get(relative)
        size = path.stat().st_size
        digest = entry.sha256 if entry is not None and entry.bytes == size else sha256_of(path)
        files[relative] = {"sha256": digest, "bytes": size}
    target = run_dir / MANIFEST
    write_document(target, {"schema_version": SCHEMA_VERSION, "run_id": run_id, "files": files})
    return target


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
    problems = [
        *(_problem(Flaw.MISSING, path, "was in the bundle and is not there any more") for path in missing),
        *(_problem(Flaw.CORRUPT, path, "was changed after the bundle was written") for path in changed),
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
