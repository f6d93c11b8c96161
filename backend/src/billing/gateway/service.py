"""One paid call, from the question to the entry in the books."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from psycopg import Error as DriverError
from sqlalchemy.exc import SQLAlchemyError

from billing.customers.rules import Permission, Principal, require
from billing.gateway.catalog import ModelCatalog
from billing.gateway.errors import BillingUnavailable
from billing.gateway.ports import ChatUpstream
from billing.gateway.rules.chat_request import ChatRequest, QuoteBounds, read_chat_request
from billing.gateway.rules.metering import Measured, measure
from billing.gateway.rules.replies import Completion, ProviderRefusal, read_reply
from billing.gateway.rules.routes import ModelRoute, RouteTable
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.pricing.rules import RateSnapshot, highest_price_of, price_of
from billing.pricing.service import PricingService
from billing.quotas.rules import Amounts, FreeStanding, Reserved
from billing.quotas.service import QuotaService
from billing.usage.rules import BillingSource, UsageEvent
from billing.usage.service import UsageService
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import WalletService

_log = structlog.get_logger(__name__)

_OK = 200
_SETTLE_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What the caller gets: a completion, or the provider's own refusal (`status` 400 and up, nothing charged).

    `content` is `body` as bytes of JSON; `balance` is what a next call could take.
    """

    status: int
    body: Mapping[str, Any]
    content: bytes
    operation_id: OperationId
    charged: Money
    balance: Money
    billing_source: BillingSource
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class PublicPricing:
    """What anybody may know: the models on offer, their prices, and what is free for a newcomer."""

    currency: Currency
    models: tuple[RateSnapshot, ...]
    free: FreeStanding


@dataclass(frozen=True, slots=True)
class _Call:
    """One operation. Its id is ours; what the client calls it is kept beside it and decides nothing."""

    operation_id: OperationId
    principal: Principal
    request: ChatRequest
    route: ModelRoute
    correlation_id: str | None
    max_reply_cost: Money | None
    began_at: datetime


@dataclass(frozen=True, slots=True)
class _Funding:
    """Who pays for the call, and at which rates: those of the moment in which it was let in."""

    source: BillingSource
    wallet_id: WalletId
    rates: RateSnapshot


class GatewayService:
    """The only way to a model provider: nothing is forwarded that is not paid for or free, nothing delivered unbooked.

    `currency` is that of the wallets which pay here.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        pricing: PricingService,
        quotas: QuotaService,
        wallets: WalletService,
        usage: UsageService,
        catalog: ModelCatalog,
        routes: RouteTable,
        upstream: ChatUpstream,
        bounds: QuoteBounds,
        currency: Currency,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._pricing = pricing
        self._quotas = quotas
        self._wallets = wallets
        self._usage = usage
        self._catalog = catalog
        self._routes = routes
        self._upstream = upstream
        self._bounds = bounds
        self.currency = currency

    async def complete_chat(
        self,
        principal: Principal,
        body: bytes | Mapping[str, Any],
        *,
        correlation_id: str | None = None,
        max_reply_cost: Money | None = None,
    ) -> ChatAnswer:
        """Answers a chat request, and charges what it used: to the free quota if it fits there, else to the wallet.

        Each call is an operation of its own, whatever ids the client sends along. `max_reply_cost` can only tighten
        what the wallet allows. A provider's refusal is an answer with its status; nothing is charged for it.

        Raises:
            Forbidden: the caller may not call models.
            InvalidInput: the request is malformed.
            StreamUnsupported: it asks for a stream.
            ModelNotFound: the model is not served here.
            PriceUnknown: the model has no price in the wallet's currency.
            InsufficientFunds: the wallet cannot pay the most that the call can cost.
            MaxReplyCostExceeded: the call can cost more than allowed.
            UpstreamFailure: the provider gave nothing that can be delivered; nothing is charged.
            BillingUnavailable: the books cannot be reached; nothing was delivered.
        """
        require(principal, Permission.CALL_MODELS)
        request = read_chat_request(body, self._bounds)
        call = _Call(
            operation_id=OperationId(self._ids.new("opr")),
            principal=principal,
            request=request,
            route=self._routes.of(request.model),
            correlation_id=correlation_id,
            max_reply_cost=max_reply_cost,
            began_at=self._clock.now(),
        )
        funding = await self._fund(call)
        try:
            # No transaction is open while we wait for the provider; a crash here leaves a hold or a reservation that
            # its sweeper gives back, because nothing was delivered.
            reply = await self._upstream.complete_chat(call.route, request.for_upstream(call.route.upstream_model))
            outcome = read_reply(reply, call.route)
        except BaseException:
            await self._give_back(call, funding)
            raise
        if isinstance(outcome, ProviderRefusal):
            return await self._refused(call, funding, outcome)
        return await self._settled(call, funding, outcome)

    async def price_list(self) -> tuple[RateSnapshot, ...]:
        """The models that can be called here, with their prices.

        Raises:
            BillingUnavailable: the books cannot be reached.
        """
        with failing_closed():
            async with self._begin() as uow:
                return await self._catalog.price_list(uow)

    async def public_pricing(self) -> PublicPricing:
        """What anybody may know about prices.

        Raises:
            BillingUnavailable: the books cannot be reached.
        """
        with failing_closed():
            async with self._begin() as uow:
                models = await self._catalog.price_list(uow)
                return PublicPricing(self.currency, models, await self._quotas.offer(uow))

    async def _fund(self, call: _Call) -> _Funding:
        """Sets aside the most that the call can use: of the free quota, else of the wallet.

        A quota store that fails fails the call: the wallet is never charged for what should have been free.
        """
        account_id = call.principal.account_id
        with failing_closed():
            async with self._begin() as uow:
                wallet_id = await self._wallets.of_account(uow, account_id, self.currency)
                rates = await self._pricing.rates_for(uow, call.route.model, self.currency, call.began_at)
                estimate = Amounts(call.request.input_tokens_bound, call.request.output_tokens_bound)
                free = await self._quotas.reserve(uow, account_id, call.operation_id, estimate, model=call.route.model)
                if isinstance(free, Reserved):
                    return _Funding(BillingSource.LEAD_MAGNET, wallet_id, rates)
                at_most = highest_price_of(
                    rates, input_tokens=estimate.input_tokens, output_tokens=estimate.output_tokens
                )
                await self._wallets.hold(uow, wallet_id, at_most, call.operation_id, max_reply_cost=call.max_reply_cost)
                return _Funding(BillingSource.PAYG, wallet_id, rates)

    async def _give_back(self, call: _Call, funding: _Funding) -> Money:
        """Ends the operation uncharged; answers what the wallet has available then."""
        with failing_closed():
            async with self._begin() as uow:
                if funding.source is BillingSource.LEAD_MAGNET:
                    await self._quotas.release(uow, call.operation_id)
                else:
                    await self._wallets.release(uow, funding.wallet_id, call.operation_id, reason="nothing_delivered")
                return (await self._wallets.balance(uow, funding.wallet_id)).available

    async def _refused(self, call: _Call, funding: _Funding, refusal: ProviderRefusal) -> ChatAnswer:
        balance = await self._give_back(call, funding)
        _log.info("provider_refused", operation_id=call.operation_id, status=refusal.status)
        return ChatAnswer(
            status=refusal.status,
            body=refusal.body,
            content=json.dumps(refusal.body).encode(),
            operation_id=call.operation_id,
            charged=Money.zero(self.currency),
            balance=balance,
            billing_source=funding.source,
            retry_after_seconds=refusal.retry_after_seconds,
        )

    async def _settled(self, call: _Call, funding: _Funding, completion: Completion) -> ChatAnswer:
        """Books the call, then hands out its answer: what cannot be booked is not delivered."""
        measured = measure(call.request, completion.body)
        event = self._event(call, funding, measured, completion)
        balance = await self._booked(call, funding, measured, event)
        return ChatAnswer(
            status=_OK,
            body=completion.body,
            content=completion.content,
            operation_id=call.operation_id,
            charged=event.charged,
            balance=balance,
            billing_source=funding.source,
        )

    async def _booked(self, call: _Call, funding: _Funding, measured: Measured, event: UsageEvent) -> Money:
        for attempts_left in reversed(range(_SETTLE_ATTEMPTS)):
            try:
                with failing_closed():
                    async with self._begin() as uow:
                        return await self._book(uow, funding, measured, event)
            except BillingUnavailable:
                # A connection may break under us, even after the commit; booking twice changes nothing, and the
                # provider has done its work already.
                _log.warning("settlement_failed", operation_id=call.operation_id, attempts_left=attempts_left)
        raise BillingUnavailable

    async def _book(self, uow: UnitOfWork, funding: _Funding, measured: Measured, event: UsageEvent) -> Money:
        """Charge or free use, and the usage event, commit together or not at all (G4)."""
        if funding.source is BillingSource.LEAD_MAGNET:
            used = Amounts(measured.input_tokens, measured.output_tokens)
            await self._quotas.finalise(uow, event.operation_id, used)
            balance = (await self._wallets.balance(uow, funding.wallet_id)).available
        else:
            charge = await self._wallets.settle(uow, funding.wallet_id, event.operation_id, event.charged)
            balance = charge.available
        await self._usage.record(uow, event)
        return balance

    def _event(self, call: _Call, funding: _Funding, measured: Measured, completion: Completion) -> UsageEvent:
        now = self._clock.now()
        raw_cost = price_of(measured.quantities, funding.rates)
        is_free = funding.source is BillingSource.LEAD_MAGNET
        return UsageEvent(
            operation_id=call.operation_id,
            account_id=call.principal.account_id,
            wallet_id=funding.wallet_id,
            person_id=call.principal.person_id,
            api_key_id=call.principal.api_key_id,
            billing_source=funding.source,
            model_asked=call.request.model,
            model_priced=call.route.model,
            model_used=_storable(completion.model_used),
            quantities=measured.quantities,
            raw_cost=raw_cost,
            charged=Money.zero(self.currency) if is_free else raw_cost,
            discount_percent=0,
            rates=funding.rates.to_json(),
            estimate_reason=measured.estimate_reason,
            latency_ms=int((now - call.began_at).total_seconds() * 1000),
            correlation_id=None if call.correlation_id is None else _storable(call.correlation_id),
            occurred_at=now,
        )


@contextmanager
def failing_closed() -> Iterator[None]:
    """A database that fails is no reason to let a call through, and none to show its error to anybody (G11).

    Raises:
        BillingUnavailable: the books cannot be reached, or refuse what they were told.
    """
    try:
        yield
    except (SQLAlchemyError, DriverError, OSError) as error:
        # The error's own words hold statements with their values; kind and state say what is wrong without them.
        cause = getattr(error, "orig", error)
        _log.error("billing_unavailable", kind=type(cause).__name__, state=getattr(cause, "sqlstate", None))
        raise BillingUnavailable from error


def _storable(text: str) -> str:
    """A stranger's word, short and printable, as the database can keep it."""
    return "".join(letter for letter in text if letter.isprintable())[:200]
