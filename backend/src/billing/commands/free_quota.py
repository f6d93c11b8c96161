"""`billing free-quota`: what is free, put in force and looked at, and where newcomers come from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator, with_services
from billing.kit.errors import SettingsError
from billing.quotas.rules import LIMIT_MAX, Amounts, FreeTerms
from billing.quotas.schemas import FreeTermsView, StartsReportView
from billing.wiring.services import Services

free_quota = typer.Typer(help="What newcomers may use for nothing.", no_args_is_help=True)


@free_quota.command(name="set")
def set_terms(
    *,
    enabled: Annotated[bool, typer.Option(help="Whether newcomers may use anything for nothing.")] = True,
    input_tokens: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="In a cycle; 0 is none.")] = 0,
    output_tokens: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="In a cycle; 0 is none.")] = 0,
    images: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="In a cycle; 0 is none.")] = 0,
    speech_seconds: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="In a cycle; 0 is none.")] = 0,
    transcription_seconds: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="In a cycle; 0 is none.")] = 0,
    cycle_days: Annotated[int, typer.Option(min=1, max=3650, help="How many days a cycle lasts.")] = 30,
    model: Annotated[list[str] | None, typer.Option(help="A model that is free within the quota; repeat it.")] = None,
    expected_version: Annotated[int | None, typer.Option(help="The version that these terms replace.")] = None,
    operator: Annotated[
        str | None, typer.Option(help="The e-mail of the operator who decides this; needed outside development.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Put new free terms in force, in every process from its next call on."""
    terms = FreeTerms(
        is_enabled=enabled,
        cycle_days=cycle_days,
        limits=Amounts(input_tokens, output_tokens, images, speech_seconds, transcription_seconds),
        eligible_models=frozenset(model or ()),
    )
    if operator is None:
        version = with_services(lambda built: _rehearse(built, terms))
    else:
        version = as_operator(
            operator,
            lambda built, principal: built.quotas.change_terms(
                principal, terms, expected_version=expected_version, reason=reason, request_id=REQUEST_ID
            ),
        )
    typer.echo(f"Version {version} of the free terms is in force.")


@free_quota.command()
def show(operator: Operator) -> None:
    """Print the terms in force, with their version, as JSON."""
    version, terms = as_operator(operator, lambda built, principal: built.quotas.terms_in_force(principal))
    typer.echo(json.dumps(FreeTermsView.of(version, terms).model_dump(mode="json")))


@free_quota.command()
def report(
    operator: Operator, days: Annotated[int, typer.Option(min=1, max=30, help="How many days back.")] = 7
) -> None:
    """Print from which networks people have begun lately, and where somebody was refused, as JSON."""
    found = as_operator(operator, lambda built, principal: built.quotas.starts_report(principal, days=days))
    typer.echo(json.dumps(StartsReportView.of(found).model_dump(mode="json")))


async def _rehearse(built: Services, terms: FreeTerms) -> int:
    if not built.settings.deployment.is_development:
        raise SettingsError(("Say with --operator in whose name the free terms change.",))
    async with built.begin() as uow:
        return await built.quotas.set_terms(uow, terms)
