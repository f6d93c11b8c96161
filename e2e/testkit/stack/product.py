"""The product as the stack sees it: a command, its environment, and the files that it reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from testkit.stack.errors import CommandFailedError


class Collector(StrEnum):
    """Which simulated provider collects."""

    YOOKASSA = "yookassa"
    STRIPE = "stripe"


SHOP_ID = "100500"
SECRET_KEY = "test_simulated_secret"  # noqa: S105 - a simulator guards nothing
STRIPE_ACCOUNT_ID = "acct_1Simulated"
STRIPE_SECRET_KEY = "sk_test_simulated"  # noqa: S105 - the same
STRIPE_SIGNING_SECRET = "whsec_simulated"  # noqa: S105 - the same
UPSTREAM_KEY = "sk-simulated-upstream"
OUTBOUND_SECRET = "simulated-key-of-webhooks-to-customers"  # noqa: S105 - the same
WEBHOOK_TOKEN = "rehearsed-webhook-token"  # noqa: S105 - the same
NOTIFIER_ADDRESS = "127.0.0.2"
"""Where the simulated provider's notifications come from, as if it were its published range."""

UPSTREAM_MODELS = {
    "demo-small": "gpt-4o-mini",
    "demo-large": "gpt-4o",
    "demo-free": "free-chat",
    "demo-embedding": "text-embedding-3-small",
    "demo-image": "gpt-image-1",
    "demo-speech": "tts-1",
    "demo-transcription": "whisper-1",
}
"""The seeded models and what the simulated provider calls them."""

_COMMAND_SECONDS_MAX = 120
_OWN_PREFIXES = ("BILLING_", "STRIPE_", "YOOKASSA_")
_OWN_NAMES = frozenset(
    {
        "DATABASE_URL",
        "IDENTITY_PAYMENT_PROVIDER",
        "ENABLE_BILLING_WALLET",
        "ENABLE_BILLING_SUBSCRIPTIONS",
        "IDENTITY_BILLING_ENABLED",
        "PORTAL_BILLING_ENABLED",
        "ADMIN_BILLING_ENABLED",
        "WORKER_BILLING_ENABLED",
    }
)
# Customers' webhooks may go to receivers on this machine, which are neither public nor behind TLS.
_WEBHOOKS_TO_LOOPBACK = {
    "BILLING_OUTBOUND_SECRET": OUTBOUND_SECRET,
    "BILLING_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
    "BILLING_OUTBOUND_HTTP_HOSTS": "127.0.0.1",
}
_MEASURING = frozenset({"COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every process of the product is told."""

    database_url: str
    provider_url: str
    clock_file: Path
    routes_file: Path
    settings: Mapping[str, str]
    """More variables, or other values for those of the stack."""
    collector: Collector = Collector.YOOKASSA

    def environment(self, public_base_url: str) -> dict[str, str]:
        """The environment of a process that is found by browsers at this address."""
        return {
            **outer_environment(),
            "DATABASE_URL": self.database_url,
            "BILLING_PUBLIC_BASE_URL": public_base_url,
            "BILLING_CLOCK_OFFSET_FILE": str(self.clock_file),
            "BILLING_MODEL_ROUTES_FILE": str(self.routes_file),
            "BILLING_FREE_STARTS_PER_NETWORK": "1000000",  # every newcomer of a stack comes from loopback
            "BILLING_DATABASE_CONNECTIONS_MAX": "6",  # several servers share one small PostgreSQL
            **_WEBHOOKS_TO_LOOPBACK,
            **self._payments(),
            "WORKER_BILLING_ENABLED": "1",
            **self.settings,
        }

    def _payments(self) -> dict[str, str]:
        match self.collector:
            case Collector.YOOKASSA:
                return {
                    "BILLING_WEBHOOK_YOOKASSA_TOKEN_CHECK": "1",
                    "BILLING_WEBHOOK_YOOKASSA_TOKEN": WEBHOOK_TOKEN,
                    "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": "1",
                    "BILLING_WEBHOOK_YOOKASSA_SOURCES": NOTIFIER_ADDRESS,
                    "IDENTITY_PAYMENT_PROVIDER": "simulator",
                    "YOOKASSA_SHOP_ID": SHOP_ID,
                    "YOOKASSA_SECRET_KEY": SECRET_KEY,
                    "YOOKASSA_API_URL": f"{self.provider_url}/v3",
                }
            case Collector.STRIPE:
                return {
                    "BILLING_WEBHOOK_STRIPE_SIGNATURE_CHECK": "1",
                    "BILLING_WEBHOOK_STRIPE_SIGNING_SECRETS": STRIPE_SIGNING_SECRET,
                    "BILLING_WEBHOOK_STRIPE_SOURCE_CHECK": "1",
                    "BILLING_WEBHOOK_STRIPE_SOURCES": NOTIFIER_ADDRESS,
                    "IDENTITY_PAYMENT_PROVIDER": "stripe",
                    "STRIPE_ACCOUNT_ID": STRIPE_ACCOUNT_ID,
                    "STRIPE_SECRET_KEY": STRIPE_SECRET_KEY,
                    "STRIPE_API_URL": self.provider_url,
                }


def outer_environment() -> dict[str, str]:
    """The environment around the stack, without what would set up the product behind the stack's back."""
    return {name: value for name, value in os.environ.items() if not _is_own(name)}


def settings_in(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment is addressed to the product, in alphabetical order."""
    return {name: environment[name] for name in sorted(environment) if _is_own(name)}


def unmeasured_environment() -> dict[str, str]:
    """The same for processes of the testkit: the coverage of the product is measured, not theirs."""
    return {name: value for name, value in outer_environment().items() if name not in _MEASURING}


def _is_own(name: str) -> bool:
    return name in _OWN_NAMES or name.startswith(_OWN_PREFIXES)


def command(*words: str) -> list[str]:
    """A command of the product that is installed beside this interpreter."""
    return [str(Path(sys.executable).with_name("billing")), *words]


def run(words: Sequence[str], *, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command of the product to its end.

    Raises:
        CommandFailedError: it takes longer than two minutes.
    """
    try:
        return subprocess.run(
            command(*words),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise CommandFailedError(" ".join(("billing", *words)), -1, f"no end after {late.timeout:g} s") from None


def run_or_fail(*words: str, environment: Mapping[str, str]) -> str:
    """Runs a command of the product and answers what it printed.

    Raises:
        CommandFailedError: it failed.
    """
    done = run(words, environment=environment)
    if done.returncode != 0:
        raise CommandFailedError(" ".join(("billing", *words)), done.returncode, done.stderr)
    return done.stdout


def routes_of(model_url: str) -> str:
    """The routes of the seeded models, as the product reads them."""
    lines = ["[upstreams.simulated]", f'base_url = "{model_url}/v1"', f'api_key = "{UPSTREAM_KEY}"']
    for model, upstream_model in UPSTREAM_MODELS.items():
        lines += [f'[models."{model}"]', 'upstream = "simulated"', f'upstream_model = "{upstream_model}"']
    return "\n".join([*lines, ""])
