"""Hashes and names the files of a bundle."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

# Written last, about all the others.
UNLISTED = frozenset({"manifest.json", "attestation.json"})


def sha256_of(path: Path) -> str:
    """The digest of one file, read in pieces."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def bundle_files(run_dir: Path) -> Iterator[tuple[str, Path]]:
    """Every file of the bundle with its relative path, dotfiles too, in order; no links, nothing half written."""
    for path in sorted(run_dir.rglob("*")):
        relative = path.relative_to(run_dir).as_posix()
        if path.is_file() and not path.is_symlink() and relative not in UNLISTED and path.suffix != ".partial":
            yield relative, path
