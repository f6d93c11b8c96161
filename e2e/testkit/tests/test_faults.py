"""Each planned fault looks to the client as it does in the wild, and leaves the effect that was planned."""

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from yookassa import Configuration, Payment

from testkit.simulators.faults import Effect, Fault, FaultKind, FaultPlan, UsageVariant, merge_patch
from testkit.simulators.remote import YookassaRemote
from testkit.simulators.yookassa import YookassaSettings

Create = Callable[[str], httpx.Response]
SHORT_SECONDS = 0.3


@pytest.fixture
def create(api: httpx.Client) -> Create:
    """Creates a payment under an idempotence key, like a client that soon loses its patience."""

    def create(key: str) -> httpx.Response:
        body = {
            "amount": {"value": "100.00", "currency": "RUB"},
            "confirmation": {"type": "redirect", "return_url": "https://shop.example/back"},
            "capture": True,
        }
        return api.post("/payments", json=body, headers={"Idempotence-Key": key}, timeout=SHORT_SECONDS)

    return create


class TestErrorAnswers:
    @pytest.mark.parametrize(
        ("kind", "status", "code"),
        [
            (FaultKind.RATE_LIMITED, 429, "too_many_requests"),
            (FaultKind.SERVER_ERROR, 500, "internal_server_error"),
            (FaultKind.UNAVAILABLE, 503, "internal_server_error"),
        ],
    )
    def test_the_provider_refuses_in_its_own_shape(
        self, yookassa: YookassaRemote, create: Create, kind: FaultKind, status: int, code: str
    ) -> None:
        yookassa.plan(Fault(kind=kind))

        answer = create("key-1")

        assert (answer.status_code, answer.json()["type"], answer.json()["code"]) == (status, "error", code)

    def test_a_limit_says_when_to_come_back(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.RATE_LIMITED, retry_after_seconds=7))

        assert create("key-1").headers["retry-after"] == "7"

    @pytest.mark.parametrize(("kind", "status"), [(FaultKind.BAD_GATEWAY_HTML, 502), (FaultKind.GATEWAY_TIMEOUT, 504)])
    def test_a_proxy_answers_in_html(
        self, yookassa: YookassaRemote, create: Create, kind: FaultKind, status: int
    ) -> None:
        yookassa.plan(Fault(kind=kind))

        answer = create("key-1")

        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html")
        assert answer.text.startswith("<html>")

    def test_the_official_sdk_hides_what_went_wrong(
        self, yookassa: YookassaRemote, yookassa_settings: YookassaSettings
    ) -> None:
        yookassa.plan(Fault(kind=FaultKind.BAD_GATEWAY_HTML))
        Configuration.configure(yookassa_settings.shop_id, yookassa_settings.secret_key, api_url=f"{yookassa.url}/v3")

        with pytest.raises(ValueError, match="Expecting value"):
            Payment.find_one("any")

        Configuration.configure(None, None)


class TestLostConnections:
    def test_a_reset_is_a_real_one(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.RESET))

        with pytest.raises(httpx.ReadError, match="reset by peer"):
            create("key-1")

    def test_a_hanging_call_ends_with_the_clients_patience(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.HANG))

        with pytest.raises(httpx.ReadTimeout):
            create("key-1")

    def test_a_hanging_call_is_cut_when_its_time_is_up(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.HANG, seconds=0.01))

        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            create("key-1")

    def test_half_a_response_announces_more_than_it_has(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.HALF_RESPONSE))

        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            create("key-1")

        assert len(yookassa.payments()) == 1


class TestASlowDrip:
    def test_the_right_answer_comes_byte_by_byte(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.SLOW_DRIP, seconds=0.05))

        answer = create("key-1")

        assert answer.json()["status"] == "pending"
        assert [call["ending"] for call in yookassa.calls("create_payment", at_least=1, has_ended=True)] == ["whole"]

    def test_no_pause_between_two_bytes_is_long_enough_for_a_client_that_counts_only_silence(
        self, yookassa: YookassaRemote, api: httpx.Client
    ) -> None:
        yookassa.plan(Fault(kind=FaultKind.SLOW_DRIP, operation="get_me", seconds=0.6))

        answer = api.get("/me", timeout=0.3)

        assert answer.json()["test"]

    def test_it_ends_when_its_client_goes_away(self, yookassa: YookassaRemote, api: httpx.Client) -> None:
        yookassa.plan(Fault(kind=FaultKind.SLOW_DRIP, operation="get_me", seconds=60))

        with api.stream("GET", "/me") as answer:
            next(answer.iter_raw(1))

        (call,) = yookassa.calls("get_me", at_least=1, has_ended=True)
        assert (call["ending"], call["status"]) == ("client_left", 200)


class TestTheEffect:
    @pytest.mark.parametrize(
        ("kind", "effect", "payments"),
        [
            (kind, effect, int(effect is Effect.DONE))
            for kind, effect in itertools.product(
                [FaultKind.RESET, FaultKind.HANG, FaultKind.SERVER_ERROR, FaultKind.BAD_GATEWAY_HTML], Effect
            )
        ],
    )
    def test_a_call_that_failed_may_have_been_carried_out(
        self, yookassa: YookassaRemote, create: Create, kind: FaultKind, effect: Effect, payments: int
    ) -> None:
        yookassa.plan(Fault(kind=kind, effect=effect))

        try:
            failed = create("key-1").is_error
        except httpx.TransportError:
            failed = True

        assert failed
        assert len(yookassa.payments()) == payments

    @pytest.mark.parametrize("effect", Effect)
    def test_trying_again_with_the_key_ends_with_one_payment(
        self, yookassa: YookassaRemote, create: Create, effect: Effect
    ) -> None:
        yookassa.plan(Fault(kind=FaultKind.RESET, effect=effect))
        with pytest.raises(httpx.ReadError):
            create("key-1")

        answer = create("key-1")

        assert [payment["id"] for payment in yookassa.payments()] == [answer.json()["id"]]


class TestDelays:
    @pytest.mark.parametrize("effect", Effect)
    def test_a_late_answer_is_the_right_one(self, yookassa: YookassaRemote, create: Create, effect: Effect) -> None:
        yookassa.plan(Fault(kind=FaultKind.DELAY, seconds=0.05, effect=effect))

        answer = create("key-1")

        assert answer.elapsed.total_seconds() >= 0.05
        assert answer.json()["status"] == "pending"


class TestSpoiledAnswers:
    @pytest.mark.parametrize("kind", [FaultKind.MALFORMED_JSON, FaultKind.EMPTY_BODY])
    def test_a_good_status_can_come_with_a_bad_body(
        self, yookassa: YookassaRemote, create: Create, kind: FaultKind
    ) -> None:
        yookassa.plan(Fault(kind=kind))

        answer = create("key-1")

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            answer.json()
        assert len(yookassa.payments()) == 1

    def test_a_good_status_can_come_with_good_json_of_another_shape(
        self, yookassa: YookassaRemote, create: Create
    ) -> None:
        yookassa.plan(Fault(kind=FaultKind.WRONG_JSON))

        answer = create("key-1")

        assert answer.status_code == 200
        assert "id" not in answer.json()
        assert len(yookassa.payments()) == 1

    def test_an_answer_can_lie_about_the_amount(
        self, yookassa: YookassaRemote, api: httpx.Client, create: Create
    ) -> None:
        payment_id = create("key-1").json()["id"]
        lie = {"amount": {"value": "1.00"}, "forged": True, "test": None}
        yookassa.plan(Fault(kind=FaultKind.ALTERED, operation="get_payment", changes=lie))

        altered, honest = (api.get(f"/payments/{payment_id}").json() for _ in range(2))

        assert altered["amount"] == {"value": "1.00", "currency": "RUB"}
        assert (altered["forged"], "test" in altered) == (True, False)
        assert honest["amount"]["value"] == "100.00"


class TestThePlan:
    def test_a_fault_waits_for_its_operation(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.SERVER_ERROR, operation="get_payment"))

        assert create("key-1").status_code == 200
        assert [fault["operation"] for fault in yookassa.pending_faults()] == ["get_payment"]

    def test_faults_come_in_the_order_of_the_plan_and_are_used_up(self) -> None:
        plan = FaultPlan()
        plan.add(Fault(kind=FaultKind.RESET, times=2))
        plan.add(Fault(kind=FaultKind.HANG, operation="list_models"))

        taken = [plan.take("list_models") for _ in range(4)]

        assert [fault and fault.kind for fault in taken] == [FaultKind.RESET, FaultKind.RESET, FaultKind.HANG, None]

    def test_pending_faults_say_how_often_they_will_still_happen(self) -> None:
        plan = FaultPlan()
        plan.add(Fault(kind=FaultKind.RESET, times=3))

        plan.take("anything")

        assert [fault.times for fault in plan.pending()] == [2]

    @pytest.mark.parametrize(
        "incomplete",
        [
            {"kind": "altered"},
            {"kind": "usage"},
            {"kind": "reset", "changes": {}},
            {"kind": "reset", "usage_variant": UsageVariant.ZERO},
            {"kind": "produced"},
            {"kind": "refused"},
            {"kind": "refused", "status": 200},
            {"kind": "delivered"},
            {"kind": "reset", "delivery": {"piece_bytes": 1}},
            {"kind": "reset", "unknown": 1},
            {"kind": "reset", "times": 0},
        ],
    )
    def test_a_fault_that_could_not_happen_cannot_be_planned(self, incomplete: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Fault.model_validate(incomplete)

    @pytest.mark.parametrize(
        ("target", "patch", "merged"),
        [
            ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
            ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
            ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
            ({"a": 1}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
            ([1], {"a": 1}, {"a": 1}),
        ],
    )
    def test_changes_are_merged_as_the_standard_says(self, target: Any, patch: Any, merged: Any) -> None:
        assert merge_patch(target, patch) == merged


class TestTheCallLog:
    def test_it_tells_what_arrived_and_what_was_answered(self, yookassa: YookassaRemote, create: Create) -> None:
        yookassa.plan(Fault(kind=FaultKind.RESET))
        with pytest.raises(httpx.ReadError):
            create("key-1")
        create("key-1")

        calls = yookassa.calls("create_payment")

        assert [(call["number"], call["fault"], call["status"]) for call in calls] == [
            (1, "reset", None),
            (2, None, 200),
        ]
        assert {call["headers"]["idempotence-key"] for call in calls} == {"key-1"}
        assert calls[0]["body"]["amount"]["value"] == "100.00"

    def test_it_keeps_no_credentials(self, yookassa: YookassaRemote, create: Create) -> None:
        create("key-1")

        assert "authorization" not in yookassa.calls()[0]["headers"]

    def test_waiting_for_calls_that_do_not_come_ends(self, yookassa: YookassaRemote) -> None:
        with pytest.raises(TimeoutError, match="0 of 1 calls of get_me arrived"):
            yookassa.calls("get_me", at_least=1, within_seconds=0.01)

    def test_calls_can_be_forgotten(self, yookassa: YookassaRemote, create: Create) -> None:
        create("key-1")

        yookassa.forget_calls()

        assert yookassa.calls() == []
