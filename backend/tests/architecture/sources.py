"""The repository as text: its tracked files, its modules, its comments."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one file, as a failing test should show it."""

    path: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.text.strip()}"


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that git tracks, or would if it were added, and that is there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


@cache
def text_of(path: Path) -> str | None:
    """The file's text; None for pictures, fonts and the like."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def modules(*, under: str = "") -> Iterator[tuple[str, str]]:
    """Path and source of every tracked Python module below this folder."""
    for path in tracked_files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and name.startswith(under):
            yield name, text_of(path) or ""


@cache
def tree_of(source: str) -> ast.Module:
    """The module's syntax."""
    return ast.parse(source)


def comments(name: str, source: str) -> Iterator[Line]:
    """Every line that ends in a comment; words in strings are none."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Line(name, token.start[0], lines[token.start[0] - 1][token.start[1] :])
