"""Nothing is offered that would be refused: every link and every form on every page, for each role and each group.

The back office's pages are many: ``ANTE_LONG=1`` walks them, for each group in some minutes.
"""

import os
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import Resolver404, resolve, reverse

from accounts import roles
from accounts.models import Role
from accounts.services import staff
from tests.builders import browser_of
from tests.matrix.conftest import Tenant
from tests.matrix.test_admin import PAGES, address, client_of
from tests.matrix.test_portal import CALLS, MEMBER, OPEN, OWN, filled, people, text_of
from tests.matrix.test_portal import PAGES as ROUTES

EVERYBODYS = {MEMBER, OPEN, OWN}
SIGNS_OUT = {"portal:sign-out", "admin:logout"}


class Offers(HTMLParser):
    """Where the links of a page lead, and where its forms are sent."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.links: set[str] = set()
        self.forms: set[str] = set()
        self._form: str | None = None

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        said = dict(attrs)
        if tag == "a" and said.get("href"):
            self.links.add(urljoin(self.path, said["href"]).partition("#")[0])
        if tag == "form":
            sent = (said.get("method") or "get").lower() == "post"
            self._form = urljoin(self.path, said.get("action") or self.path) if sent else None
        # What cannot be sent is not offered: the theme puts what is only to be read into a form without a button.
        if (
            self._form
            and tag in {"button", "input"}
            and said.get("type", "submit" if tag == "button" else "") == "submit"
        ):
            self.forms.add(said.get("formaction") or self._form)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None


def offers(client: Client, path: str) -> Offers:
    found = Offers(path)
    response: Any = client.get(path)
    if response.status_code == 200 and "html" in response.get("Content-Type", ""):
        found.feed(text_of(response))
    return found


def view_of(target: str) -> Any:
    """What answers there; None where it is no address of ours."""
    parts = urlsplit(target)
    try:
        return None if parts.netloc or parts.scheme else resolve(parts.path)
    except Resolver404:
        return None if parts.path.startswith("/static/") else pytest.fail(f"{target} leads nowhere")


def test_a_link_is_read_as_a_browser_reads_it() -> None:
    found = Offers("/usage?x=1")
    found.feed('<form method="post" action="/x"></form>')
    found.feed('<a href="?y=2"></a><a href="#top"></a><a href="//x.test/"></a>')
    found.feed('<form method="post"><button></button></form>')

    assert found.links == {"/usage?y=2", "/usage?x=1", "//x.test/"}
    assert found.forms == {"/usage?x=1"}


@pytest.mark.parametrize("role", Role.values)
def test_the_portal_offers_each_role_what_it_may(acme: Tenant, role: str) -> None:
    client = browser_of(dict(people(acme))[role], raise_request_exception=False)
    links: dict[str, str] = {}
    refused = []
    for route, method, who in CALLS:
        if method != "GET" or who == OPEN or "zip" in route or "csv" in route:
            continue
        path = filled(route, acme)
        found = offers(client, path)
        for target in found.links:
            links.setdefault(target, path)
        for target in found.forms:
            match = view_of(target)
            methods = ROUTES.get(match.route, {}) if match is not None and match.app_name == "portal" else {}
            scope = methods.get("POST", OPEN)
            if scope not in EVERYBODYS and not roles.may(role, scope):
                refused.append((path, "POST", target))
    for target, path in links.items():
        match = view_of(target)
        if match is None or match.view_name in SIGNS_OUT:
            continue
        response = client.get(target)
        assert not response.streaming or response.getvalue()  # A file keeps its place until it is read.
        if response.status_code >= 400:
            refused.append((path, "GET", target))

    assert not refused, "\n".join(map(str, sorted(refused)))
    assert len(links) > 20


@pytest.mark.skipif(os.environ.get("ANTE_LONG") != "1", reason="ANTE_LONG=1")
@pytest.mark.parametrize("group", staff.GROUPS)
def test_the_back_office_offers_each_group_what_it_may(acme: Tenant, group: str) -> None:
    client, rows = client_of(group, acme), {}
    paths = {address(name, rows) for name in PAGES}
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.order_by("-pk").first()
        paths |= {reverse(f"{base}_changelist"), reverse(f"{base}_change", args=[row.pk]) if row else None}
    # One of each view is enough: whether a row may be looked at is the matrix's to try.
    asked: dict[tuple[str, str], tuple[str, str]] = {}
    for path in sorted(filter(None, paths)):
        found = offers(client, path)
        for how, targets in (("GET", found.links), ("POST", found.forms)):
            for target in sorted(targets):
                match = view_of(target)
                if match is not None and match.view_name not in SIGNS_OUT:
                    asked.setdefault((how, match.view_name), (target, path))
    refused = []
    for (how, _), (target, path) in asked.items():
        with transaction.atomic():
            response = client.get(target) if how == "GET" else client.post(target)
            assert not response.streaming or response.getvalue()
            transaction.set_rollback(True)
        if response.status_code >= 400:
            refused.append((path, how, target, response.status_code))

    assert not refused, "\n".join(map(str, refused))
    assert len(asked) > 40
