"""Embeddings: a vector for each input, the same in every process."""

import array
import base64
import hashlib
import json
import random
from typing import Any

from testkit.simulators.faults import Fault
from testkit.simulators.model.completion import tokens_of
from testkit.simulators.model.requests import EmbeddingRequest
from testkit.simulators.model.usage import Usage, embedding_names, usage_member

_DIMENSIONS = 8
"""A short vector serves a simulation as well as a long one."""


def embed(asked: EmbeddingRequest, *, seed: int, fault: Fault | None) -> dict[str, Any]:
    """The answer."""
    inputs = asked.inputs
    usage = Usage(sum(len(tokens_of(item)) if isinstance(item, str) else len(item) for item in inputs), 0)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(asked, _vector(asked, item, seed))}
            for index, item in enumerate(inputs)
        ],
        "model": asked.model,
        **usage_member(usage, embedding_names, fault),
    }


def _vector(asked: EmbeddingRequest, item: str | list[int], seed: int) -> "array.array[float]":
    digest = hashlib.sha256(json.dumps([seed, asked.model, item]).encode()).hexdigest()
    chance = random.Random(digest)  # noqa: S311 - a reproducible answer is wanted here, not a secret
    return array.array("f", (chance.uniform(-1, 1) for _ in range(asked.dimensions or _DIMENSIONS)))


def _written(asked: EmbeddingRequest, vector: "array.array[float]") -> list[float] | str:
    return vector.tolist() if asked.encoding_format == "float" else base64.b64encode(vector.tobytes()).decode()
