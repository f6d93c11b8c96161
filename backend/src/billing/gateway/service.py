"""One paid call, from the question to the entry in the books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import AsyncExitStack

import structlog

from billing.customers.rules import Permission, Principal, require
from billing.gateway.booking import Booker
from billing.gateway.calls import Answer, Call, Funding, Outcome, StreamedAnswer
from billing.gateway.catalog import ModelCatalog
from billing.gateway.errors import BillingUnavailable, ModelNotAllowed
from billing.gateway.fail_closed import failing_closed
from billing.gateway.forwarding import Forwarder
from billing.gateway.funding import Funder
from billing.gateway.ports import ModelUpstream
from billing.gateway.pump import Refused
from billing.gateway.quotes import Quote, Quoter
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Delivery, Incoming, PaidRequest, QuoteBounds
from billing.gateway.rules.quote_request import read_quoted_request
from billing.gateway.rules.readers import READERS
from billing.gateway.rules.replies import ProviderRefusal
from billing.gateway.rules.routes import RouteTable
from billing.gateway.rules.stream_terms import StreamTerms
from billing.gateway.stream_accounts import Books
from billing.gateway.streaming import Streams
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.turns import Turns
from billing.kit.unit_of_work import Begin
from billing.pricing.rules import RateSnapshot
from billing.pricing.service import PricingService
from billing.quotas.rules import NotAvailable, Reserved
from billing.quotas.service import QuotaService
from billing.subscriptions.entitlements import Entitlements
from billing.usage.rules import UsageEvent
from billing.usage.service import UsageService
from billing.wallets.rules import OperationId
from billing.wallets.service import WalletService

_log = structlog.get_logger(__name__)

_OK = 200
_SETTLE_ATTEMPTS = 2
# A commit may have succeeded although its answer was lost; so much later we look whether it did.
_LOOK_AGAIN_SECONDS = (0.0, 0.2, 0.5)


class GatewayService:
    """The only way to a model provider: nothing is forwarded that is not paid for or free, nothing delivered unbooked.

    `currency` is that of the wallets which pay here.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        turns: Turns,
        clock: Clock,
        ids: Ids,
        pricing: PricingService,
        quotas: QuotaService,
        wallets: WalletService,
        usage: UsageService,
        entitlements: Entitlements,
        catalog: ModelCatalog,
        routes: RouteTable,
        upstream: ModelUpstream,
        bounds: QuoteBounds,
        currency: Currency,
        stream_terms: StreamTerms,
    ) -> None:
        self._begin = begin
        self._turns = turns
        self._clock = clock
        self._ids = ids
        self._quotas = quotas
        self._wallets = wallets
        self._usage = usage
        self._catalog = catalog
        self._routes = routes
        self._forwarder = Forwarder(upstream)
        self._funder = Funder(
            pricing=pricing, quotas=quotas, wallets=wallets, entitlements=entitlements, currency=currency
        )
        self._quoter = Quoter(begin=begin, funder=self._funder, wallets=wallets)
        self._booker = Booker(clock=clock, quotas=quotas, wallets=wallets, usage=usage)
        books = Books(
            begin=begin,
            turns=turns,
            clock=clock,
            booker=self._booker,
            wallets=wallets,
            quotas=quotas,
            usage=usage,
            terms=stream_terms,
        )
        self._streams = Streams(books, self._forwarder)
        self._bounds = bounds
        self.currency = currency

    async def serve(
        self,
        principal: Principal,
        door: Door,
        incoming: Incoming,
        *,
        correlation_id: str | None = None,
        max_reply_cost: Money | None = None,
        client_network: str | None = None,
    ) -> Answer | StreamedAnswer:
        """Answers a request, and charges what it used: to the free quota if it fits there, else to the wallet.

        Each call is an operation of its own, whatever ids the client sends along. `max_reply_cost` can only tighten
        what the wallet allows. A provider's refusal is an answer with its status; nothing is charged for it.

        Raises:
            Forbidden: the caller may not call models.
            InvalidInput: the request is malformed.
            ModelNotFound: the model is not served here.
            ModelNotAllowed: the key is for other models.
            PriceUnknown: the model has no price in the wallet's currency.
            InsufficientFunds: the wallet cannot pay the most that the call can cost.
            MaxReplyCostExceeded: the call can cost more than allowed.
            CapExceeded: a cap has no room for the most that the call can cost.
            QuotaExceeded, FreeQuotaUnavailable: the account spends nothing but its free quota.
            UpstreamFailure: the provider gave nothing that can be delivered; nothing is charged.
            BillingUnavailable: the books cannot be reached; nothing was delivered.
        """
        require(principal, Permission.CALL_MODELS)
        call = self._call(
            principal,
            READERS[door](incoming, self._bounds),
            correlation_id=correlation_id,
            max_reply_cost=max_reply_cost,
            client_network=client_network,
        )
        funding, available = await self._let_in(call)
        if available is None:
            return await self._whole(call, funding)
        streamed = await self._streams.open(call, funding, available)
        if isinstance(streamed, Refused):
            return self._refusal(call, funding, streamed.refusal, streamed.balance)
        return streamed

    async def _let_in(self, call: Call) -> tuple[Funding, Money | None]:
        """Funds the call; for a stream also its first checkpoint, with what the wallet has available beside it."""
        heard: list[Reserved | NotAvailable] = []
        try:
            with failing_closed():
                async with self._turns.at(call.principal.account_id), self._begin() as uow:
                    uow.writes_may_wait = True
                    funding = await self._funder.fund(uow, call, told=heard.append)
                    is_stream = call.request.is_stream
                    return funding, await self._streams.let_in(uow, call, funding) if is_stream else None
        finally:
            # The transaction may have been rolled back with the refusal; operators shall read of it all the same.
            await self._tell_operators(heard)

    async def _tell_operators(self, heard: Iterable[Reserved | NotAvailable]) -> None:
        """Notes who could not begin with free use. A note that cannot be written is no reason to refuse a call."""
        try:
            with failing_closed():
                for said in heard:
                    await self._quotas.record_refused_start(said)
        except BillingUnavailable:
            _log.warning("refused_start_not_recorded")

    async def close(self) -> None:
        """Ends the streams of this process: in their own time if that is short, else cut and settled."""
        await self._streams.finish()

    async def quote(
        self,
        principal: Principal,
        door: Door,
        incoming: Incoming,
        *,
        max_reply_cost: Money | None = None,
        client_network: str | None = None,
    ) -> Quote:
        """What the same call would cost at most, who would pay, and what would refuse it; nothing is held or called.

        Raises:
            Forbidden: the caller may not call models.
            InvalidInput: the request is malformed.
            ModelNotFound: the model is not served here.
            ModelNotAllowed: the key is for other models.
            PriceUnknown: the model has no price in the wallet's currency.
            BillingUnavailable: the books cannot be reached.
        """
        require(principal, Permission.CALL_MODELS)
        request = read_quoted_request(door, incoming, self._bounds)
        call = self._call(
            principal, request, correlation_id=None, max_reply_cost=max_reply_cost, client_network=client_network
        )
        return await self._quoter.quote(call)

    async def price_list(self) -> tuple[RateSnapshot, ...]:
        """The models that can be called here, with their prices.

        Raises:
            BillingUnavailable: the books cannot be reached.
        """
        with failing_closed():
            async with self._begin() as uow:
                return await self._catalog.price_list(uow)

    def _call(
        self,
        principal: Principal,
        request: PaidRequest,
        *,
        correlation_id: str | None,
        max_reply_cost: Money | None,
        client_network: str | None,
    ) -> Call:
        route = self._routes.of(request.model)
        if not principal.may_call(route.model):
            raise ModelNotAllowed(request.model)
        return Call(
            operation_id=OperationId(self._ids.new("opr")),
            principal=principal,
            request=request,
            route=route,
            correlation_id=correlation_id,
            max_reply_cost=max_reply_cost,
            client_network=client_network,
            began_at=self._clock.now(),
        )

    async def _whole(self, call: Call, funding: Funding) -> Answer:
        """An answer in one piece."""
        try:
            # No transaction is open while we wait for the provider; a crash here leaves a hold or a reservation that
            # its sweeper gives back, because nothing was delivered.
            async with AsyncExitStack() as connection:
                forwarded = await self._forwarder.forward(call, connection)
                if isinstance(forwarded, ProviderRefusal):
                    return self._refusal(call, funding, forwarded, await self._give_back(call, funding))
                delivery = await self._forwarder.delivery_of(call, forwarded)
            measured = call.request.measure(delivery, funding.rates[forwarded.target.priced_as])
            outcome = Outcome(forwarded.target, delivery.model_used, measured)
        except BaseException:
            await self._give_back(call, funding)
            raise
        return await self._settled(call, funding, outcome, delivery)

    async def _give_back(self, call: Call, funding: Funding) -> Money:
        with failing_closed():
            async with self._turns.at(call.principal.account_id), self._begin() as uow:
                return await self._booker.give_back(uow, call.operation_id, funding.wallet_id, funding.source)

    def _refusal(self, call: Call, funding: Funding, refusal: ProviderRefusal, balance: Money) -> Answer:
        _log.info("provider_refused", operation_id=call.operation_id, status=refusal.status)
        return Answer(
            status=refusal.status,
            content=json.dumps(refusal.body).encode(),
            content_type="application/json",
            body=refusal.body,
            operation_id=call.operation_id,
            charged=Money.zero(self.currency),
            balance=balance,
            billing_source=funding.source,
            retry_after_seconds=refusal.retry_after_seconds,
        )

    async def _settled(self, call: Call, funding: Funding, outcome: Outcome, delivery: Delivery) -> Answer:
        """Books the call, then hands out its answer: what cannot be booked is not delivered."""
        event = self._booker.event(call, funding, outcome)
        balance = await self._booked(event, outcome)
        return Answer(
            status=_OK,
            content=delivery.content,
            content_type=delivery.content_type,
            body=delivery.body,
            operation_id=call.operation_id,
            charged=event.charged,
            balance=balance,
            billing_source=funding.source,
        )

    async def _booked(self, event: UsageEvent, outcome: Outcome) -> Money:
        for attempts_left in reversed(range(_SETTLE_ATTEMPTS)):
            try:
                with failing_closed():
                    async with self._turns.at(event.account_id), self._begin() as uow:
                        # The first time it is new, so everything can go out with the commit.
                        uow.writes_may_wait = attempts_left == _SETTLE_ATTEMPTS - 1
                        return await self._booker.book(uow, event, outcome.measured.free)
            except BillingUnavailable:
                # A connection may break under us, even after the commit; booking twice changes nothing, and the
                # provider has done its work already.
                _log.warning("settlement_failed", operation_id=event.operation_id, attempts_left=attempts_left)
        return await self._booked_after_all(event)

    async def _booked_after_all(self, event: UsageEvent) -> Money:
        """What is booked is delivered, also where the answer to its commit was lost (G5).

        Raises:
            BillingUnavailable: it is not booked, or nobody can say.
        """
        for wait_seconds in _LOOK_AGAIN_SECONDS:
            await asyncio.sleep(wait_seconds)
            try:
                with failing_closed():
                    async with self._begin() as uow:
                        if await self._usage.event_of(uow, event.operation_id) is None:
                            break
                        return (await self._wallets.balance(uow, event.wallet_id)).available
            except BillingUnavailable:
                _log.warning("settlement_uncertain", operation_id=event.operation_id)
        raise BillingUnavailable
