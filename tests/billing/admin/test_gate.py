"""No page of the back office opens for a session that gave a password alone."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from accounts.models import User
from accounts.services import factors
from billing.models import Customer

HARMLESS = {"admin:login", "admin:logout"}


def names(resolver: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix
            yield from names(pattern, inner)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield f"{prefix}{pattern.name}", pattern


def addresses() -> dict[str, str]:
    """One address for each route of the back office, with something in the place of each argument."""
    found = {}
    for name, _ in names(get_resolver()):
        if not name.startswith("admin:") or name in HARMLESS:
            continue
        for arguments in ([], ["1"], [uuid4()], ["1", "1"]):
            try:
                found[name] = reverse(name, args=arguments)
                break
            except NoReverseMatch:
                continue
    return found


@pytest.mark.parametrize("enrolled", [True, False])
@pytest.mark.parametrize("how", ["get", "post", "put", "json", "htmx"])
def test_a_password_alone_opens_nothing(finance: User, acme: Customer, enrolled: bool, how: str) -> None:
    if enrolled:
        factors.begin(finance, confirmed=True)
    client = Client()
    client.force_login(finance)
    routes = addresses()
    assert len(routes) > 80
    opened = []
    for address in routes.values():
        if how == "json":
            response = client.get(address, headers={"accept": "application/json"})
        elif how == "htmx":
            response = client.post(address, headers={"hx-request": "true"})
        else:
            response = getattr(client, how)(address)
        refused = (
            response.status_code == 403 and response.json()["code"] == "two_factor_required"
            if how in {"json", "htmx"}
            else response.status_code == 302 and response["Location"].startswith(("/sign-in/code", "/security/auth"))
        )
        if not refused:
            opened.append((address, response.status_code))

    assert opened == []


def test_its_address_is_found_without_the_slash_as_well(client: Client) -> None:
    assert client.get("/admin")["Location"] == "/admin/"


def test_a_verified_session_opens_them(office: Client) -> None:
    assert office.get(reverse("admin:index")).status_code == 200


def test_what_is_sent_needs_a_factor_given_just_now(office: Client) -> None:
    """Whatever the page: what is not on this list moves value, changes powers, shows a secret, or could one day."""
    session = office.session
    session["second_factor_at"] -= 3600
    session.save()
    office.raise_request_exception = False

    open_ = {
        name
        for name, address in addresses().items()
        if not name.startswith("admin:password_change")
        and not office.post(address).get("Location", "").startswith(reverse("portal:second-factor"))
    }

    assert open_ == {
        "admin:billing_plandraft_change",
        "admin:billing_plandraft_preview",
        "admin:billing_try_event",
        "admin:billing_what_if",
        "admin:billing_customer_add_note",
    }


def test_a_form_asks_before_it_is_filled_in(office: Client, acme: Customer) -> None:
    session = office.session
    session["second_factor_at"] -= 3600
    session.save()
    page = f"/admin/billing/customer/{acme.pk}"

    for action in ("adjust", "grant-credit", "start-plan"):
        assert office.get(f"{page}/{action}/")["Location"].startswith(reverse("portal:second-factor"))
    for action in ("change", "note"):
        assert office.get(f"{page}/{action}/").status_code == 200
