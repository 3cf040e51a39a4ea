"""``create_api_key`` prints the key, alone."""

import io
import re

import pytest
from django.core.management import CommandError, call_command

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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scopes", "fly"], "Unknown scopes: fly"),
        (["--scopes", " , "], "none given"),
        (["--scopes", "*", "--customer", "nobody"], "There is no customer nobody"),
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
