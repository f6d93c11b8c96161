"""The length of a recording: from its file where that can be believed, from its bytes otherwise."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.rules.audio_length import (
    LENGTH_MAX_MS,
    length_bound_ms,
    length_of_recording_ms,
    milliseconds_of,
)
from testkit.simulators.model.audio import wav

FRAME = bytes.fromhex("fffb10c4") + bytes(100)
"""A silent frame of MPEG-1 layer III: 1152 samples at 44.1 kHz."""


def mp3(frames: int, *, told: int | None = None) -> bytes:
    """So many frames; `told` puts a head before them that tells another number."""
    head = b""
    if told is not None:
        xing = bytes(17) + b"Xing" + struct.pack(">III", 3, told, told * len(FRAME))
        head = (FRAME[:4] + xing).ljust(len(FRAME), b"\0")
    return head + FRAME * frames


def flac(samples: int, *, size: int) -> bytes:
    """A FLAC head that tells so many samples at 16 kHz, in a file of this size."""
    info = bytearray(34)
    info[10:18] = (16_000 << 44 | 15 << 36 | samples).to_bytes(8, "big")
    return (b"fLaC\x80\x00\x00\x22" + bytes(info)).ljust(size, b"\0")


class TestTheLengthOfARecording:
    @pytest.mark.parametrize("milliseconds", [1, 999, 1000, 61_500])
    def test_of_plain_samples_follows_from_their_number(self, milliseconds: int) -> None:
        assert length_of_recording_ms(wav(milliseconds)) == milliseconds

    @pytest.mark.parametrize("told", [0, 44, 0xFFFFFFFF])
    def test_of_plain_samples_is_not_what_the_head_claims(self, told: int) -> None:
        sound = bytearray(wav(60_000))
        sound[40:44] = struct.pack("<I", told)

        assert length_of_recording_ms(bytes(sound)) == 60_000

    def test_of_a_compressed_file_is_what_its_frames_say(self) -> None:
        length = length_of_recording_ms(mp3(400))

        assert length is not None
        assert abs(length - 400 * 1152 / 44.1) < 30

    def test_told_by_the_file_is_taken_where_the_bytes_allow_it(self) -> None:
        assert length_of_recording_ms(flac(16_000 * 90, size=500_000)) == 90_000

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"text",
            bytes(5000),
            b"RIFF\0\0\0\0WAVE",
            wav(5000)[:30],
            flac(0, size=1000),
            flac(1, size=10_000_000),
            flac(2**36 - 1, size=1000),
            mp3(3000, told=2),
            b"ID3\x04\0\0\0\0\0\0" + b"\xff\x00" * 250_000,
        ],
        ids=[
            *("empty", "text", "zeros", "head only", "cut head", "no samples", "too short", "too long"),
            *("forged head", "false beginnings"),
        ],
    )
    def test_that_cannot_be_known_or_believed_is_none(self, content: bytes) -> None:
        assert length_of_recording_ms(content) is None

    def test_of_samples_that_are_coded_is_not_guessed_by_their_number(self) -> None:
        sound = bytearray(wav(5000))
        sound[20:22] = struct.pack("<H", 0x0011)

        assert length_of_recording_ms(bytes(sound)) is None

    @given(content=st.binary(max_size=400), head=st.sampled_from([b"", b"OggS", b"fLaC", b"ID3", b"RIFF\0\0\0\0WAVE"]))
    def test_of_whatever_bytes_is_a_length_or_none(self, content: bytes, head: bytes) -> None:
        length = length_of_recording_ms(head + content)

        assert length is None or 0 < length <= LENGTH_MAX_MS


class TestTheBoundByBytes:
    @pytest.mark.parametrize(("size", "milliseconds"), [(0, 2), (750, 1000), (751, 1002)])
    def test_is_speech_at_six_kilobits_a_second(self, size: int, milliseconds: int) -> None:
        assert length_bound_ms(bytes(size)) == milliseconds

    @given(milliseconds=st.integers(10, 20_000))
    def test_is_never_below_the_length_of_plain_samples(self, milliseconds: int) -> None:
        sound = wav(milliseconds)

        assert length_bound_ms(sound) >= milliseconds


class TestAProvidersSeconds:
    @pytest.mark.parametrize(
        ("seconds", "milliseconds"), [(0, 0), (0.0, 0), (3, 3000), (8.470000267028809, 8471), (0.0001, 1), (1.2, 1200)]
    )
    def test_are_rounded_up_to_the_next_millisecond(self, seconds: float, milliseconds: int) -> None:
        assert milliseconds_of(seconds) == milliseconds

    @pytest.mark.parametrize(
        "value", [-1, -0.5, True, None, "3", float("nan"), float("inf"), 1e9, 10**30, 10**400, [3]]
    )
    def test_that_cannot_be_meant_are_none(self, value: object) -> None:
        assert milliseconds_of(value) is None
