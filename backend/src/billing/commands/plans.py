"""`billing plans`: what customers can subscribe to."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator
from billing.kit.money import Currency, Money
from billing.quotas.rules import LIMIT_MAX, Amounts
from billing.subscriptions.rules import Interval, Plan, PlanTerms
from billing.subscriptions.schemas import PlanRecordView

plans = typer.Typer(help="Plans that customers can buy.", no_args_is_help=True)

_Quota = Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="Added to the free quota's limit; 0 adds nothing.")]


@plans.command(name="list")
def list_plans(operator: Operator) -> None:
    """Print every plan, retired ones too, as JSON."""
    found = as_operator(operator, lambda built, principal: built.plan_desk.plans(principal))
    typer.echo(json.dumps({"items": [_json(plan) for plan in found]}))


@plans.command()
def create(
    code: Annotated[str, typer.Argument(help="The plan's name in addresses: lower-case letters, digits, hyphens.")],
    *,
    name: Annotated[str, typer.Option(help="The plan's name for people.")],
    price: Annotated[str, typer.Option(help="What one period costs, such as 300.00.")],
    interval: Annotated[Interval, typer.Option(help="How long one period is.")] = Interval.MONTH,
    included_credit: Annotated[str, typer.Option(help="Credit given for each period, which ends with it.")] = "0",
    discount_percent: Annotated[int, typer.Option(min=0, max=100, help="Off the price of each call.")] = 0,
    daily_cap: Annotated[str | None, typer.Option(help="What the wallet may spend in a day.")] = None,
    monthly_cap: Annotated[str | None, typer.Option(help="What the wallet may spend in a calendar month.")] = None,
    input_tokens: _Quota = 0,
    output_tokens: _Quota = 0,
    images: _Quota = 0,
    speech_seconds: _Quota = 0,
    transcription_seconds: _Quota = 0,
    operator: Operator,
    reason: Reason,
) -> None:
    """Put a plan on offer. Its terms never change: for another price retire it and create it anew."""
    quotas = Amounts(input_tokens, output_tokens, images, speech_seconds, transcription_seconds)

    def terms(currency: Currency) -> PlanTerms:
        return PlanTerms(
            code=code,
            name=name,
            price=Money.from_decimal(price, currency),
            interval=interval,
            included_credit=Money.from_decimal(included_credit, currency),
            discount_percent=discount_percent,
            daily_cap=None if daily_cap is None else Money.from_decimal(daily_cap, currency),
            monthly_cap=None if monthly_cap is None else Money.from_decimal(monthly_cap, currency),
            quotas=quotas,
        )

    created = as_operator(
        operator,
        lambda built, principal: built.plan_desk.create(
            principal, terms(built.plan_desk.currency), reason=reason, request_id=REQUEST_ID
        ),
    )
    typer.echo(json.dumps(_json(created)))


@plans.command()
def retire(
    code: Annotated[str, typer.Argument(help="The plan's code.")], *, operator: Operator, reason: Reason
) -> None:
    """Take a plan off the offer. Who has it keeps it, and may renew it at its price."""
    retired = as_operator(
        operator,
        lambda built, principal: built.plan_desk.retire(principal, code, reason=reason, request_id=REQUEST_ID),
    )
    typer.echo(f"{retired.terms.code} ({retired.id}) is not on offer any more.")


def _json(plan: Plan) -> dict[str, object]:
    return PlanRecordView.of(plan).model_dump(mode="json")
