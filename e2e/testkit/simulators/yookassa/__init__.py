"""YooKassa's API v3 with its payment page and its notifications."""

from testkit.simulators.yookassa.app import YookassaSettings, create_yookassa
from testkit.simulators.yookassa.notifications import WebhookTarget

__all__ = ["WebhookTarget", "YookassaSettings", "create_yookassa"]
