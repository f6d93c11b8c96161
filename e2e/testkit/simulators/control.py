"""The control API that all simulators share: faults, calls and time; open to everybody on loopback."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, status
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.calls import CallLog
from testkit.simulators.clock import MovableClock, iso_milliseconds
from testkit.simulators.faults import Fault, FaultPlan
from testkit.simulators.pauses import Pauses
from testkit.simulators.stage import Stage


class Advance(BaseModel):
    """How far the simulator's clock shall move."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0)


class Resumption(BaseModel):
    """Which waiting answer shall go on: that of one call, or each."""

    model_config = ConfigDict(extra="forbid")

    call: int | None = None


def _let_nothing_fall_due() -> None:
    """For simulators in which nothing happens by the mere passing of time."""


def control_router(
    stage: Stage, clock: MovableClock, *, after_advance: Callable[[], None] = _let_nothing_fall_due
) -> APIRouter:
    """Routes `/control/faults`, `/control/pauses`, `/control/calls` and `/control/clock` over one simulator's parts.

    `after_advance` runs after each move of the clock, so that what fell due in between happens then.
    """
    router = APIRouter(prefix="/control")
    _add_faults(router, stage.plan)
    _add_pauses(router, stage.pauses)
    _add_calls(router, stage.calls)
    _add_clock(router, clock, after_advance)
    return router


def _add_faults(router: APIRouter, plan: FaultPlan) -> None:
    @router.post("/faults", status_code=status.HTTP_201_CREATED)
    async def add_fault(fault: Fault) -> dict[str, Any]:
        """Plans a fault behind those already planned."""
        plan.add(fault)
        return {"items": plan.pending()}

    @router.get("/faults")
    async def list_faults() -> dict[str, Any]:
        """The faults still to come."""
        return {"items": plan.pending()}

    @router.delete("/faults")
    async def clear_faults() -> dict[str, Any]:
        """Forgets every planned fault."""
        plan.clear()
        return {"items": []}


def _add_pauses(router: APIRouter, pauses: Pauses) -> None:
    @router.get("/pauses")
    async def list_pauses(
        at_least: Annotated[int, Query(ge=0)] = 0, within_seconds: Annotated[float, Query(ge=0, le=60)] = 10
    ) -> dict[str, Any]:
        """The answers that wait; waits until there are `at_least`, or answers with fewer when the time is up."""
        return {"items": await pauses.wait_for(at_least, within_seconds=within_seconds)}

    @router.post("/pauses/resume")
    async def resume_pauses(resumption: Resumption) -> dict[str, Any]:
        """Lets answers go on to their next pause; answers which they were."""
        return {"items": pauses.resume(resumption.call)}


def _add_calls(router: APIRouter, calls: CallLog) -> None:
    @router.get("/calls")
    async def list_calls(
        operation: str | None = None,
        at_least: Annotated[int, Query(ge=0)] = 0,
        within_seconds: Annotated[float, Query(ge=0, le=60)] = 10,
        has_ended: Annotated[bool, Query()] = False,  # noqa: FBT002 - FastAPI hands parameters over by name
    ) -> dict[str, Any]:
        """The provider calls so far; waits until `at_least` have arrived, or answers with fewer when the time is up.

        With `has_ended` only those count that are over.
        """
        found = await calls.wait_for(at_least, operation=operation, within_seconds=within_seconds, has_ended=has_ended)
        return {"count": len(found), "items": found}

    @router.delete("/calls")
    async def forget_calls() -> dict[str, Any]:
        """Forgets the calls so far."""
        calls.clear()
        return {"count": 0, "items": []}


def _add_clock(router: APIRouter, clock: MovableClock, after_advance: Callable[[], None]) -> None:
    @router.get("/clock")
    async def read_clock() -> dict[str, Any]:
        """The simulated time."""
        return {"now": iso_milliseconds(clock.now()), "advanced_seconds": clock.advanced_seconds}

    @router.post("/clock/advance")
    async def advance_clock(step: Advance) -> dict[str, Any]:
        """Moves the simulated time forward."""
        clock.advance(step.seconds)
        after_advance()
        return await read_clock()
