"""Speech and its transcription: silence as long as the text, and a text that follows from the sound."""

import contextlib
import hashlib
import io
import math
import wave
from typing import Any

from testkit.simulators.faults import Fault, UsageVariant
from testkit.simulators.model.completion import complete
from testkit.simulators.model.refusals import ApiError, unsupported
from testkit.simulators.model.requests import SpeechRequest, TranscriptionRequest

_MILLISECONDS_PER_CHARACTER = 60
_WAV_RATE = 8_000
_PCM_RATE = 24_000
_MP3_FRAME = bytes.fromhex("fffb10c4") + bytes(100)
"""A silent frame of MPEG-1 layer III: 32 kbit/s, 44.1 kHz, mono."""
_MP3_FRAME_MILLISECONDS = 26
_BYTES_PER_SECOND = 16_000
"""By which the length of a sound is guessed that is no WAV file."""
_TEXT_TOKENS_MAX = 40


def speech(asked: SpeechRequest) -> tuple[bytes, str]:
    """The sound and its media type.

    Raises:
        ApiError: it is asked for a format that this simulator does not speak.
    """
    if asked.stream_format != "audio":
        raise unsupported("stream_format", "This simulator speaks whole files only.")
    milliseconds = _MILLISECONDS_PER_CHARACTER * len(asked.input)
    match asked.response_format:
        case "mp3":
            return _MP3_FRAME * (1 + milliseconds // _MP3_FRAME_MILLISECONDS), "audio/mpeg"
        case "wav":
            return wav(milliseconds), "audio/wav"
        case "pcm":
            return bytes(2 * _PCM_RATE * milliseconds // 1000), "audio/pcm"
        case _:
            raise unsupported("response_format", "This simulator speaks mp3, wav and pcm.")


def wav(milliseconds: int) -> bytes:
    """Silence as a WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(_WAV_RATE)
        file.writeframes(b"\x80" * (_WAV_RATE * milliseconds // 1000))
    return out.getvalue()


def transcription(
    asked: TranscriptionRequest, sound: bytes | None, *, seed: int, fault: Fault | None
) -> dict[str, Any] | str:
    """The answer: an object, or plain text where the format is one of text.

    Raises:
        ApiError: there is no sound, or a format is asked for that this simulator does not write.
    """
    if not sound:
        raise ApiError(400, "Missing required parameter: 'file'.", parameter="file")
    if asked.stream:
        raise unsupported("stream", "This simulator transcribes without streaming.")
    seconds = seconds_of(sound)
    text = _heard(asked, sound, seed, characters_max=math.ceil(seconds * 1000 / _MILLISECONDS_PER_CHARACTER))
    match asked.response_format:
        case "text":
            return f"{text}\n"
        case "json":
            return {"text": text, **_usage(seconds, fault)}
        case "verbose_json":
            segment = _segment(text, seconds)
            about = {"task": "transcribe", "language": asked.language or "english", "duration": seconds}
            return {**about, "text": text, "segments": [segment], **_usage(seconds, fault)}
        case _:
            raise unsupported("response_format", "This simulator writes json, verbose_json and text.")


def seconds_of(sound: bytes) -> float:
    """How long a sound is: by the header of a WAV file, else guessed by its size."""
    with contextlib.suppress(wave.Error, EOFError), wave.open(io.BytesIO(sound)) as file:
        return float(round(file.getnframes() / file.getframerate(), 3))
    return round(len(sound) / _BYTES_PER_SECOND, 3)


def _heard(asked: TranscriptionRequest, sound: bytes, seed: int, *, characters_max: int) -> str:
    """Words that follow from the sound, no more than somebody can say in its time."""
    said = [{"role": "user", "content": hashlib.sha256(sound).hexdigest()}]
    reply = complete(seed=seed, model=asked.model, messages=said, tokens_max=_TEXT_TOKENS_MAX).replies[0]
    return reply.text[:characters_max].rstrip()


def _segment(text: str, seconds: float) -> dict[str, Any]:
    doubts = {"temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
    return {"id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text, "tokens": [], **doubts}


def _usage(seconds: float, fault: Fault | None) -> dict[str, Any]:
    """The provider counts begun seconds."""
    whole = -int(-seconds // 1)
    told: dict[UsageVariant | None, dict[str, Any]] = {
        None: {"usage": {"type": "duration", "seconds": whole}},
        UsageVariant.ABSENT: {},
        UsageVariant.NULL: {"usage": None},
        UsageVariant.EMPTY: {"usage": {}},
        UsageVariant.ZERO: {"usage": {"type": "duration", "seconds": 0}},
        UsageVariant.NEGATIVE: {"usage": {"type": "duration", "seconds": -whole}},
        UsageVariant.OTHER_NAMES: {"usage": {"type": "duration", "duration_seconds": whole}},
    }
    return told[None if fault is None else fault.usage_variant]
