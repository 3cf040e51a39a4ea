"""Whom the server asks, and for how long it waits for them."""

from contextlib import ExitStack
from typing import Any

import pytest
from django.test import Client

from accounts import oidc, outgoing
from accounts.models import IdentityProvider, User
from accounts.services import single_sign_on
from accounts.services.audit import SYSTEM
from tests.builders import Shop, browser_of
from tests.identity_provider import Provider
from tests.portal.single_sign_on.steps import NEW, page


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example.com",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://10.0.0.7:8443/realms/a",
        "https://[::1]",
        "https://name:secret@login.example.com",
        "ftp://login.example.com",
        "https://login.example.com/#a",
        "not an address",
    ],
)
def test_an_organizations_provider_is_on_the_public_internet(
    owner: User, issuer: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.STAFF_SSO_ALLOWED_NETWORKS = ["10.0.0.0/8", "127.0.0.0/8"]
    monkeypatch.setattr(outgoing.socket, "create_connection", lambda *_, **__: pytest.fail("It was asked."))

    response = browser_of(owner).post("/single-sign-on", {**NEW, "issuer": issuer})

    assert response.status_code == 400
    assert "could not be reached at its public address" in page(response)
    assert not IdentityProvider.objects.exists()


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_what_it_names_is_too(idp: Provider, loopback: None, owner: User, name: str) -> None:
    client = browser_of(owner)
    for url in ("http://169.254.169.254/latest", "javascript:alert(1)", None):
        idp.metadata = {name: url}
        response = client.post("/single-sign-on", {**NEW, "issuer": idp.issuer})
        assert response.status_code == 400
        assert "an address that is not public" in page(response)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"issuer": "https://accounts.example.com"}, "calls itself https://accounts.example.com"),
        ({"issuer": None}, "calls itself None"),
        ({"issuer": "\ud800https://accounts.example.com"}, "calls itself https://accounts.example.com"),
        ({"padding": "x" * oidc.BYTES_MAX}, "could not be reached"),
    ],
    ids=["another issuer", "no issuer", "what no page takes", "too long"],
)
def test_a_provider_that_says_something_odd_is_not_taken(
    idp: Provider, loopback: None, owner: User, metadata: dict[str, Any], said: str
) -> None:
    idp.metadata = metadata

    response = browser_of(owner).post("/single-sign-on", {**NEW, "issuer": idp.issuer})

    assert response.status_code == 400
    assert said in page(response)


def test_few_wait_for_providers_and_fewer_for_one_and_none_takes_the_places_of_the_operators(
    row: IdentityProvider, settings: Any
) -> None:
    settings.STAFF_SSO_ISSUER = "https://login.ante.test"
    door = single_sign_on.door(single_sign_on.STAFF)
    assert door is not None
    ours = door.client
    clients = [oidc.Client("https://login.test", "a", "b", f"https://ante.test/{number}") for number in range(3)]
    with ExitStack() as waiting:
        for client in clients[:2] * 2:
            waiting.enter_context(oidc._waiting(client))
        for client in clients:
            with pytest.raises(oidc.Refused, match="Many people"), oidc._waiting(client):
                pass
        assert "Many people sign in just now." in page(Client().post("/sign-in/company", {"name": "acme"}))
        for _ in range(2):
            waiting.enter_context(oidc._waiting(ours))
        with pytest.raises(oidc.Refused, match="Many people"), oidc._waiting(ours):
            pass
    for client in clients:
        with oidc._waiting(ours), oidc._waiting(ours), oidc._waiting(client), oidc._waiting(client):
            pass
    assert not oidc._waits


def test_who_does_not_answer_is_left_alone_for_a_while(
    idp: Provider, row: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(oidc, "SECONDS_MAX", -1.0)
        assert "could not be reached" in page(Client().post("/sign-in/company", {"name": "acme"}))
    idp.asked.clear()
    assert "could not be reached" in page(Client().post("/sign-in/company", {"name": "acme"}))
    assert idp.asked == []

    single_sign_on.set_up(row.organization, issuer=idp.issuer, actor=SYSTEM, **NEW)

    assert Client().post("/sign-in/company", {"name": "acme"}).status_code == 200


def test_what_rests_is_forgotten_when_it_is_over_and_when_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "RESTS_MAX", 3)
    monkeypatch.setattr(oidc, "_rests", {("long", "ago"): 0.0})

    def fail(number: int) -> None:
        client = oidc.Client("https://login.test", "a", "b", f"https://ante.test/{number}")
        with pytest.raises(oidc.Unreachable), oidc._waiting(client, anew=True):
            raise oidc.Unreachable("x")

    for number in (0, 1, 2, 0, 3):
        fail(number)

    assert [uri for uri, _ in oidc._rests] == [f"https://ante.test/{number}" for number in (2, 0, 3)]


@pytest.mark.parametrize("short_name", ["staff", "a", "Acme Inc", "acme/../x", "-acme"])
def test_a_short_name_that_is_none_or_taken_is_refused(
    idp: Provider, row: IdentityProvider, shop: Shop, short_name: str
) -> None:
    globex = shop.customer("globex").organization
    for name in (short_name, "acme"):
        with pytest.raises(oidc.Refused, match="short name"):
            single_sign_on.set_up(globex, issuer=idp.issuer, actor=SYSTEM, **{**NEW, "short_name": name})
