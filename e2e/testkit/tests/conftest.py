"""Running simulators for their own tests: one server per module, fresh state per test."""

from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import pytest

from testkit.simulators.model import ModelSettings, create_model
from testkit.simulators.receiver import create_receiver
from testkit.simulators.remote import ModelRemote, ReceiverRemote, StripeRemote, YookassaRemote
from testkit.simulators.server import running
from testkit.simulators.stripe import StripeSettings, create_stripe
from testkit.simulators.yookassa import YookassaSettings, create_yookassa


@pytest.fixture(scope="session")
def yookassa_settings() -> YookassaSettings:
    """The shop that the YooKassa simulator serves in these tests."""
    return YookassaSettings(shop_id="100500", secret_key="test_secret", seed=7)


@pytest.fixture(scope="session")
def model_settings() -> ModelSettings:
    """The model provider of these tests."""
    return ModelSettings(api_key="sk-upstream", models=("gpt-4o-mini", "gpt-4o"), seed=7)


@pytest.fixture(scope="module")
def yookassa_server(yookassa_settings: YookassaSettings) -> Iterator[YookassaRemote]:
    """A YooKassa simulator with whatever earlier tests left in it."""
    with running(create_yookassa(yookassa_settings)) as server, YookassaRemote(server.url) as remote:
        yield remote


@pytest.fixture
def yookassa(yookassa_server: YookassaRemote) -> YookassaRemote:
    """The remote control of a YooKassa simulator without payments."""
    yookassa_server.reset()
    return yookassa_server


@pytest.fixture(scope="module")
def api_client(yookassa_server: YookassaRemote, yookassa_settings: YookassaSettings) -> Iterator[httpx.Client]:
    """The shop's connections to the API."""
    credentials = (yookassa_settings.shop_id, yookassa_settings.secret_key)
    with httpx.Client(base_url=f"{yookassa_server.url}/v3", auth=credentials, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def api(yookassa: YookassaRemote, api_client: httpx.Client) -> httpx.Client:
    """A plain HTTP client with the shop's credentials, for what the SDK hides; the shop has no payments yet."""
    del yookassa
    return api_client


@pytest.fixture(scope="session")
def stripe_settings() -> StripeSettings:
    """The account that the Stripe simulator serves in these tests."""
    return StripeSettings(account_id="acct_1Tests", secret_key="sk_test_tests", webhook_secret="whsec_tests", seed=7)


@pytest.fixture(scope="module")
def stripe_server(stripe_settings: StripeSettings) -> Iterator[StripeRemote]:
    """A Stripe simulator with whatever earlier tests left in it."""
    with running(create_stripe(stripe_settings)) as server, StripeRemote(server.url) as remote:
        yield remote


@pytest.fixture
def stripe(stripe_server: StripeRemote) -> StripeRemote:
    """The remote control of a Stripe simulator without payments."""
    stripe_server.reset()
    return stripe_server


@pytest.fixture(scope="module")
def receiver_server() -> Iterator[ReceiverRemote]:
    """A webhook receiver with whatever earlier tests left in it."""
    with running(create_receiver()) as server, ReceiverRemote(server.url) as remote:
        yield remote


@pytest.fixture
def receiver(receiver_server: ReceiverRemote) -> ReceiverRemote:
    """The remote control of a webhook receiver that nobody has called yet."""
    receiver_server.reset()
    return receiver_server


@pytest.fixture(scope="module")
def model_server(model_settings: ModelSettings) -> Iterator[ModelRemote]:
    """A model provider with whatever earlier tests left in it."""
    with running(create_model(model_settings)) as server, ModelRemote(server.url) as remote:
        yield remote


@pytest.fixture
def model(model_server: ModelRemote) -> ModelRemote:
    """The remote control of a model provider that nobody has called yet."""
    model_server.reset()
    return model_server


@pytest.fixture
def client(model: ModelRemote, model_settings: ModelSettings) -> Iterator[openai.OpenAI]:
    """The official client without its own retries, so that one call is one call."""
    with openai.OpenAI(base_url=f"{model.url}/v1", api_key=model_settings.api_key, max_retries=0, timeout=5) as client:
        yield client


@pytest.fixture
async def async_client(model: ModelRemote, model_settings: ModelSettings) -> AsyncIterator[openai.AsyncOpenAI]:
    """The same for asyncio."""
    async with openai.AsyncOpenAI(
        base_url=f"{model.url}/v1", api_key=model_settings.api_key, max_retries=0, timeout=5
    ) as client:
        yield client
