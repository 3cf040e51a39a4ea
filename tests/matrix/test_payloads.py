"""Texts that customers choose are shown as texts on every page, of the portal and of the back office."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import (
    ApiKey,
    Authenticator,
    Identity,
    IdentityProvider,
    Membership,
    Organization,
    Session,
    TrustedDevice,
    User,
)
from accounts.services import audit, staff, team
from billing.admin.reports import REPORTS
from billing.models import (
    Authorization,
    Budget,
    ChargeDispute,
    Customer,
    Grant,
    Note,
    Notice,
    NoticeDelivery,
    NoticeTarget,
    PaymentMethod,
    Plan,
    RecurringGrant,
    WebhookDelivery,
    WebhookEndpoint,
)
from billing.services.customer import embeds, sign_up
from tests.builders import Shop, browser_of
from tests.matrix.conftest import Tenant
from tests.matrix.test_admin import PAGES, address
from tests.matrix.test_portal import CALLS, OPEN, filled, text_of

PAYLOAD = "\"'></script></title></textarea></style>--><x-canary data-canary=1 onload=alert(1)>{{7*7}}"
"""Ends whatever it may stand in, and begins an element of its own."""
PAYLOADS = [
    PAYLOAD,
    "<script>canary()</script>",
    "<img src=x onerror=canary()>",
    "<svg/onload=canary()>",
    "<iframe srcdoc='<script>canary()</script>'>",
    "<a href=javascript:canary()>x</a>",
    "<form action=javascript:canary()><button>",
    '" autofocus onfocus=canary() x="',
    "' onmouseover=canary() x='",
    "` onclick=canary() `",
    "javascript:canary()",
    "data:text/html,<script>canary()</script>",
    "</textarea></select><x-canary onload=canary()>",
    "--><x-canary><!--",
    "&lt;script&gt;canary()&lt;/script&gt;",
    "\u2028\x1b<x-canary {{ canary }} {% debug %}>",
]
LEADS = {"href", "src", "srcdoc", "action", "formaction", "data", "poster", "xlink:href", "hx-get", "hx-post"}


class Reader(HTMLParser):
    """What a browser would make of a page: whether an element or an attribute of a payload's is among it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.runs = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        said = {name: value or "" for name, value in attrs}
        self.runs = tag == "script" and said.get("type") != "application/json"
        leads = [said[name].strip().lower() for name in LEADS & said.keys()]
        if (
            tag == "x-canary"
            or "data-canary" in said
            or any(name.startswith("on") and "canary" in value for name, value in said.items())
            or any(value.startswith(("javascript:", "data:text")) or "<script" in value for value in leads)
        ):
            self.found.append(tag)

    def handle_data(self, data: str) -> None:
        if self.runs and "canary" in data:
            self.found.append("script")


def executed(text: str) -> list[str]:
    reader = Reader()
    reader.feed(text)
    return reader.found


def poison(shop: Shop, acme: Tenant) -> None:
    """The payloads in usage, and the first in every text that a customer, or somebody for them, can choose."""
    for text in PAYLOADS:
        shop.record(acme.customer, id=f"x{text}", model=text, user=text, project=text, feature=text, session=text)
    shop.record(acme.customer, id="javascript:canary()", model="javascript:canary()", input_tokens=10**9)
    for model in (Customer, Organization, User, Budget, Grant, TrustedDevice, Plan):
        model._default_manager.update(name=PAYLOAD)
    Authenticator.objects.update(name=PAYLOAD[:64])
    Authorization.objects.update(data={PAYLOAD: PAYLOAD}, reason=PAYLOAD)
    NoticeDelivery.objects.update(last_error=PAYLOAD)
    WebhookDelivery.objects.update(data={PAYLOAD: PAYLOAD}, log=[{"at": PAYLOAD, "status": None, "said": PAYLOAD}])
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
    harmless = {"javascript:canary()", "` onclick=canary() `", "&lt;script&gt;canary()&lt;/script&gt;"}
    for text in PAYLOADS:
        bare = executed(f"<p>{text}</p>") + executed(f'<b title="{text}">') + executed(f"<b title='{text}'>")
        assert bool(bare) != (text in harmless), text
        assert executed(f'<a href="{text}">x</a>') or not text.startswith(("javascript:", "data:"))


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


def test_no_page_that_strangers_see_runs_them(shop: Shop, acme: Tenant, settings: Any) -> None:
    settings.SELF_SIGN_UP = True
    by = Membership.objects.get(user=acme.owner)
    _, invited = team.invite(
        organization=by.organization, email="new@acme.test", role="viewer", by=by, actor=audit.SYSTEM
    )
    shop.fund(acme.customer, "1000")
    Customer.objects.update(has_budgets=False)
    assert shop.record(acme.customer, id="seen", model=PAYLOAD, input_tokens=1000).status == "charged"
    Plan.objects.update(offered=True)
    poison(shop, acme)
    key = ApiKey.objects.get(pk=acme.ids["key_id"]).pk
    paths = [urlsplit(embeds.issue(customer=acme.customer, view=view, key_id=key).url).path for view in embeds.VIEWS]
    paths += [f"/invitations/{invited}", "/prices", f"/sign-in/company?{urlencode({'name': PAYLOAD})}"]
    paths.append(urlsplit(sign_up.ask(sign_up.Asked("x@x.test", PAYLOAD, PAYLOAD, ""))).path)
    shown = {}
    for path in paths:
        response: Any = Client().get(path)
        assert response.status_code == 200, path
        shown[path] = text_of(response)

    assert {path for path, text in shown.items() if executed(text)} == set()
    assert {path for path, text in shown.items() if "x-canary" not in text} == {paths[0]}, "but of balances"


def test_no_page_of_the_back_office_runs_them(shop: Shop, acme: Tenant) -> None:
    poison(shop, acme)
    person = User.objects.create_user("admin@ante.test")
    staff.join(person, staff.ADMINISTRATOR)
    client: Client = browser_of(person, raise_request_exception=False)
    seen, found, rows = 0, [], {}
    paths = [address(name, rows) for name in PAGES]
    paths += [reverse("admin:billing_report", args=[name]) for name in REPORTS]
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths.append(reverse(f"{base}_changelist"))
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            paths += [reverse(f"{base}_{page}", args=[row.pk]) for page in ("change", "history")]
    for path in filter(None, paths):
        response: Any = client.get(path)
        assert response.status_code < 500, path
        assert not response.streaming or response.getvalue()  # A file keeps its place until it is read.
        if "html" in response.get("Content-Type", ""):
            text = text_of(response)
            seen += "x-canary" in text
            if executed(text):
                found.append(path)

    assert found == []
    assert seen > 20
