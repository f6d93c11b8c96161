"""How large a picture really is: read from the first bytes of PNG, JPEG and WebP files.

Sources: the PNG specification (IHDR), ITU T.81 (start of frame), the WebP container specification (VP8, VP8L, VP8X).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

Size = tuple[int, int]
"""Width and height in pixels."""

SIDE_MAX = 32_768
"""A picture with a longer side is no picture but a wrong number."""

_ASKED = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_DATA_URL = re.compile(r"data:[a-z0-9/+.-]{0,80};base64,", re.ASCII | re.IGNORECASE)
# The header is among the first bytes; only in a JPEG other segments, like a preview, can stand before it.
_HEAD_CHARACTERS = 4 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_VP8L_SIGNATURE = 0x2F


def size_in_words(text: object) -> Size | None:
    """The size that a text like `1024x1536` names, or None for any other value."""
    found = _ASKED.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else _plausible(int(found[1]), int(found[2]))


def size_of_base64(text: str) -> Size | None:
    """The size of a picture in base64, with or without the head of a data URL; None for what is none that we know."""
    bare = _DATA_URL.sub("", text[:100], count=1) + text[100:]
    return size_of_picture(_decoded(bare[:_HEAD_CHARACTERS])) or size_of_picture(_decoded(bare))


def size_of_picture(content: bytes) -> Size | None:
    """The size of a PNG, JPEG or WebP file, or None if it is none of them, cut off before its size, or absurd."""
    readers: tuple[tuple[bool, Callable[[bytes], Size | None]], ...] = (
        (content.startswith(_PNG), _png),
        (content.startswith(_JPEG), _jpeg),
        (content[:4] == b"RIFF" and content[8:12] == b"WEBP", _webp),
    )
    found = next((reader(content) for is_it, reader in readers if is_it), None)
    return None if found is None else _plausible(*found)


def _plausible(width: int, height: int) -> Size | None:
    return (width, height) if 1 <= width <= SIDE_MAX and 1 <= height <= SIDE_MAX else None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except ValueError:
        return b""


def _png(content: bytes) -> Size | None:
    if content[12:16] != b"IHDR":
        return None
    return _number(content, 16, 4), _number(content, 20, 4)


def _jpeg(content: bytes) -> Size | None:
    """Walks from segment to segment until one begins a frame; each step goes forward, so it ends."""
    place = len(_JPEG)
    while place + 9 <= len(content) and content[place] == 0xFF:  # noqa: PLR2004 - what every marker begins with
        marker = content[place + 1]
        if marker in _JPEG_FRAMES:
            return _number(content, place + 7, 2), _number(content, place + 5, 2)
        if marker == _JPEG_SCAN:
            return None
        is_filler = marker == 0xFF  # noqa: PLR2004 - markers may be preceded by any number of these
        if is_filler:
            place += 1
        elif marker in _JPEG_STANDALONE:
            place += 2
        else:
            place += 2 + max(2, _number(content, place + 2, 2))
    return None


def _webp(content: bytes) -> Size | None:
    kind = content[12:16]
    if kind == b"VP8X" and len(content) >= 30:  # noqa: PLR2004 - where the two sizes end
        return 1 + _little(content, 24, 3), 1 + _little(content, 27, 3)
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        return _little(content, 26, 2) & 0x3FFF, _little(content, 28, 2) & 0x3FFF
    if kind == b"VP8L" and len(content) >= 25 and content[20] == _VP8L_SIGNATURE:  # noqa: PLR2004 - where the sizes end
        bits = _little(content, 21, 4)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _number(content: bytes, begins: int, length: int) -> int:
    """A whole number, most significant byte first; 0 where the file ends before it."""
    piece = content[begins : begins + length]
    return int.from_bytes(piece, "big") if len(piece) == length else 0


def _little(content: bytes, begins: int, length: int) -> int:
    piece = content[begins : begins + length]
    return int.from_bytes(piece, "little") if len(piece) == length else 0
