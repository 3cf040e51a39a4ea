"""Texts that customers choose are shown as texts on every page, of the portal and of the back office."""

from html.parser import HTMLParser
from typing import Any

from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Identity, IdentityProvider, Organization, Session, TrustedDevice, User
from accounts.services import staff
from billing.models import (
    Budget,
    ChargeDispute,
    Customer,
    Grant,
    Note,
    Notice,
    NoticeTarget,
    PaymentMethod,
    Plan,
    RecurringGrant,
    WebhookEndpoint,
)
from tests.builders import Shop, browser_of
from tests.matrix.conftest import Tenant
from tests.matrix.test_admin import PAGES, address
from tests.matrix.test_portal import CALLS, OPEN, filled, text_of

PAYLOAD = "\"'></script></title></textarea></style>--><x-canary data-canary=1 onload=alert(1)>{{7*7}}"
"""Ends whatever it may stand in, and begins an element of its own."""


class Reader(HTMLParser):
    """What a browser would make of a page: whether an element or an attribute of the payload's is among it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        names = [name for name, _ in attrs]
        if tag == "x-canary" or "data-canary" in names or any("javascript:" in (value or "") for _, value in attrs):
            self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def executed(text: str) -> list[str]:
    reader = Reader()
    reader.feed(text)
    return reader.found


def poison(shop: Shop, acme: Tenant) -> None:
    """The payload in every text that a customer, or who reports usage for them, can choose."""
    shop.record(acme.customer, id=f"x{PAYLOAD}", model=PAYLOAD, user=PAYLOAD, project=PAYLOAD, feature=PAYLOAD)
    shop.record(acme.customer, id="javascript:alert(1)", model="javascript:alert(1)", input_tokens=10**9)
    for model in (Customer, Organization, User, Budget, Grant, TrustedDevice, Plan):
        model._default_manager.update(name=PAYLOAD)
    ApiKey.objects.update(name=PAYLOAD, paused_because=PAYLOAD)
    Customer.objects.update(metadata={PAYLOAD: PAYLOAD}, email='"<x-canary>"@x.test')
    Note.objects.update(text=PAYLOAD)
    Notice.objects.update(title=PAYLOAD, text=PAYLOAD)
    PaymentMethod.objects.update(brand=PAYLOAD[:64])
    WebhookEndpoint.objects.update(url=f"https://x.test/{PAYLOAD}", description=PAYLOAD)
    IdentityProvider.objects.update(issuer=f"https://x.test/{PAYLOAD}", client_id=PAYLOAD)
    Identity.objects.update(issuer=f"https://x.test/{PAYLOAD}", subject=PAYLOAD)
    ChargeDispute.objects.update(reason=PAYLOAD, answer=PAYLOAD)
    RecurringGrant.objects.update(name=PAYLOAD, metadata={PAYLOAD: PAYLOAD})
    NoticeTarget.objects.update(shown=PAYLOAD[: NoticeTarget._meta.get_field("shown").max_length])
    Session.objects.update(agent=PAYLOAD[: Session._meta.get_field("agent").max_length])


def test_the_reader_finds_what_is_not_escaped() -> None:
    """The control."""
    assert executed(f"<title>{PAYLOAD}</title>") == ["x-canary"]
    assert executed(f'<input value="{PAYLOAD}">') == ["x-canary"]
    assert executed(f'<a href="javascript:alert(1)">{PAYLOAD}') == ["a", "x-canary"]


def test_no_page_of_the_portal_runs_them(shop: Shop, acme: Tenant) -> None:
    client = browser_of(acme.owner, raise_request_exception=False)
    poison(shop, acme)
    seen, found = 0, []
    for route, method, needs in CALLS:
        if method != "GET" or needs == OPEN or "zip" in route:
            continue
        response = client.get(filled(route, acme))
        if "html" in response.get("Content-Type", ""):
            text = text_of(response)
            seen += "x-canary" in text
            if executed(text):
                found.append(route)

    assert found == []
    assert seen > 20


def test_no_page_of_the_back_office_runs_them(shop: Shop, acme: Tenant) -> None:
    poison(shop, acme)
    person = User.objects.create_user("admin@ante.test")
    staff.join(person, staff.ADMINISTRATOR)
    client: Client = browser_of(person, raise_request_exception=False)
    seen, found, rows = 0, [], {}
    paths = [address(name, rows) for name in PAGES]
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths.append(reverse(f"{base}_changelist"))
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            paths.append(reverse(f"{base}_change", args=[row.pk]))
    for path in filter(None, paths):
        response: Any = client.get(path)
        assert response.status_code < 500, path
        if "html" in response.get("Content-Type", ""):
            text = text_of(response)
            seen += "x-canary" in text
            if executed(text):
                found.append(path)

    assert found == []
    assert seen > 20
