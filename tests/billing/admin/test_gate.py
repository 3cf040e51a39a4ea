"""No page of the back office opens for a session that gave a password alone."""

from collections.abc import Iterator
from typing import Any

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


def addresses() -> list[str]:
    """One address for each route of the back office, with something in the place of each argument."""
    found = []
    for name, _ in names(get_resolver()):
        if not name.startswith("admin:") or name in HARMLESS:
            continue
        for arguments in ([], ["1"], ["1", "1"]):
            try:
                found.append(reverse(name, args=arguments))
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
    for address in routes:
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


def test_a_verified_session_opens_them(office: Client) -> None:
    assert office.get(reverse("admin:index")).status_code == 200
