"""``create_api_key`` prints the key, alone."""

import io
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services import api_keys
from tests.builders import Shop


def create(*arguments: str) -> str:
    out = io.StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_the_key_alone(db: None) -> None:
    printed = create("--scopes", "events:write, wallets:read")

    assert re.fullmatch(r"sk_live_[A-Za-z0-9_-]{43}\n", printed)
    principal = api_keys.authenticate(printed.strip())
    assert principal is not None
    assert principal.scopes == {"events:write", "wallets:read"}
    assert principal.organization_id is None


def test_a_customers_key_reaches_that_customer_alone(shop: Shop) -> None:
    acme = shop.customer(plan=None)

    printed = create("--scopes", "events:write", "--customer", "acme", "--name", "gateway")

    assert printed.startswith("ck_live_")
    key = ApiKey.objects.get()
    assert (key.kind, key.organization, key.name, key.live) == ("customer", acme.organization, "gateway", True)


def test_a_key_ends_and_is_bound_to_addresses(db: None) -> None:
    before = timezone.now()

    printed = create("--scopes", "*", "--days", "30", "--networks", "192.0.2.7, 2001:DB8::/32")

    key = ApiKey.objects.get()
    assert key.expires_at is not None
    assert before <= key.expires_at - timedelta(days=30) <= timezone.now()
    assert key.allowed_networks == ["192.0.2.7/32", "2001:db8::/32"]
    principal = api_keys.authenticate(printed.strip())
    assert principal is not None
    assert [principal.admits(peer, "") for peer in ("192.0.2.7", "192.0.2.8")] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scopes", "fly"], "Unknown scopes: fly"),
        (["--scopes", " , "], "none given"),
        (["--scopes", "*", "--customer", "nobody"], "There is no customer nobody"),
        (["--scopes", "*", "--days", "0"], "--days must be from 1"),
        (["--scopes", "*", "--days", "99999999999"], "--days must be from 1"),
        (["--scopes", "*", "--networks", "192.0.2.1/24"], "192.0.2.1/24 is no address and no CIDR block"),
    ],
)
def test_what_cannot_be_is_said_and_no_key_is_made(db: None, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        create(*arguments)

    assert ApiKey.objects.count() == 0


def test_a_customers_key_cannot_have_the_operators_scopes(shop: Shop) -> None:
    shop.customer(plan=None)

    with pytest.raises(CommandError, match="Unknown scopes: grants:write"):
        create("--scopes", "grants:write", "--customer", "acme")
