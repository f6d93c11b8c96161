"""What the simulators' pages for people share: templates, and what can be done with notifications."""

from pathlib import Path
from typing import Annotated, Literal

import jinja2
from fastapi import APIRouter, Form, status
from fastapi.responses import RedirectResponse

from testkit.simulators.notifications import DeliveryMode, Notifier

_SHARED = Path(__file__).parent / "templates"


def templates_in(simulator: Path) -> jinja2.Environment:
    """The templates of the simulator in this folder; escaping what they show, and strict about what they name."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([simulator / "templates", _SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )


def add_notification_actions(router: APIRouter, notifier: Notifier) -> None:
    """The forms of `notifications.html` and of the delivery mode; each leads back to the state page."""

    @router.post("/state/mode")
    async def set_mode(mode: Annotated[DeliveryMode, Form()]) -> RedirectResponse:
        """Changes what happens to new notifications."""
        notifier.mode = mode
        return _to_the_state_page()

    @router.post("/state/notifications/{notification_id}/{action}")
    async def act(notification_id: str, action: Literal["deliver", "lose"]) -> RedirectResponse:
        """Delivers a notification (for the first time or again) or loses it."""
        if action == "lose":
            notifier.lose(notification_id)
        else:
            await notifier.repeat(notification_id, times=1, at_once=False)
        return _to_the_state_page()


def _to_the_state_page() -> RedirectResponse:
    return RedirectResponse("/", status_code=status.HTTP_303_SEE_OTHER)
