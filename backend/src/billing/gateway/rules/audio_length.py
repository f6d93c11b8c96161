"""How long a recording is: what its file says, where that can be believed, else what so many bytes can be.

Sources of the rates: RFC 6716 (Opus speaks from 6 kbit/s on); of WAV: Microsoft's multimedia data standards update.
"""

from __future__ import annotations

import io
import math
import struct
from fractions import Fraction

from tinytag import TinyTag, TinyTagException

LENGTH_MAX_MS = 24 * 60 * 60 * 1000
"""A longer recording is a wrong number."""

_LOWEST_BYTES_PER_SECOND = 750
# Compressed sound of today stays below this, and lossless sound below that of eight channels in studio quality.
_HIGHEST_COMPRESSED_BYTES_PER_SECOND = 640_000 // 8
_HIGHEST_BYTES_PER_SECOND = 8 * 4 * 192_000
_LOSSLESS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC")
_READS_MAX = 100_000
_WAV_PLAIN = frozenset({0x0001, 0x0003, 0xFFFE})  # integers, floats, and either of them with a longer description
_WAV_CHUNK = struct.Struct("<4sI")
_WAV_FORMAT = struct.Struct("<HHIIHH")


def length_bound_ms(content: bytes) -> int:
    """How long so many bytes can be as speech at the lowest rate of any common format, rounded up."""
    return _milliseconds(Fraction(max(1, len(content)), _LOWEST_BYTES_PER_SECOND))


def length_of_recording_ms(content: bytes) -> int | None:
    """What the file says about its own length; None where it says nothing, or what its bytes contradict.

    A head that calls a large file short is not believed: the client wrote it, and would pay for seconds only.
    """
    told = _wav_seconds(content) or _told_seconds(content)
    if told is None or told <= 0:
        return None
    milliseconds = _milliseconds(told)
    is_believed = _shortest_ms(content) <= milliseconds <= LENGTH_MAX_MS
    return milliseconds if is_believed else None


def milliseconds_of(seconds: object) -> int | None:
    """A provider's number of seconds, rounded up to the next millisecond; None for what is no sane number."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LENGTH_MAX_MS // 1000:
        return None
    return _milliseconds(Fraction(str(seconds)))


class _BoundedFile(io.BytesIO):
    """Ends after so many reads: a file made of nothing but false beginnings would be searched byte by byte."""

    reads_left = _READS_MAX

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ValueError("the file has no end of beginnings")
        return super().read(size)


def _told_seconds(content: bytes) -> Fraction | None:
    try:
        told = TinyTag.get(file_obj=_BoundedFile(content), tags=False).duration
    except TinyTagException:
        return None
    return Fraction(told) if told is not None and math.isfinite(told) else None


def _wav_seconds(content: bytes) -> Fraction | None:
    """The length of plain samples is a matter of their number, whatever size the chunk around them claims."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return None
    place, bytes_per_second = 12, 0
    while place + _WAV_CHUNK.size <= len(content):
        name, size = _WAV_CHUNK.unpack_from(content, place)
        place += _WAV_CHUNK.size
        if name == b"fmt " and place + _WAV_FORMAT.size <= len(content):
            kind, channels, rate, _, _, bits = _WAV_FORMAT.unpack_from(content, place)
            bytes_per_second = channels * rate * (bits // 8) if kind in _WAV_PLAIN else 0
        if name == b"data":
            return Fraction(len(content) - place, bytes_per_second) if bytes_per_second else None
        place += size + size % 2
    return None


def _shortest_ms(content: bytes) -> int:
    """Shorter than this a file of so many bytes cannot be, at the highest rate of its kind of format."""
    is_lossless = content.startswith(_LOSSLESS)
    rate = _HIGHEST_BYTES_PER_SECOND if is_lossless else _HIGHEST_COMPRESSED_BYTES_PER_SECOND
    return len(content) * 1000 // rate


def _milliseconds(seconds: Fraction) -> int:
    return math.ceil(seconds * 1000)
