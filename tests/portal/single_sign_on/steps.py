"""The way to a company's provider and back, for the tests beside this."""

import html
import re
from typing import Any

from django.test import Client

from accounts.models import Identity, IdentityProvider, User
from accounts.services import single_sign_on
from accounts.services.audit import SYSTEM
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, Provider

PASSWORD = "correct horse battery"
NOT_RIGHT = "What the provider answered is not right"
NEW = {"short_name": "acme", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


def begin(client: Client, idp: Provider, name: str = "acme", after: str = "") -> dict[str, str]:
    """Go to the company and sign in there; what the browser brings back."""
    sent = client.post("/sign-in/company", {"name": name, "next": after})
    assert sent.status_code == 200, sent.content.decode()
    onward = re.search(r'href="([^"]+/authorize[^"]+)"', page(sent))
    assert onward is not None
    return idp.authorize(html.unescape(onward[1]))


def back(client: Client, row: IdentityProvider, brought: dict[str, str]) -> Any:
    return client.get(f"/sign-in/company/back/{row.organization_id}", brought)


def come(idp: Provider, row: IdentityProvider, client: Client | None = None, after: str = "") -> tuple[Client, Any]:
    """To the company and back."""
    client = client or Client()
    return client, back(client, row, begin(client, idp, after=after))


def connected(row: IdentityProvider, user: User, subject: str = "u-1") -> Identity:
    return single_sign_on.connect(single_sign_on.of_organization(row), user, subject, actor=SYSTEM)


def page(response: Any) -> str:
    return str(response.content.decode())
