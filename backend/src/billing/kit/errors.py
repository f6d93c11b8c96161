"""The root of every refusal, and the two that the kit itself can raise.

BillingError                  a request is refused, with a reason; never a bug
├── InvalidInput              a value from outside cannot be what it claims to be
├── IdempotencyKeyReused      one key, two different requests
└── SettingsError             the environment cannot be started from
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class BillingError(Exception):
    """A refusal: a stable code for programs, a sentence for people, and the facts as values.

    Whoever raises one has changed nothing, or leaves the undoing to the unit of work that it interrupts.
    Facts are shown to the client: they hold amounts, limits and our own ids, never secrets or provider text.
    """

    code: ClassVar[str] = "billing_error"

    def __init__(self, sentence: str, *, facts: Mapping[str, object] | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.facts: Mapping[str, object] = dict(facts or {})


class InvalidInput(BillingError):
    """A value from outside is malformed; `field` says which one."""

    code = "invalid_request"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence, facts={"field": field})
        self.field = field


class IdempotencyKeyReused(BillingError):
    """The same Idempotency-Key came with a different request."""

    code = "idempotency_key_reused"

    def __init__(self, key: str) -> None:
        super().__init__("This Idempotency-Key was used for a different request; use a new key for a new intent.")
        self.key = key


class SettingsError(BillingError):
    """The process cannot start from these settings; every problem is named, no secret is shown."""

    code = "invalid_settings"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("The settings are not usable: " + " ".join(problems))
        self.problems = problems
