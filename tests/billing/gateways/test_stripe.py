"""The gateway to Stripe: what the settings lack is said, each request names the pinned version, ids lead to pages."""

from decimal import Decimal
from typing import Any

import pytest
import stripe

from billing import checks
from billing.engine.currencies import UNUSUAL_PLACES, payment_places
from billing.gateways import payments, stripe_objects
from billing.gateways import stripe as gateway
from billing.standin import currencies as standin
from tests.payments import Bank

SETTINGS = {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRETS": ["whsec_1"], "STRIPE_API_BASE": ""}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["billing.I002"]),
        ({"STRIPE_SECRET_KEY": ""}, ["billing.I001"]),
        ({"STRIPE_SECRET_KEY": "sk_live_1"}, []),
        ({"STRIPE_SECRET_KEY": "pk_live_1"}, ["billing.E001"]),
        ({"STRIPE_WEBHOOK_SECRETS": []}, ["billing.E002", "billing.I002"]),
        ({"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_API_BASE": "http://127.0.0.1:1"}, ["billing.E003", "billing.I002"]),
        ({"STRIPE_SECRET_KEY": "sk_live_1", "TEST_MODE": True}, ["billing.E010"]),
        ({"TEST_MODE": True}, ["billing.I002"]),
    ],
    ids=[
        *("test key", "nothing", "complete", "a public key", "no secret of messages", "live at a stand-in"),
        *("live for trying out", "test key for trying out"),
    ],
)
def test_what_the_settings_lack_is_said(settings: Any, change: dict[str, Any], expected: list[str]) -> None:
    for name, value in (SETTINGS | change).items():
        setattr(settings, name, value)

    assert [found.id for found in [*checks.payments(None), *checks.payments_at_all(None)]] == expected


def test_every_request_names_the_pinned_version(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    named = []
    real = stripe.RequestsClient.request

    def noted(self: Any, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        named.append(headers["Stripe-Version"])
        return real(self, method, url, headers, post_data)

    monkeypatch.setattr(stripe.RequestsClient, "request", noted)
    payments.provider().create_customer(reference="1", external_id="acme", name="Acme", email="")

    assert set(named) == {gateway.API_VERSION}


@pytest.mark.parametrize(
    ("key", "object_id", "page"),
    [
        ("sk_live_1", "pi_1", "https://dashboard.stripe.com/payments/pi_1"),
        ("sk_test_1", "re_1", "https://dashboard.stripe.com/test/refunds/re_1"),
        ("sk_test_1", "du_1", "https://dashboard.stripe.com/test/disputes/du_1"),
        ("rk_live_1", "ch_1", "https://dashboard.stripe.com/search?query=ch_1"),
    ],
    ids=["payment", "test refund", "test dispute", "charge"],
)
def test_an_id_leads_to_its_page(settings: Any, key: str, object_id: str, page: str) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = key, ""

    assert payments.provider().page_of(object_id) == page


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.50", "usd", 1250),
        ("500", "jpy", 500),
        ("5", "kwd", 5000),
        ("5.12", "kwd", 5120),
        ("5", "isk", 500),
        ("5", "ugx", 500),
    ],
)
def test_amounts_are_counted_as_stripe_counts_them(amount: str, currency: str, minor: int) -> None:
    assert stripe_objects.to_minor(Decimal(amount), currency) == minor
    assert stripe_objects.from_minor(minor, currency) == Decimal(amount)


@pytest.mark.parametrize(("amount", "currency"), [("0.001", "usd"), ("0.5", "jpy"), ("5.124", "kwd"), ("5.5", "isk")])
def test_an_amount_that_cannot_be_charged_exactly_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(payments.Refused):
        stripe_objects.to_minor(Decimal(amount), currency)


def test_the_stand_in_counts_as_we_do() -> None:
    for currency in ("usd", *UNUSUAL_PLACES):
        if currency in {"iqd", "lyd"}:
            continue  # Stripe takes neither.
        least = stripe_objects.to_minor(Decimal(1).scaleb(-payment_places(currency)), currency)
        assert next(each for each in range(1, 101) if standin.is_whole(each, currency)) == least
        assert standin.written(stripe_objects.to_minor(Decimal(7), currency), currency).startswith("7")
