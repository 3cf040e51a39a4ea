"""An organization whose people sign in at their company."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts import outgoing
from accounts.models import IdentityProvider, User
from accounts.services import single_sign_on
from accounts.services.audit import SYSTEM
from billing.models import Customer
from tests.builders import Shop
from tests.identity_provider import Provider, provider
from tests.portal.single_sign_on.steps import NEW


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.BASE_URL = "http://testserver"


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The providers of these tests are on this machine, where an organization's never is."""
    usual = outgoing._may_be_asked

    def may(address: Any, allowed: Any, *, plain: bool) -> bool:
        return address.is_loopback or usual(address, allowed, plain=plain)

    monkeypatch.setattr(outgoing, "_may_be_asked", may)
    check = outgoing.check
    monkeypatch.setattr(outgoing, "check", lambda url, *, allowed=(): check(url, allowed=allowed or ["192.0.2.0/32"]))


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> User:
    return shop.member(acme)


@pytest.fixture
def viewer(shop: Shop, acme: Customer, row: IdentityProvider) -> User:
    return shop.member(acme, "viewer@acme.test", "viewer")


@pytest.fixture
def row(acme: Customer, idp: Provider, loopback: None) -> IdentityProvider:
    return single_sign_on.set_up(acme.organization, issuer=idp.issuer, actor=SYSTEM, **NEW)
