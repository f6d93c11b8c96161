"""The carrier posts a message once, only to addresses that are open, and every way of failing is an answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from backend.tests.fakes.raw_server import Visit, raw_server
from billing.kit.unit_of_work import Begin
from billing.webhooks.outbound.adapters.http_carrier import HttpCarrier, Patience, Resolve, resolve
from billing.webhooks.outbound.addresses import AddressPolicy
from billing.webhooks.outbound.rules import Answer, Outcome

LOOPBACK = IPv4Network("127.0.0.0/8")
NAME = "hooks.example"
POLICY = AddressPolicy((LOOPBACK,), frozenset({"127.0.0.1", NAME}))
IMPATIENT = Patience(connect_seconds=0.3, total_seconds=0.5)
SELF_SIGNED = Path(__file__).parents[1] / "fakes" / "self_signed.pem"
BODY = b'{"type":"wallet.low_balance"}'
ACCEPTED = Answer(Outcome.ACCEPTED, 200)

Say = Callable[[Visit], Awaitable[None]]


def saying(*pieces: bytes) -> Say:
    """Answers with these bytes and leaves the connection open."""

    async def answer(visit: Visit) -> None:
        for piece in pieces:
            await visit.say(piece)

    return answer


def status(number: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {number} Whatever", *headers, "Content-Length: 0", "", ""]).encode()


def leads_to(*addresses: str) -> Resolve:
    """A resolver that knows one answer to everything."""

    async def look_up(host: str, port: int) -> Sequence[str]:
        assert host
        assert port
        return addresses

    return look_up


@asynccontextmanager
async def carrier(
    policy: AddressPolicy = POLICY, resolver: Resolve = resolve, tls: ssl.SSLContext | None = None
) -> AsyncIterator[HttpCarrier]:
    """The adapter, with short patience."""
    made = HttpCarrier(policy, patience=IMPATIENT, resolver=resolver, tls=tls)
    try:
        yield made
    finally:
        await made.aclose()


async def carried(to: HttpCarrier, url: str) -> Answer:
    return await to.carry(url, headers={"webhook-id": "msg_1"}, body=BODY)


class TestCarrying:
    async def test_posts_the_body_with_the_headers_once(self) -> None:
        bodies = []

        async def remember(visit: Visit) -> None:
            bodies.append(visit.body)
            await visit.say(status(200))

        async with raw_server(remember) as server, carrier() as out:
            answer = await carried(out, f"{server.url}/a%2Fb/?q=%41")

        (head,) = server.heads
        assert answer == ACCEPTED
        assert bodies == [BODY]
        assert head.startswith(b"POST /a%2Fb/?q=%41 HTTP/1.1\r\n")
        assert b"webhook-id: msg_1\r\n" in head
        assert b"Content-Type: application/json\r\n" in head
        assert f"Host: {urlsplit(server.url).netloc}\r\n".encode() in head

    @pytest.mark.parametrize(
        ("number", "outcome"),
        [
            (200, Outcome.ACCEPTED),
            (204, Outcome.ACCEPTED),
            (299, Outcome.ACCEPTED),
            (300, Outcome.REFUSED),
            (400, Outcome.REFUSED),
            (410, Outcome.REFUSED),
            (500, Outcome.REFUSED),
        ],
    )
    async def test_says_what_the_status_means(self, number: int, outcome: Outcome) -> None:
        async with raw_server(saying(status(number))) as server, carrier() as out:
            answer = await carried(out, server.url)

        assert answer == Answer(outcome, number)

    async def test_follows_no_redirect(self) -> None:
        async with raw_server(saying(status(200))) as elsewhere:
            redirect = saying(status(307, f"Location: {elsewhere.url}"))
            async with raw_server(redirect) as server, carrier() as out:
                answer = await carried(out, server.url)

        assert (answer, elsewhere.connections) == (Answer(Outcome.REFUSED, 307), 0)

    async def test_keeps_no_cookies_from_one_call_to_the_next(self) -> None:
        async with raw_server(saying(status(200, "Set-Cookie: a=b; Path=/"))) as server, carrier() as out:
            await carried(out, server.url)
            await carried(out, server.url)

        assert [b"cookie" in head.lower() for head in server.heads] == [False, False]

    async def test_within_a_transaction_is_a_bug(self, begin: Begin) -> None:
        async with carrier() as out:
            with pytest.raises(AssertionError):
                async with begin():
                    await carried(out, "http://127.0.0.1:9/")


class TestWhatComesBack:
    async def test_an_answer_without_end_is_known_by_its_status(self) -> None:
        async def pour(visit: Visit) -> None:
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await visit.say(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

        async with raw_server(pour) as server, carrier() as out:
            answer = await carried(out, server.url)

        assert answer == ACCEPTED

    async def test_headers_that_drip_for_ever_are_not_waited_for(self) -> None:
        async def drip(visit: Visit) -> None:
            await visit.say(b"HTTP/1.1 200 OK\r\n")
            while True:
                await visit.say(b"X-More: 1\r\n")
                await asyncio.sleep(0.05)  # a receiver that is as slow as it can be

        async with raw_server(drip) as server, carrier() as out:
            answer = await carried(out, server.url)

        assert answer.outcome in {Outcome.TIMED_OUT, Outcome.BROKEN}

    async def test_a_receiver_that_says_nothing_times_out(self) -> None:
        async with raw_server(Visit.until_they_hang_up) as server, carrier() as out:
            answer = await carried(out, server.url)

        assert answer == Answer(Outcome.TIMED_OUT)

    @pytest.mark.parametrize(
        "said",
        [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", b"HTTP/1.1 99999 ?\r\n\r\n"],
        ids=["no HTTP", "a header too long", "no status"],
    )
    async def test_what_is_not_http_is_broken(self, said: bytes) -> None:
        async with raw_server(saying(said)) as server, carrier() as out:
            answer = await carried(out, server.url)

        assert answer == Answer(Outcome.BROKEN)

    async def test_a_connection_that_is_torn_down_is_broken(self) -> None:
        async def reset(visit: Visit) -> None:
            visit.reset()

        async with raw_server(reset) as server, carrier() as out:
            answer = await carried(out, server.url)

        assert answer == Answer(Outcome.BROKEN)

    async def test_nobody_there_is_unreachable(self) -> None:
        async with carrier() as out:
            answer = await carried(out, "http://127.0.0.1:9/")

        assert answer == Answer(Outcome.UNREACHABLE)


class TestNames:
    async def test_a_name_is_reached_at_the_address_that_was_checked(self) -> None:
        async with raw_server(saying(status(200))) as server, carrier(resolver=leads_to("127.0.0.1")) as out:
            answer = await carried(out, f"http://{NAME}:{urlsplit(server.url).port}/")

        assert answer == ACCEPTED
        assert f"Host: {NAME}:{urlsplit(server.url).port}\r\n".encode() in server.heads[0]

    async def test_the_next_address_is_tried_where_nobody_answers_at_the_first(self) -> None:
        look_up = leads_to("127.0.0.9", "127.0.0.1")
        async with raw_server(saying(status(200))) as server, carrier(resolver=look_up) as out:
            answer = await carried(out, f"http://{NAME}:{urlsplit(server.url).port}/")

        assert answer == ACCEPTED

    @pytest.mark.parametrize(
        "addresses",
        [("10.0.0.1",), ("127.0.0.1", "10.0.0.1"), ("169.254.169.254",), ("::1",), ("fe80::1%eth0",), ()],
        ids=str,
    )
    async def test_a_name_with_any_closed_address_is_not_connected_to(self, addresses: tuple[str, ...]) -> None:
        async with raw_server(saying(status(200))) as server, carrier(resolver=leads_to(*addresses)) as out:
            answer = await carried(out, f"http://{NAME}:{urlsplit(server.url).port}/")

        assert (answer, server.connections) == (Answer(Outcome.ADDRESS_REFUSED), 0)

    async def test_a_name_that_changes_its_mind_is_looked_up_once_for_each_attempt(self) -> None:
        answers = iter([["127.0.0.1"], ["10.0.0.1"]])

        async def rebinding(host: str, port: int) -> Sequence[str]:
            assert (host, bool(port)) == (NAME, True)
            return next(answers)

        async with raw_server(saying(status(200))) as server, carrier(resolver=rebinding) as out:
            url = f"http://{NAME}:{urlsplit(server.url).port}/"
            first, second = await carried(out, url), await carried(out, url)

        assert (first, second) == (ACCEPTED, Answer(Outcome.ADDRESS_REFUSED))
        assert server.connections == 1

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
    async def test_a_number_in_disguise_is_what_the_machine_makes_of_it(self, host: str) -> None:
        policy = AddressPolicy((), frozenset({host}))
        async with raw_server(saying(status(200))) as server, carrier(policy) as out:
            answer = await carried(out, f"http://{host}:{urlsplit(server.url).port}/")

        assert (answer, server.connections) == (Answer(Outcome.ADDRESS_REFUSED), 0)

    async def test_a_name_that_nobody_has_is_unreachable(self) -> None:
        async with carrier() as out:
            answer = await carried(out, "https://nobody.invalid/")

        assert answer == Answer(Outcome.UNREACHABLE)

    async def test_a_resolver_that_does_not_answer_is_not_waited_for(self) -> None:
        async def silent(host: str, port: int) -> Sequence[str]:
            return await asyncio.get_running_loop().create_future() or [host, str(port)]

        async with carrier(resolver=silent) as out:
            answer = await carried(out, f"http://{NAME}/")

        assert answer == Answer(Outcome.UNREACHABLE)


class TestTls:
    async def test_the_certificate_must_be_one_that_an_authority_vouches_for(self) -> None:
        async with raw_server(saying(status(200)), tls=_server_tls()) as server, carrier() as out:
            answer = await carried(out, server.url)

        assert (answer, server.heads) == (Answer(Outcome.UNREACHABLE), [])

    async def test_the_certificate_is_that_of_the_name_and_not_of_the_number(self) -> None:
        trusting = ssl.create_default_context(cafile=SELF_SIGNED)
        async with raw_server(saying(status(200)), tls=_server_tls()) as server:
            port = urlsplit(server.url).port
            async with carrier(resolver=leads_to("127.0.0.1"), tls=trusting) as out:
                right = await carried(out, f"https://127.0.0.1:{port}/")
                wrong = await carried(out, f"https://{NAME}:{port}/")

        assert (right, wrong) == (ACCEPTED, Answer(Outcome.UNREACHABLE))


def _server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(SELF_SIGNED)
    return context
