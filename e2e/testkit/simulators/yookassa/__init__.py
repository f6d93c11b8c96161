"""YooKassa's API v3 with its payment page and its notifications."""

from testkit.simulators.notifications import WebhookTarget
from testkit.simulators.yookassa.app import YookassaSettings, create_yookassa

__all__ = ["WebhookTarget", "YookassaSettings", "create_yookassa"]
