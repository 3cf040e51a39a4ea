"""The page that answers a support call, and what can be done there."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.services import staff
from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest
from billing.models import Approval, Balance, Customer, Grant, Note, Wallet
from billing.services.customer import customers
from tests.builders import Shop, browser_of

WHY = {"reason": "Asked on the phone"}


def url(customer: Customer, action: str = "") -> str:
    page = reverse("admin:billing_customer_change", args=[customer.pk])
    return page.replace("/change/", f"/{action}/") if action else page


def desk(group: str) -> Client:
    person = User.objects.create_user(f"{group.lower()}@ante.test", "correct horse battery")
    staff.join(person, group)
    return browser_of(person)


def test_one_screen_answers_the_call(office: Client, acme: Customer) -> None:
    office.post(url(acme, "note"), {"reason": "Prefers <b>e-mail</b>"})
    office.post(url(acme, "freeze"), WHY)
    with CaptureQueriesContext(connection) as queries:
        page = office.get(url(acme)).content.decode()
    assert len(queries) <= 30
    for words in (
        "Frozen since",
        "Asked on the phone",
        "insufficient funds",
        "Prefers &lt;b&gt;e-mail&lt;/b&gt;",
        "owner@acme.test",
        "Gift",
        "Payments",
        "Succeeded",
        "Waits for a second person",
    ):
        assert words in page, words


def test_the_number_of_questions_does_not_grow_with_the_customer(office: Client, acme: Customer, shop: Shop) -> None:
    def questions() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert office.get(url(acme)).status_code == 200
        return len(asked)

    office.post(url(acme, "note"), {"reason": "One"})
    questions()
    few = questions()
    for n in range(5):
        office.post(url(acme, "note"), {"reason": f"Note {n}"})
        shop.fund(acme, "1")
        shop.record(acme, id=f"more-{n}", input_tokens=10**9)
        shop.key("wallets:read", organization=acme.organization)
    assert questions() <= few + 1


def test_a_wallet_is_frozen_and_unfrozen(office: Client, acme: Customer, shop: Shop) -> None:
    frozen = office.post(url(acme, "freeze"), WHY, follow=True).content.decode()
    assert "is frozen" in frozen
    assert (url(acme, "freeze") in frozen, url(acme, "unfreeze") in frozen) == (False, True)
    assert "is frozen already" in office.post(url(acme, "freeze"), WHY, follow=True).content.decode()
    assert shop.record(acme, id="now", input_tokens=1).error is not None
    thawed = office.post(url(acme, "unfreeze"), WHY, follow=True).content.decode()
    assert "pays again" in thawed
    assert (url(acme, "freeze") in thawed, url(acme, "unfreeze") in thawed) == (True, False)
    assert shop.record(acme, id="then", input_tokens=1).error is None
    assert Wallet.objects.get(customer=acme).frozen_at is None


def test_the_overdraft_limit_is_set_and_above_the_limit_waits(office: Client, acme: Customer, settings: Any) -> None:
    settings.APPROVAL_ABOVE = {"usd": Decimal(100)}
    limit = {"asset": "usd", "limit": "50", **WHY}
    assert "was changed" in office.post(url(acme, "overdraft-limit"), limit, follow=True).content.decode()
    assert Balance.objects.get(customer=acme, asset="usd").overdraft_limit == 50
    answer = office.post(url(acme, "overdraft-limit"), {**limit, "limit": "151"}, follow=True).content.decode()
    assert "has to approve it" in answer
    assert Approval.objects.filter(kind="overdraft_limit", amounts={"usd": "101"}).count() == 1


@pytest.mark.parametrize(("group", "days"), [(staff.SUPPORT, 0), (staff.FINANCE, 365)])
def test_how_far_usage_goes_on_unpaid_is_not_for_support(acme: Customer, group: str, days: int) -> None:
    Customer.objects.filter(pk=acme.pk).update(overdue_grace_days=0)
    plain = {"name": "Acme Robots", "timezone": "UTC", "metadata": "{}"}
    credit = {"on_insufficient_funds": "overdraft", "overdue_action": "nothing", "overdue_grace_days": "365"}

    answer = desk(group).post(url(acme), plain | credit, follow=True)

    acme.refresh_from_db()
    assert (acme.name, acme.overdue_grace_days) == ("Acme Robots", days)
    assert acme.on_insufficient_funds == "reject"
    assert Approval.objects.filter(kind="overdraft_limit", customer=acme).exists() == (group == staff.FINANCE)
    assert ("has to approve it" in answer.content.decode()) == (group == staff.FINANCE)


def test_what_only_waits_is_not_said_to_have_been_changed(acme: Customer) -> None:
    client = desk(staff.FINANCE)
    form = client.get(url(acme)).context["adminform"].form
    plain = {name: value for name in form.fields if (value := form[name].value()) is not None}
    plain["initial-metadata"] = plain["metadata"]

    asked = client.post(url(acme), plain | {"on_insufficient_funds": "overdraft"}, follow=True).content.decode()
    changed = client.post(url(acme), plain | {"on_insufficient_funds": "reject", "country": "DE"}, follow=True)

    assert ("has to approve it" in asked, "changed successfully" in asked) == (True, False)
    assert "changed successfully" in changed.content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timezone", "Mars/Olympus"),
        ("timezone", "../etc"),
        ("timezone", "right/Europe/Berlin"),
        ("country", "D1"),
        ("metadata", []),
        ("overdue_grace_days", 366),
    ],
)
def test_no_field_becomes_what_usage_would_come_to_grief_with(
    office: Client, acme: Customer, field: str, value: Any
) -> None:
    plain = {"name": "Acme Robots", "timezone": "UTC", "metadata": "{}", "on_insufficient_funds": "reject"}
    plain |= {"overdue_action": "default", "country": "de"}
    answer = office.post(url(acme), plain | {field: str(value)})
    assert field in answer.context["adminform"].form.errors
    with pytest.raises(InvalidRequest):
        customers.update(actor=SYSTEM, customer=acme, changes={field: value})
    acme.refresh_from_db()
    assert acme.name == "Acme Robotics"

    office.post(url(acme), plain)
    acme.refresh_from_db()
    assert (acme.name, acme.country) == ("Acme Robots", "DE")


@pytest.mark.parametrize("limit", ["-1", "NaN", "1e40", "ten", "1,5", ""])
def test_a_limit_that_is_none_is_refused_beside_the_field(office: Client, acme: Customer, limit: str) -> None:
    answer = office.post(url(acme, "overdraft-limit"), {"asset": "usd", "limit": limit, **WHY})
    assert "limit" in answer.context["form"].errors
    assert Balance.objects.get(customer=acme, asset="usd").overdraft_limit == 0


def test_a_grant_is_given_longer(office: Client, acme: Customer) -> None:
    gift = Grant.objects.get(name="Gift")
    page = reverse("admin:billing_grant_change", args=[gift.pk]).replace("/change/", "/extend/")
    later = timezone.localdate() + timedelta(days=30)
    assert "later than it is now" in office.post(page, {"expires_on": "2020-01-01", **WHY}).content.decode()
    assert "can be used longer" in office.post(page, {"expires_on": f"{later}", **WHY}, follow=True).content.decode()
    gift.refresh_from_db()
    assert gift.expires_at is not None
    assert timezone.localdate(gift.expires_at) == later + timedelta(days=1)
    office.post(page, {"expires_on": "", **WHY})
    gift.refresh_from_db()
    assert gift.expires_at is None
    assert "never expires" in office.post(page, {"expires_on": "", **WHY}).content.decode()


@pytest.mark.parametrize(
    ("group", "allowed"),
    [
        (staff.FINANCE, {"freeze", "unfreeze", "overdraft-limit", "note", "grant-credit", "adjust"}),
        (staff.SUPPORT, {"note"}),
        (staff.AUDITOR, set()),
    ],
)
def test_who_may_do_what(acme: Customer, group: str, allowed: set[str]) -> None:
    client = desk(group)
    assert client.get(url(acme)).status_code == 200
    actions = ("freeze", "unfreeze", "overdraft-limit", "note", "grant-credit", "adjust")
    opened = {action for action in actions if client.get(url(acme, action)).status_code == 200}
    assert opened == allowed
    assert not Note.objects.exists()


@pytest.mark.parametrize("key", ["1", "nonsense"])
def test_an_address_of_nobody_is_not_found(office: Client, acme: Customer, key: str) -> None:
    for action in ("freeze", "overdraft-limit", "note"):
        address = url(acme, action).replace(str(acme.pk), key)
        assert office.get(address).status_code in {302, 403, 404}, action
