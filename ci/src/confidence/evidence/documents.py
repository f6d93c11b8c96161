"""Reads and writes the single JSON documents of a bundle; a broken one is named, never guessed around."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from confidence.model.evidence import EvidenceProblem, Flaw
from confidence.model.shapes import MalformedRecordError

DOCUMENT_BYTES_MAX = 256 * 1024**2


Record = TypeVar("Record")


def read_document(
    path: Path, source: str, reader: Callable[[Any], Record]
) -> tuple[Record | None, EvidenceProblem | None]:
    """The document, or what is wrong with it; exactly one of the two is given."""
    raw, problem = _read_bytes(path, source)
    if raw is None:
        return None, problem
    try:
        return reader(json.loads(raw.decode("utf-8"))), None
    except (MalformedRecordError, UnicodeDecodeError, RecursionError) as malformed:
        return None, EvidenceProblem(Flaw.CORRUPT, source, f"{source} has not the shape it promises: {malformed}")
    except ValueError as broken:
        return None, EvidenceProblem(Flaw.TRUNCATED, source, f"{source} is no whole JSON document: {broken}")
    except (KeyError, TypeError, AttributeError) as absent:
        return None, EvidenceProblem(Flaw.CORRUPT, source, f"{source} has not the shape it promises: no {absent}")


def _read_bytes(path: Path, source: str) -> tuple[bytes | None, EvidenceProblem | None]:
    try:
        if path.is_symlink():
            return None, EvidenceProblem(Flaw.FOREIGN, source, f"{source} is a link: it may point out of the bundle")
        if path.stat().st_size > DOCUMENT_BYTES_MAX:
            return None, EvidenceProblem(Flaw.CORRUPT, source, f"{source} is larger than any document of a bundle")
        raw = path.read_bytes()
    except OSError as unreadable:
        reason = unreadable.strerror or type(unreadable).__name__
        return None, EvidenceProblem(Flaw.MISSING, source, f"{source} cannot be read: {reason}")
    if not raw.strip():
        return None, EvidenceProblem(Flaw.EMPTY, source, f"{source} is empty")
    return raw, None


def write_document(path: Path, value: Any) -> None:
    """Write one document whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write one text file whole or not at all; lone surrogates of hostile names are spelled out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(text.encode("utf-8", errors="backslashreplace"))
    os.replace(partial, path)  # noqa: PTH105 - the atomic one, said in the word that promises it
