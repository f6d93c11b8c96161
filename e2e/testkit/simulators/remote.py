"""Remote controls for tests: the simulators' control APIs as typed calls from another thread or process."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from typing_extensions import override

from testkit.loopback import NO_TLS
from testkit.simulators.faults import Fault
from testkit.simulators.notifications import LATE_SECONDS, DeliveryMode, WebhookTarget
from testkit.simulators.yookassa.receipts import ReceiptMode
from testkit.simulators.yookassa.refunds import RefundMode

_ANSWER_SECONDS_MAX = 70.0
"""Longer than any wait that a simulator grants."""


class SimulatorRemote:
    """What every simulator lets its tests do. Close it, or use it as a context manager."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(verify=NO_TLS, base_url=url, timeout=_ANSWER_SECONDS_MAX, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection back."""
        self._http.close()

    def plan(self, fault: Fault) -> None:
        """Lets coming calls go wrong."""
        self._ask("POST", "/control/faults", fault.model_dump(mode="json", exclude_none=True))

    def pending_faults(self) -> list[dict[str, Any]]:
        """The faults that have not happened yet."""
        return _items(self._ask("GET", "/control/faults"))

    def clear_faults(self) -> None:
        """Lets coming calls go well."""
        self._ask("DELETE", "/control/faults")

    def pauses(self, *, at_least: int = 0, within_seconds: float = 10) -> list[dict[str, Any]]:
        """The answers that wait now, `{call, after_events}` each; waits for `at_least` of them.

        Raises:
            TimeoutError: Fewer came to a pause within the time.
        """
        params = {"at_least": str(at_least), "within_seconds": str(within_seconds)}
        found = _items(self._ask("GET", "/control/pauses", params=params))
        if len(found) < at_least:
            message = f"{len(found)} of {at_least} answers came to a pause"
            raise TimeoutError(message)
        return found

    def resume(self, call: int | None = None) -> list[dict[str, Any]]:
        """Lets the answer of one call, or all that wait, go on to their next pause; answers which they were."""
        return _items(self._ask("POST", "/control/pauses/resume", {"call": call}))

    def calls(
        self,
        operation: str | None = None,
        *,
        at_least: int = 0,
        within_seconds: float = 10,
        has_ended: bool = False,
    ) -> list[dict[str, Any]]:
        """The calls so far, oldest first; waits for `at_least` of them. With `has_ended` only those that are over.

        Each is `{number, operation, method, path, query, client, headers, body, fault, status, sent_bytes, ending}`.

        Raises:
            TimeoutError: Fewer arrived within the time.
        """
        params = {"at_least": str(at_least), "within_seconds": str(within_seconds), "has_ended": str(has_ended)}
        if operation is not None:
            params["operation"] = operation
        found = _items(self._ask("GET", "/control/calls", params=params))
        if len(found) < at_least:
            message = f"{len(found)} of {at_least} calls of {operation or 'any operation'} arrived"
            raise TimeoutError(message)
        return found

    def forget_calls(self) -> None:
        """Begins to count calls anew."""
        self._ask("DELETE", "/control/calls")

    def advance_clock(self, seconds: float) -> None:
        """Moves the simulator's time forward; what falls due in between happens."""
        self._ask("POST", "/control/clock/advance", {"seconds": seconds})

    def reset(self) -> None:
        """Forgets everything but the settings and the time."""
        self._ask("POST", "/control/reset")

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, params: dict[str, str] | None = None
    ) -> Any:
        answer = self._http.request(method, path, json=body, params=params)
        answer.raise_for_status()
        return answer.json() if answer.content else None


class ReceiverRemote(SimulatorRemote):
    """The remote control of a webhook receiver."""

    def messages(self) -> list[dict[str, Any]]:
        """The messages that it accepted, `{path, headers, text}` each, to the letter; oldest first."""
        return _items(self._ask("GET", "/control/messages"))


class ModelRemote(SimulatorRemote):
    """The remote control of the model provider."""


class ProviderRemote(SimulatorRemote, ABC):
    """The remote control of a payment provider; its notifications come back as the JSON of its control API."""

    @abstractmethod
    def pay_at(self, page_url: str) -> None:
        """The customer pays on this payment page."""

    def set_webhook(self, target: WebhookTarget) -> None:
        """Sends notifications there from now on."""
        self._ask("PUT", "/control/webhook", target.model_dump(mode="json"))

    def notify(self, mode: DeliveryMode, *, late_seconds: float = LATE_SECONDS) -> None:
        """Says what happens to new notifications."""
        self._ask("PUT", "/control/notifications/mode", {"mode": mode.value, "late_seconds": late_seconds})

    def notifications(self) -> list[dict[str, Any]]:
        """Every notification, as `{id, event, object_id, body, state, attempts}`, oldest first."""
        return _items(self._ask("GET", "/control/notifications"))

    def release(self, notification_ids: list[str] | None = None) -> list[dict[str, Any]]:
        """Delivers held notifications in this order, and returns when that is done."""
        return _items(self._ask("POST", "/control/notifications/release", {"ids": notification_ids}))

    def repeat(self, notification_id: str, *, times: int = 1, at_once: bool = False) -> dict[str, Any]:
        """Delivers a notification again, and returns when that is done."""
        path = f"/control/notifications/{notification_id}/repeat"
        return _object(self._ask("POST", path, {"times": times, "at_once": at_once}))

    def lose(self, notification_id: str) -> dict[str, Any]:
        """Makes sure that a waiting notification never arrives by itself."""
        return _object(self._ask("POST", f"/control/notifications/{notification_id}/lose"))

    def forge(self, event: str, snapshot: dict[str, Any], *, target: WebhookTarget | None = None) -> dict[str, Any]:
        """Delivers a notification about something that never happened, once; `target` may be another sender's."""
        body = {"event": event, "object": snapshot, "target": target.model_dump(mode="json") if target else None}
        return _object(self._ask("POST", "/control/notifications/forge", body))

    def wait_for_notifications(self, *, timeout_seconds: float = 10) -> list[dict[str, Any]]:
        """Every notification, once none is queued or under way.

        Raises:
            TimeoutError: Some still are when the time is up.
        """
        answer = _object(self._ask("POST", "/control/notifications/wait", {"timeout_seconds": timeout_seconds}))
        if not answer["idle"]:
            message = f"notifications are still under way after {timeout_seconds} s"
            raise TimeoutError(message)
        return _items(answer)


class YookassaRemote(ProviderRemote):
    """The remote control of YooKassa; payments and refunds come back in the API's shape."""

    @override
    def pay_at(self, page_url: str) -> None:
        self.pay(parse_qs(urlsplit(page_url).query)["orderId"][0])

    def payments(self) -> list[dict[str, Any]]:
        """Every payment in the API's shape, oldest first."""
        return _items(self._ask("GET", "/control/state"), "payments")

    def refunds(self) -> list[dict[str, Any]]:
        """Every refund in the API's shape, oldest first."""
        return _items(self._ask("GET", "/control/state"), "refunds")

    def receipts(self) -> list[dict[str, Any]]:
        """Every receipt in the API's shape, oldest first."""
        return _items(self._ask("GET", "/control/state"), "receipts")

    def pay(self, payment_id: str, *, three_d_secure: bool = False) -> dict[str, Any]:
        """The customer pays, after a proof for their bank where `three_d_secure`."""
        return _object(self._ask("POST", f"/control/payments/{payment_id}/pay", {"three_d_secure": three_d_secure}))

    def decline(self, payment_id: str, *, reason: str = "general_decline") -> dict[str, Any]:
        """The customer's bank refuses."""
        return _object(self._ask("POST", f"/control/payments/{payment_id}/decline", {"reason": reason}))

    def expire(self, payment_id: str) -> dict[str, Any]:
        """The hour for paying is over."""
        return _object(self._ask("POST", f"/control/payments/{payment_id}/expire"))

    def let_refunds(self, mode: RefundMode) -> None:
        """Says what becomes of new refunds."""
        self._ask("PUT", "/control/refunds/mode", {"mode": mode.value})

    def end_refund(self, refund_id: str, *, is_good: bool) -> dict[str, Any]:
        """A pending refund succeeds or is cancelled."""
        return _object(self._ask("POST", f"/control/refunds/{refund_id}/{'succeed' if is_good else 'cancel'}"))

    def let_receipts(self, mode: ReceiptMode) -> None:
        """Says what becomes of receipts whose money moves."""
        self._ask("PUT", "/control/receipts/mode", {"mode": mode.value})

    def end_receipt(self, receipt_id: str, *, is_good: bool) -> dict[str, Any]:
        """A pending receipt is registered or refused."""
        return _object(self._ask("POST", f"/control/receipts/{receipt_id}/{'succeed' if is_good else 'cancel'}"))

    def refuse_method(self, method_id: str, *, reason: str = "insufficient_funds") -> None:
        """The bank refuses every charge of this saved method from now on."""
        self._ask("POST", f"/control/payment_methods/{method_id}/refuse", {"reason": reason})

    def accept_method(self, method_id: str) -> None:
        """The bank accepts charges of this saved method again."""
        self._ask("POST", f"/control/payment_methods/{method_id}/accept")

    def refund_in_the_cabinet(self, payment_id: str, amount: dict[str, str] | None = None) -> dict[str, Any]:
        """Somebody refunds at the provider; without an amount, all that is left."""
        return _object(self._ask("POST", "/control/refunds", {"payment_id": payment_id, "amount": amount}))


class StripeRemote(ProviderRemote):
    """The remote control of Stripe; its objects come back in the API's shape."""

    @override
    def pay_at(self, page_url: str) -> None:
        self.act(urlsplit(page_url).path.rpartition("/")[2], "pay")

    def state(self, kind: str) -> list[dict[str, Any]]:
        """Every object of a kind, oldest first: customers, sessions, intents, methods, charges, refunds, disputes."""
        return _items(self._ask("GET", "/control/state"), kind)

    def act(self, session_id: str, step: str) -> dict[str, Any]:
        """What a customer does on the page of a session: pay, decline, challenge; or the time, or a slow bank.

        The time: expire. A bank that takes days: process, then arrive or fail.
        """
        return _object(self._ask("POST", f"/control/sessions/{session_id}/{step}"))

    def reserve(self, amount: int, currency: str = "usd") -> dict[str, Any]:
        """A payment that is paid and waits for its capture."""
        return _object(self._ask("POST", "/control/reservations", {"amount": amount, "currency": currency}))

    def refuse_method(self, method_id: str, code: str | None = "generic_decline") -> dict[str, Any]:
        """The bank refuses each charge of this kept card from now on; None means that it does not."""
        return _object(self._ask("POST", f"/control/methods/{method_id}/refusal", {"code": code}))

    def refund_in_the_dashboard(self, of: str, amount: int | None = None) -> dict[str, Any]:
        """Somebody refunds an intent or a charge at the provider; without an amount, all that is left."""
        return _object(self._ask("POST", "/control/refunds", {"of": of, "amount": amount}))

    def hold_refunds(self, *, are_held: bool = True) -> None:
        """Says whether new refunds stay pending."""
        self._ask("PUT", "/control/refunds/mode", {"are_held": are_held})

    def end_refund(self, refund_id: str, *, is_good: bool) -> dict[str, Any]:
        """A refund arrives, or comes back."""
        return _object(self._ask("POST", f"/control/refunds/{refund_id}/end", {"is_good": is_good}))

    def dispute(self, of: str, *, amount: int | None = None, is_warning: bool = False) -> dict[str, Any]:
        """The customer's bank wants the money of an intent or a charge back, or asks about it first."""
        body = {"of": of, "amount": amount, "is_warning": is_warning}
        return _object(self._ask("POST", "/control/disputes", body))

    def close_dispute(self, dispute_id: str, *, is_won: bool) -> dict[str, Any]:
        """The bank decides."""
        return _object(self._ask("POST", f"/control/disputes/{dispute_id}/close", {"is_won": is_won}))


def _object(answer: Any) -> dict[str, Any]:
    assert isinstance(answer, dict), "control answers are objects"
    return answer


def _items(answer: Any, member: str = "items") -> list[dict[str, Any]]:
    items = _object(answer)[member]
    assert isinstance(items, list), "lists come as arrays"
    return items
