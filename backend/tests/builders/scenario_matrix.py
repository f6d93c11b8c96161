"""The rows of the scenario matrix: each way that a paid call can go, and what it must leave behind.

`ci/confidence.toml` demands each scenario by its name with the number of its cells, so that a row which is renamed or
lost turns the gate `scenario-matrix-complete` red.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from backend.tests.builders.gateway import free_terms
from backend.tests.builders.scenarios import Ask, Got, Quantities, Scene, hold_of, own_output_count
from billing.gateway.errors import UpstreamBroken, UpstreamTimeout
from billing.gateway.rules.doors import Door
from billing.kit.errors import BillingError
from billing.pricing.rules import Unit
from billing.quotas.rules import FreeTerms
from billing.usage.rules import BillingSource, EstimateReason
from billing.wallets.errors import DailyCapExceeded, InsufficientFunds, MaxReplyCostExceeded
from testkit.simulators.model.audio import wav
from testkit.simulators.model.images import png

MISSING, INVALID, CUT = EstimateReason.USAGE_MISSING, EstimateReason.USAGE_INVALID, EstimateReason.STREAM_CUT
PAYG, FREE = BillingSource.PAYG, BillingSource.LEAD_MAGNET
TOKENS_MAX = 6
QUESTION = "What is double entry?"
HOLDS = timedelta(seconds=900)
# How the provider streams a chat of six tokens: the role, six tokens, the reason of the end, the usage, the end mark.
ROLE, FINISH, DONE = 1, 8, 10

Play = Callable[[Scene, Ask], Awaitable[Got]]
Count = Callable[[Scene, Ask, Got], Awaitable[Quantities]]

SHOWN: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
WAYS: Mapping[str, Mapping[str, Any]] = {"whole": {}, "stream": {"stream": True}}
END = {"chat": "[DONE]", "completions": "[DONE]", "responses": "response.incomplete"}
DELIVERIES: Mapping[str, Mapping[str, Any]] = {
    "one byte a time": {"piece_bytes": 1},
    "several events in a piece": {"events_per_piece": 4},
    "lines that end in CRLF, no space": {"line_end": "crlf", "has_space": False, "piece_bytes": 5},
    "comments and several lines of data": {"has_comments": True, "lines_per_event": 3, "line_end": "cr"},
}
NO_COUNTS = {"absent": MISSING, "null": MISSING, "empty": MISSING, "negative": INVALID}
OTHER_NAMES: Mapping[str, Any] = {"kind": "usage", "usage_variant": "other_names"}
PROVIDER_ERRORS: Mapping[str, type[BillingError] | int] = {
    "server_error": 500,
    "unavailable": 503,
    "rate_limited": 429,
    "bad_gateway_html": 502,
    "gateway_timeout": 504,
    "reset": UpstreamBroken,
    "half_response": UpstreamBroken,
    "malformed_json": UpstreamBroken,
    "empty_body": UpstreamBroken,
}


def chat(**more: Any) -> Ask:
    """A conversation with a short answer."""
    messages = [{"role": "user", "content": QUESTION}]
    return Ask(Door.CHAT, {"model": "demo-small", "messages": messages, "max_tokens": TOKENS_MAX, **more})


def responses(**more: Any) -> Ask:
    """The same through the door of responses."""
    return Ask(Door.RESPONSES, {"model": "demo-small", "input": QUESTION, "max_output_tokens": TOKENS_MAX, **more})


def completions(**more: Any) -> Ask:
    """A text to be continued."""
    return Ask(Door.COMPLETIONS, {"model": "demo-small", "prompt": QUESTION, "max_tokens": TOKENS_MAX, **more})


TEXTS = {"chat": chat, "responses": responses, "completions": completions}


async def read_it(scene: Scene, ask: Ask) -> Got:
    """The caller waits for the whole answer."""
    return await scene.call(ask)


async def for_next_to_nothing(scene: Scene, ask: Ask) -> Got:
    """The caller accepts no call that can cost a copeck."""
    return await scene.call(ask, max_reply_cost="0.0001")


async def gone_before_the_first(scene: Scene, ask: Ask) -> Got:
    """The caller goes before anything has come."""
    return await scene.go_before_the_first(ask)


def gone_after(events: int, *, provider_goes_on: bool = True) -> Play:
    """The caller goes after so many events."""
    return lambda scene, ask: scene.leave_after(ask, events, provider_goes_on=provider_goes_on)


def cut_after(events: int, stop: str) -> Play:
    """The provider breaks off after so many events."""
    return lambda scene, ask: scene.lose_the_provider(ask, events, stop)


def while_the_hold_expires(events: int) -> Play:
    """The hold's time is over, and the sweeper comes, after so many events."""

    async def play(scene: Scene, ask: Ask) -> Got:
        async def expire() -> None:
            scene.clock.move(HOLDS)
            await scene.gate.wallets.service.sweep()

        return await scene.call_while(ask, expire, after_events=events)

    return play


async def cap_the_day(scene: Scene) -> None:
    """Next to nothing may be spent in a day."""
    await scene.cap_the_day("0.0001")


async def spend_under_a_cap(scene: Scene) -> None:
    """The day's cap leaves room for one hold, but not for that of a second call beside what the first has cost."""
    await scene.cap_the_day(str(Decimal(hold_of(chat(), TOKENS_MAX) + 1000) / 1_000_000))
    assert (await scene.call(chat())).outcome == 200


async def use_what_is_free(scene: Scene) -> None:
    """One call takes so much of the free quota that a second does not fit."""
    assert (await scene.call(chat(model="demo-free"))).outcome == 200


async def spend_all_and_top_up(scene: Scene) -> None:
    """One call costs all that there is, the next is refused, and then there is money again."""
    told = {"usage": {"prompt_tokens": 10, "completion_tokens": 1000, "total_tokens": 1010}}
    await scene.plan(Door.CHAT, {"kind": "altered", "changes": told})
    assert (await scene.call(chat())).outcome == 200
    assert (await scene.gate.accounts(scene.payer)).balance.available.micros == 0
    assert (await scene.call(chat())).outcome is InsufficientFunds
    await scene.gate.wallets.pay_in(scene.payer.wallet_id, "50")


async def be_stopped_and_top_up(scene: Scene) -> None:
    """A provider writes on and on, more than anybody expects, until the money is used up; then there is money again."""
    flood = '{"choices": [{"index": 0, "delta": {"content": "' + "word " * 900 + '"}, "finish_reason": null}]}'
    delivery = {"insertions": [{"after_events": 3, "text": f"data: {flood}\n\n" * 6}]}
    without_limit = Ask(Door.CHAT, {**chat(stream=True).body, "max_tokens": None})
    await scene.plan(Door.CHAT, {"kind": "delivered", "delivery": delivery})
    stopped = await scene.call(without_limit)
    assert '"stopped"' in stopped.said
    assert "insufficient_funds" in stopped.said
    assert (await scene.call(without_limit)).outcome is InsufficientFunds
    await scene.gate.wallets.pay_in(scene.payer.wallet_id, "50")


async def as_the_provider_counts(scene: Scene, ask: Ask, got: Got) -> Quantities:
    """What the provider says when it is asked directly."""
    del got
    return await scene.provider_count(ask)


async def own_count(scene: Scene, ask: Ask, got: Got) -> Quantities:
    """What can be known of an own count: the output that was passed on."""
    del scene, ask
    return {Unit.OUTPUT: own_output_count(got.text, at_most=TOKENS_MAX)}


def exactly(quantities: Quantities) -> Count:
    """These quantities."""

    async def count(scene: Scene, ask: Ask, got: Got) -> Quantities:
        del scene, ask, got
        return quantities

    return count


NOT_HELD = frozenset({"credit"})
RELEASED = frozenset({"credit", "hold", "release"})
CHARGED = frozenset({"credit", "hold", "charge"})
LATE = frozenset({"credit", "hold", "expiry", "late_charge"})
NOTHING_MOVED: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell of the matrix.

    `count` is what was used, None where nothing is recorded; for an own count (`reason`) it is what can be known of it.
    `moves` are the kinds of transfers that stand in the ledger afterwards. Amounts are roubles: `paid` is there from
    the beginning, `topped_up` comes in `before`, which may also make `earlier` calls that are recorded.
    `says` must stand in a stream's last two events, as `[DONE]` or a code of ours does.
    """

    scenario: str
    cell: str
    ask: Ask
    paid: str = "100"
    settings: Mapping[str, Any] = field(default_factory=dict)
    free: FreeTerms | None = None
    before: Callable[[Scene], Awaitable[None]] | None = None
    topped_up: str = "0"
    earlier: int = 0
    fault: Mapping[str, Any] | None = None
    play: Play = read_it
    outcome: type[BillingError] | int = 200
    count: Count | None = as_the_provider_counts
    reason: EstimateReason | None = None
    source: BillingSource = PAYG
    moves: frozenset[str] = CHARGED
    debt: str = "0"
    says: str = ""


def uncharged(scenario: str, cell: str, ask: Ask, outcome: type[BillingError] | int, **more: Any) -> Row:
    """A call for which nothing is charged."""
    return Row(**{"count": None, "moves": RELEASED, **more}, scenario=scenario, cell=cell, ask=ask, outcome=outcome)


def successes() -> Iterator[Row]:
    for door, ask in TEXTS.items():
        yield Row(scenario="pay-as-you-go-success", cell=door, ask=ask())


def refusals() -> Iterator[Row]:
    """Nothing is held and nothing is called."""
    for door, ask in TEXTS.items():
        for kind, more in WAYS.items():
            cell, asked = f"{door} {kind}", ask(**more)
            yield uncharged("insufficient-funds", cell, asked, InsufficientFunds, paid="0.0001", moves=NOT_HELD)
            yield uncharged(
                "max-reply-cost-exceeded", cell, asked, MaxReplyCostExceeded, play=for_next_to_nothing, moves=NOT_HELD
            )
            yield uncharged("daily-cap-exceeded", cell, asked, DailyCapExceeded, before=cap_the_day, moves=NOT_HELD)
    yield uncharged(
        "daily-cap-exceeded",
        "by what was spent before",
        chat(),
        DailyCapExceeded,
        before=spend_under_a_cap,
        earlier=1,
        moves=CHARGED,
    )


def provider_errors() -> Iterator[Row]:
    scenario = "provider-error-after-hold"
    for kind, outcome in PROVIDER_ERRORS.items():
        yield uncharged(scenario, f"{kind} whole", chat(), outcome, fault={"kind": kind})
    done = {"kind": "server_error", "effect": "done"}
    yield uncharged(scenario, "after its work", chat(), 500, fault=done)
    yield uncharged(scenario, "an error of the request", chat(), 422, fault={"kind": "refused", "status": 422})
    for kind in ("server_error", "rate_limited", "bad_gateway_html", "reset"):
        yield uncharged(scenario, f"{kind} stream", chat(stream=True), PROVIDER_ERRORS[kind], fault={"kind": kind})
    for door, ask in TEXTS.items():
        yield uncharged(scenario, f"{door} overloaded", ask(stream=True), 503, fault={"kind": "unavailable"})


def timeouts() -> Iterator[Row]:
    patience: Any = {"settings": {"read_timeout_seconds": 0.3, "total_timeout_seconds": 5.0}}
    hang = {"kind": "hang", "seconds": 5}
    for cell, ask in {"whole": chat(), "stream": chat(stream=True)}.items():
        yield uncharged("timeout", cell, ask, UpstreamTimeout, fault=hang, **patience)
    nothing: Any = {"count": None, "moves": RELEASED}
    for events, left in {ROLE: nothing, ROLE + 3: {"count": own_count, "reason": CUT}}.items():
        yield Row(
            scenario="timeout",
            cell=f"a stream falls silent after {events} events",
            ask=chat(stream=True),
            fault={"kind": "delivered", "delivery": {"stop_after_events": events, "stop": "silence"}},
            says="upstream_timeout",
            **left,
            **patience,
        )


def streams() -> Iterator[Row]:
    scenario = "stream-with-usage"
    for door, ask in TEXTS.items():
        yield Row(scenario=scenario, cell=f"{door} unasked", ask=ask(stream=True), says=END[door])
        for kind, delivery in DELIVERIES.items():
            fault = {"kind": "delivered", "delivery": delivery}
            yield Row(scenario=scenario, cell=f"{door} {kind}", ask=ask(stream=True), fault=fault, says=END[door])
    for door in ("chat", "completions"):
        yield Row(scenario=scenario, cell=f"{door} asked for", ask=TEXTS[door](**SHOWN), says='"billing"')
        for placement in ("last_chunk", "every_chunk"):
            fault = {"kind": "usage", "usage_placement": placement}
            yield Row(scenario=scenario, cell=f"{door} {placement}", ask=TEXTS[door](stream=True), fault=fault)
    special = chat(prompt_cache_key="known", reasoning_effort="low", **SHOWN)
    yield Row(scenario=scenario, cell="cached and reasoning tokens", ask=special, says='"billing"')
    for door, ask in TEXTS.items():
        for variant, reason in NO_COUNTS.items():
            yield Row(
                scenario="stream-without-usage",
                cell=f"{door} {variant}",
                ask=ask(**(SHOWN if door != "responses" else {"stream": True})),
                fault={"kind": "usage", "usage_variant": variant},
                count=own_count,
                reason=reason,
                says=END[door],
            )


def cuts_by_the_client() -> Iterator[Row]:
    scenario = "stream-cut-by-client"
    yield Row(scenario=scenario, cell="before the first event", ask=chat(stream=True), play=gone_before_the_first)
    for events in range(ROLE, FINISH + 1):
        ask = chat(stream=True)
        yield Row(scenario=scenario, cell=f"after {events}, drained", ask=ask, play=gone_after(events))
        impatient: Any = {
            "settings": {"drain_seconds": 0.05},
            "play": gone_after(events, provider_goes_on=False),
        }
        cell = f"after {events}, not drained"
        if events == ROLE:
            yield uncharged(scenario, cell, ask, 200, **impatient)
        else:
            reason = MISSING if events == FINISH else CUT
            yield Row(scenario=scenario, cell=cell, ask=ask, count=own_count, reason=reason, **impatient)


def cuts_by_the_provider() -> Iterator[Row]:
    scenario = "stream-cut-by-provider"
    for stop in ("close", "reset", "end"):
        for events in range(DONE):
            cell, ask, play = f"{stop} after {events}", chat(stream=True), cut_after(events, stop)
            if events < ROLE:
                yield uncharged(scenario, cell, ask, UpstreamBroken, play=play)
            elif events == ROLE:
                yield uncharged(scenario, cell, ask, 200, play=play, says="upstream_broken")
            elif events < FINISH:
                known: Any = {"count": own_count, "reason": CUT, "says": "upstream_broken"}
                yield Row(scenario=scenario, cell=cell, ask=ask, play=play, **known)
            elif events == FINISH:
                yield Row(scenario=scenario, cell=cell, ask=ask, play=play, count=own_count, reason=MISSING)
            else:
                yield Row(scenario=scenario, cell=cell, ask=ask, play=play)


def free_quotas() -> Iterator[Row]:
    free: Any = {"paid": "0", "source": FREE, "moves": NOTHING_MOVED, "free": free_terms()}
    then_paid: Any = {
        "free": free_terms(output_tokens=TOKENS_MAX + 1),
        "before": use_what_is_free,
        "earlier": 1,
        "paid": "10",
    }
    for cell, more in WAYS.items():
        ask = chat(model="demo-free", **more)
        yield Row(scenario="free-quota-allowed", cell=cell, ask=ask, **free)
        yield Row(scenario="free-quota-denied-then-paid", cell=cell, ask=ask, **then_paid)


def empty_wallets() -> Iterator[Row]:
    scenario = "balance-to-zero-then-top-up"
    price = str(Decimal(10 * 60 + 1000 * 240) / 1_000_000)
    for cell, more in WAYS.items():
        yield Row(
            scenario=scenario,
            cell=cell,
            ask=chat(**more),
            paid=price,  # of ten tokens in and a thousand out
            before=spend_all_and_top_up,
            topped_up="50",
            earlier=1,
        )
    yield Row(
        scenario=scenario,
        cell="a stream that is stopped",
        ask=chat(stream=True),
        paid="1.1",
        before=be_stopped_and_top_up,
        topped_up="50",
        earlier=1,
    )


def late_ends() -> Iterator[Row]:
    for events in (ROLE, ROLE + 3, FINISH):
        cell = f"after {events} events"
        yield Row(
            scenario="hold-expired-while-streaming",
            cell=cell,
            ask=chat(**SHOWN),
            play=while_the_hold_expires(events),
            moves=LATE,
            says='"billing"',
        )


def above_the_hold() -> Iterator[Row]:
    used = {Unit.INPUT: 10, Unit.OUTPUT: 5000, Unit.REQUEST: 1}
    told = {"usage": {"prompt_tokens": 10, "completion_tokens": 5000, "total_tokens": 5010}}
    fault = {"kind": "altered", "changes": told}
    for cell, more in {"whole": {}, "stream": SHOWN}.items():
        known: Any = {"ask": chat(**more), "fault": fault, "count": exactly(used)}
        yield Row(scenario="settle-above-hold", cell=f"{cell} covered by credit", **known)
        # Five thousand tokens cost 1.2006 roubles; what is not there is owed.
        yield Row(scenario="settle-above-hold", cell=f"{cell} and above all credit", paid="0.2", debt="1.0006", **known)


def modalities() -> Iterator[Row]:
    yield Row(scenario="modality-text", cell="chat", ask=chat())
    for cell, given in {
        "one text": "ledger",
        "several texts": ["ledger", "balance sheet"],
        "tokens": [1, 2, 3],
    }.items():
        ask = Ask(Door.EMBEDDINGS, {"model": "demo-embedding", "input": given})
        yield Row(scenario="modality-embeddings", cell=cell, ask=ask)
    pictures = {"model": "demo-image", "prompt": "a purse", "n": 2, "size": "512x512"}
    drawn = {"as asked": pictures, "by address": {**pictures, "response_format": "url"}}
    for cell, body in drawn.items():
        counted = exactly({Unit.IMAGE_PIXELS: 2 * 512 * 512, Unit.REQUEST: 1})
        yield Row(scenario="modality-image", cell=cell, ask=Ask(Door.IMAGES, body), count=counted)
    yield Row(
        scenario="modality-image",
        cell="other pictures than asked for",
        ask=Ask(Door.IMAGES, pictures),
        fault={"kind": "produced", "produced": {"images": 1, "size": "256x128"}},
        count=exactly({Unit.IMAGE_PIXELS: 256 * 128, Unit.REQUEST: 1}),
    )
    yield Row(
        scenario="modality-image",
        cell="edited",
        ask=Ask(Door.IMAGE_EDITS, pictures, {"image": png(8, 8)}),
        count=exactly({Unit.IMAGE_PIXELS: 2 * 512 * 512, Unit.REQUEST: 1}),
    )
    yield Row(
        scenario="modality-speech",
        cell="by the character",
        ask=Ask(Door.SPEECH, {"model": "demo-speech", "voice": "alloy", "input": QUESTION}),
        count=exactly({Unit.SPEECH_CHARACTERS: len(QUESTION), Unit.REQUEST: 1}),
    )
    for response_format, milliseconds, reason in (("json", 3000, None), ("text", 2400, MISSING)):
        body = {"model": "demo-transcription", "response_format": response_format}
        yield Row(
            scenario="modality-transcription",
            cell=response_format,
            ask=Ask(Door.TRANSCRIPTIONS, body, {"file": wav(2400)}),
            count=exactly({Unit.TRANSCRIPTION_MS: milliseconds, Unit.REQUEST: 1}),
            reason=reason,
        )


def namings() -> Iterator[Row]:
    """Each wrapper of usage naming: the route's own names, and those of other routes."""
    for door, ask in TEXTS.items():
        for kind, more in WAYS.items():
            for variant, fault in {"own names": None, "other names": OTHER_NAMES}.items():
                cell = f"{door} {kind} {variant}"
                yield Row(scenario="usage-naming", cell=cell, ask=ask(**more), fault=fault)
    embedding = Ask(Door.EMBEDDINGS, {"model": "demo-embedding", "input": "ledger"})
    yield Row(scenario="usage-naming", cell="embeddings other names", ask=embedding, fault=OTHER_NAMES)
    recording = Ask(Door.TRANSCRIPTIONS, {"model": "demo-transcription"}, {"file": wav(2400)})
    heard = exactly({Unit.TRANSCRIPTION_MS: 3000, Unit.REQUEST: 1})
    yield Row(scenario="usage-naming", cell="transcription other names", ask=recording, fault=OTHER_NAMES, count=heard)


MATRIX = [
    *successes(),
    *refusals(),
    *provider_errors(),
    *timeouts(),
    *streams(),
    *cuts_by_the_client(),
    *cuts_by_the_provider(),
    *free_quotas(),
    *empty_wallets(),
    *late_ends(),
    *above_the_hold(),
    *modalities(),
    *namings(),
]
