"""The failure matrix: every call to a provider in every flow, how it can go wrong, and what there must be then.

Written by hand from docs/concepts/payments.md ("How a call to the provider can end"), as plain data. Nothing here asks
the code under test, which is what the matrix is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from backend.tests.builders.failures import Answer, Standing

PROVIDERS = ("yookassa", "stripe")


class Kind(StrEnum):
    """What a call asks for."""

    CHANGE = "change"
    QUESTION = "question"


class Ending(StrEnum):
    """What a fault leaves whoever called with."""

    UNCERTAIN = "uncertain"
    """It was sent, and no answer came that says whether it was carried out."""
    MAKES_NO_SENSE = "makes no sense"
    """It was answered, and the answer says nothing."""
    DOWN = "down"
    """The provider says that it is out of order, and so that it has done nothing."""
    TOO_OFTEN = "too often"
    """It was not carried out, because the provider wants fewer calls."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which every call goes wrong until the provider is well again.

    `is_done`: the provider carries out what it is asked for all the same. `is_named`: played before every release's
    rest; the others are the same with or without its effect.
    """

    name: str
    kind: str
    ending: Ending
    is_done: bool = False
    retry_after_seconds: int | None = None
    is_named: bool = True

    @property
    def is_silent(self) -> bool:
        """No answer would come for long, so that whoever calls must not be patient in a test."""
        return self.kind in {"hang", "slow_drip"}


FAULTS = (
    Fault("timeout before the effect", "hang", Ending.UNCERTAIN),
    Fault("timeout after the effect", "hang", Ending.UNCERTAIN, is_done=True),
    Fault("reset before the effect", "reset", Ending.UNCERTAIN, is_named=False),
    Fault("reset after the effect", "reset", Ending.UNCERTAIN, is_done=True),
    Fault("429 with Retry-After", "rate_limited", Ending.TOO_OFTEN, retry_after_seconds=7),
    Fault("500 before the effect", "server_error", Ending.UNCERTAIN, is_named=False),
    Fault("500 after the effect", "server_error", Ending.UNCERTAIN, is_done=True),
    Fault("502 HTML before the effect", "bad_gateway_html", Ending.UNCERTAIN, is_named=False),
    Fault("502 HTML after the effect", "bad_gateway_html", Ending.UNCERTAIN, is_done=True),
    Fault("503 before the effect", "unavailable", Ending.DOWN),
    Fault("503 after the effect", "unavailable", Ending.DOWN, is_done=True, is_named=False),
    Fault("504 before the effect", "gateway_timeout", Ending.UNCERTAIN, is_named=False),
    Fault("504 after the effect", "gateway_timeout", Ending.UNCERTAIN, is_done=True),
    Fault("malformed JSON", "malformed_json", Ending.MAKES_NO_SENSE, is_done=True),
    Fault("wrong JSON", "wrong_json", Ending.MAKES_NO_SENSE, is_done=True),
    Fault("slow drip", "slow_drip", Ending.UNCERTAIN, is_done=True),
)

Answers = Mapping[Ending, Answer]

PROCESSING, UNAVAILABLE = Answer(202, "processing"), Answer(503, "provider_unavailable")
RATE_LIMITED, MALFORMED = Answer(503, "provider_rate_limited"), Answer(502, "provider_malformed")

BEGINNING: Answers = {
    Ending.UNCERTAIN: PROCESSING,
    Ending.MAKES_NO_SENSE: PROCESSING,
    Ending.DOWN: UNAVAILABLE,
    Ending.TOO_OFTEN: RATE_LIMITED,
}
"""Whoever wants to pay: an outage or a limit is 503 with Retry-After, what may have happened is "processing"."""

CHARGING: Answers = dict.fromkeys(Ending, PROCESSING)
"""Whoever pays with a saved method: the charge is made as soon as the provider is back, so that it never failed."""

ASKING: Answers = {
    Ending.UNCERTAIN: UNAVAILABLE,
    Ending.MAKES_NO_SENSE: MALFORMED,
    Ending.DOWN: UNAVAILABLE,
    Ending.TOO_OFTEN: RATE_LIMITED,
}
"""Whoever asks what has become of a payment: nothing happened, so that silence is an outage too."""

ASKING_BEFORE_BEGINNING: Answers = {**ASKING, Ending.MAKES_NO_SENSE: PROCESSING}
"""What is asked on the way to a beginning: that nothing was begun yet is known only where nothing came back."""

REFUNDING: Answers = dict.fromkeys(Ending, Answer(202, "created"))
"""A refund is written before the provider hears of it, and ends without anybody's doing, whatever happens there."""

JOB_CHARGING: Answers = {
    Ending.UNCERTAIN: Answer(None, "done"),
    Ending.MAKES_NO_SENSE: Answer(None, "done"),
    Ending.DOWN: Answer(None, "provider_unavailable"),
    Ending.TOO_OFTEN: Answer(None, "provider_rate_limited"),
}
JOB_ASKING: Answers = {ending: Answer(None, answer.word) for ending, answer in ASKING.items()}

COMPARING: Answers = {**dict.fromkeys(Ending, Answer(None, "done")), Ending.TOO_OFTEN: JOB_ASKING[Ending.TOO_OFTEN]}
"""One object that cannot be had is a difference for a person; the others are compared all the same."""

CHECKING: Answers = {
    Ending.UNCERTAIN: Answer(None, "put off"),
    Ending.MAKES_NO_SENSE: Answer(None, "checked"),
    Ending.DOWN: Answer(None, "put off"),
    Ending.TOO_OFTEN: Answer(None, "put off"),
}
"""An outage uses up none of the janitor's checks; an answer that makes no sense is about one payment, and does."""

CHECKING_ONE: Answers = {**dict.fromkeys(Ending, Answer(None, "checked")), Ending.TOO_OFTEN: CHECKING[Ending.TOO_OFTEN]}
"""A provider that answers other questions is not out: whatever it does not show goes through its schedule."""

ONE_UNBEGUN = Standing(("created",), there=0, wallet="0")
ONE_PENDING = Standing(("pending",), there=1, wallet="0")
TOPPED_UP = Standing(("succeeded",), there=1, wallet="500")
PLAN_BOUGHT = Standing(("succeeded",), there=1, wallet="100", grants=1)
METHOD_CHARGED = Standing(("succeeded", "created"), there=1, wallet="500")
PLAN_CHARGED = Standing(("succeeded", "succeeded"), there=2, wallet="600", grants=1)
LOW = Standing(("succeeded", "created"), there=1, wallet="50")
CHARGED = Standing(("succeeded", "succeeded"), there=2, wallet="550")
REFUND_BEGUN = Standing(("succeeded",), there=1, wallet="500", refunds=("created",))
REFUND_PENDING = Standing(("succeeded",), there=1, wallet="500", refunds=("pending",), refunds_there=1)
REFUNDED = Standing(("partially_refunded",), there=1, wallet="300", refunds=("succeeded",), refunds_there=1)
REFUNDED_UNHEARD = Standing(("pending",), there=1, wallet="0", refunds_there=1)
REFUND_UNHEARD = Standing(("succeeded",), there=1, wallet="500", refunds_there=1)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a provider in one flow: whom it is made to, and what there must be when it goes wrong.

    `operations` has what each provider's API calls it, and only the providers to whom it is made. `adds_there` is what
    the provider has more where it carried the change out: payments, refunds.
    """

    flow: str
    name: str
    kind: Kind
    operations: Mapping[str, str]
    answers: Answers
    during: Standing
    end: Standing
    adds_there: tuple[int, int] = (0, 0)

    def during_with(self, fault: Fault) -> Standing:
        """What there must be while it goes wrong."""
        if self.kind is Kind.QUESTION or not fault.is_done:
            return self.during
        payments, refunds = self.adds_there
        begun = self.during
        return Standing(
            begun.payments,
            begun.there + payments,
            begun.wallet,
            begun.refunds,
            begun.refunds_there + refunds,
            begun.grants,
        )


def _both(yookassa: str, stripe: str) -> dict[str, str]:
    return {"yookassa": yookassa, "stripe": stripe}


CREATE = _both("create_payment", "create_session")
GET = _both("get_payment", "get_session")
CHARGE = _both("create_payment", "create_intent")
LIST = _both("list_payments", "list_sessions")
REFUND = _both("create_refund", "create_refund")
REFUNDS = _both("list_refunds", "list_refunds")
GET_REFUND = _both("get_refund", "get_refund")
ONE, ONE_REFUND = (1, 0), (0, 1)
C, Q = Kind.CHANGE, Kind.QUESTION

CALLS = (
    Call("top-up", "create_payment", C, CREATE, BEGINNING, ONE_UNBEGUN, TOPPED_UP, ONE),
    Call("top-up", "get_payment", Q, GET, ASKING, ONE_PENDING, TOPPED_UP),
    Call("top-up", "get_account", Q, {"stripe": "get_account"}, ASKING_BEFORE_BEGINNING, ONE_UNBEGUN, TOPPED_UP),
    Call("top-up", "create_customer", C, {"stripe": "create_customer"}, BEGINNING, ONE_UNBEGUN, TOPPED_UP),
    Call("plan by redirect", "create_payment", C, CREATE, BEGINNING, ONE_UNBEGUN, PLAN_BOUGHT, ONE),
    Call("plan by redirect", "get_payment", Q, GET, ASKING, ONE_PENDING, PLAN_BOUGHT),
    Call("plan by saved method", "create_payment", C, CHARGE, CHARGING, METHOD_CHARGED, PLAN_CHARGED, ONE),
    Call("automatic top-up", "create_payment", C, CHARGE, JOB_CHARGING, LOW, CHARGED, ONE),
    Call("refund", "refund", C, REFUND, REFUNDING, REFUND_BEGUN, REFUNDED, ONE_REFUND),
    Call("refund", "get_payment", Q, {"stripe": "get_session"}, REFUNDING, REFUND_BEGUN, REFUNDED),
    Call("reconcile", "get_payment", Q, GET, ASKING, ONE_PENDING, TOPPED_UP),
    Call("reconcile", "refunds_of", Q, REFUNDS, ASKING, REFUND_UNHEARD, REFUNDED),
    Call("reconcile", "disputes_of", Q, {"stripe": "list_disputes"}, ASKING, REFUND_UNHEARD, REFUNDED),
    Call("daily reconciliation", "list_payments", Q, LIST, JOB_ASKING, REFUNDED_UNHEARD, REFUNDED),
    Call("daily reconciliation", "list_intents", Q, {"stripe": "list_intents"}, JOB_ASKING, REFUNDED_UNHEARD, REFUNDED),
    Call("daily reconciliation", "get_payment", Q, GET, COMPARING, REFUNDED_UNHEARD, REFUNDED),
    Call("daily reconciliation", "list_refunds", Q, REFUNDS, JOB_ASKING, REFUNDED_UNHEARD, REFUNDED),
    Call("daily reconciliation", "get_refund", Q, GET_REFUND, COMPARING, REFUNDED, REFUNDED),
    Call("janitor", "get_payment", Q, GET, CHECKING_ONE, ONE_PENDING, TOPPED_UP),
    Call("janitor", "create_payment", C, CREATE, CHECKING_ONE, ONE_UNBEGUN, TOPPED_UP, ONE),
    Call("janitor", "list_payments", Q, LIST, CHECKING, Standing(("created",), 1, "0"), TOPPED_UP),
    Call("janitor", "refund", C, REFUND, CHECKING_ONE, REFUND_BEGUN, REFUNDED, ONE_REFUND),
    Call("janitor", "refunds_of", Q, REFUNDS, CHECKING_ONE, REFUND_PENDING, REFUNDED),
)

IMPOSSIBLE = "A question changes nothing: there is no before and after its effect, and each fault is played once."


@dataclass(frozen=True, slots=True)
class Cell:
    """One call of one flow at one provider, going wrong in one way."""

    provider: str
    call: Call
    fault: Fault

    @property
    def ending(self) -> Ending:
        """What the fault means of this provider; Stripe's reference says that any 5xx leaves a change undecided."""
        is_undecided = self.provider == "stripe" and self.call.kind is Kind.CHANGE and self.fault.ending is Ending.DOWN
        return Ending.UNCERTAIN if is_undecided else self.fault.ending

    @property
    def is_thorough(self) -> bool:
        """It is the same as another one, with or without its effect: played once for a release."""
        return self.call.kind is Kind.CHANGE and not self.fault.is_named

    @property
    def row(self) -> str:
        """The row of the matrix, as the gate's configuration calls it."""
        return f"{self.provider}: {self.call.flow}, {self.call.name}"

    @property
    def id(self) -> str:
        """The cell's name among the tests."""
        return f"{self.row}, {self.fault.name}".replace(": ", "-").replace(", ", "-").replace(" ", "_")


def all_cells() -> Iterator[Cell]:
    """Every call to every provider with every fault, the impossible ones too."""
    for call in CALLS:
        for provider in PROVIDERS:
            if provider in call.operations:
                yield from (Cell(provider, call, fault) for fault in FAULTS)


def why_impossible(cell: Cell) -> str | None:
    """The reason why this cell is left out; None where it is played."""
    is_impossible = cell.call.kind is Kind.QUESTION and cell.fault.name.endswith(" after the effect")
    return IMPOSSIBLE if is_impossible else None
