"""Taking personal data out, and erasing it: nothing says any more who it was, and the books still prove themselves."""

import contextlib
import io
import json
import re
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import steps
from accounts.models import ApiKey, AuditDetail, AuditEvent, IdentityProvider, Membership, OutgoingMail, User
from accounts.reading import DateStyle, NumberStyle
from accounts.services import api_keys, audit, factors, mail, organizations, profiles, single_sign_on, staff, team
from accounts.services import privacy as people
from billing.engine import archives
from billing.errors import ApprovalRequired, BudgetExceeded, InvalidState
from billing.gateways.payments import Refused, Unreachable
from billing.gateways.stripe import Stripe
from billing.models import (
    Approval,
    ChargeDispute,
    Customer,
    IdempotencyRecord,
    Notice,
    NoticeTarget,
    OutboxEvent,
    PaymentProfile,
    RecurringGrant,
    SpendAnomaly,
    UsageEvent,
    WebhookDelivery,
    WebhookEndpoint,
)
from billing.selectors import waiting
from billing.selectors.customer import privacy as selector
from billing.selectors.ledger import books
from billing.selectors.ledger import seals as chain
from billing.services import approvals, authorizations, subscriptions, usage
from billing.services.customer import customers, notes, privacy
from billing.services.funding import refunds
from billing.services.invoicing import taxes
from billing.services.ledger import seals
from billing.services.notices import targets
from billing.services.wallet import recurring, wallets
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from tests import canaries
from tests.builders import Shop, browser_of
from tests.payments import Bank, Payer

NAME, ADDRESS, IP = "Zuzanna Canary", "zuzanna@canary.test", "203.0.113.77"
OFFICE = "203.0.113.78/32"
DESK = "198.51.100.9"
CANARIES = (NAME, ADDRESS, "canary.test", IP, OFFICE)


def actor(user: User) -> audit.Actor:
    """The person, from home, or one of the staff, from the office: what staff do is still known by them."""
    return audit.Actor.of_user(user, ip_address=DESK if user.is_staff else IP, request_id="r1")


def stop(customer: Customer) -> Customer:
    """End what stands in an erasure's way."""
    for subscription in customer.subscriptions.all():
        subscriptions.cancel(actor=audit.SYSTEM, subscription=subscription, when="now")
    return customer


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """A customer whose owner's name is a canary, with something of everything."""
    customer = shop.customer("acme", usd="50", name=f"{NAME} Ltd", email=f"billing-{ADDRESS}", metadata={"who": NAME})
    owner = shop.member(customer, ADDRESS)
    User.objects.filter(pk=owner.pk).update(name=NAME)
    owner.refresh_from_db()
    factors.begin(owner, confirmed=True)
    customers.update(actor=actor(owner), customer=customer, changes={"name": NAME})
    member = owner.memberships.get()
    team.invite(organization=customer.organization, email="x@canary.test", role="viewer", by=member, actor=actor(owner))
    key, _ = api_keys.issue(
        name=NAME, scopes=["wallets:read"], organization=customer.organization, created_by=owner, actor=actor(owner)
    )
    api_keys.allow_from(key, [OFFICE], actor=actor(owner))
    organizations.allow_from(customer.organization, [OFFICE], actor=actor(owner))
    provider = IdentityProvider.objects.create(
        organization=customer.organization,
        **dict.fromkeys(("short_name", "client_id", "client_secret"), "canary.test"),
        issuer="https://login.canary.test",
    )
    way = single_sign_on.of_organization(provider)
    assert way is not None
    single_sign_on.connect(way, owner, "canary.test", actor=actor(owner))
    single_sign_on.remove(provider, actor=actor(owner))
    endpoints.create(
        actor=actor(owner), may=anything, customer=customer, url=f"https://{ADDRESS.split('@')[1]}/", events=["*"]
    )
    shop.budget(customer, "100", name=NAME, member=member)
    shop.alert(customer, "5")
    shop.record(customer, id="one", input_tokens=1000)
    mail.queue(ADDRESS, "Hello", NAME)
    later = timezone.now() + timedelta(days=9)
    monthly = recurring.Terms(asset=shop.usd, amount=Decimal(1), interval="month", starts_at=later, name=NAME)
    recurring.create(actor=actor(owner), customer=customer, terms=monthly)
    clerk = User.objects.create_user("clerk@ante.test", is_staff=True)
    notes.add(actor=actor(clerk), customer=customer, text=f"Called: {NAME}")
    taxes.set_profile(actor=actor(clerk), customer=customer, tax_id="ZZ999", address=[NAME])
    IdempotencyRecord.objects.create(
        principal="operator", key="k", fingerprint=b"f", status=201, body={"external_id": "acme", "name": NAME}
    )
    customer.refresh_from_db()
    return customer


def whereabouts(*canaries: str) -> set[str]:
    """The tables in which any of these is, in any column."""
    found = set()
    for model in apps.get_models():
        table = model._meta.db_table
        with connection.cursor() as cursor:
            for canary in canaries:
                cursor.execute(f"SELECT 1 FROM {table} t WHERE t::text ILIKE %s LIMIT 1", [f"%{canary}%"])
                if cursor.fetchone():
                    found.add(table)
    return found


def files(found: selector.Files) -> dict[str, str]:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(archives.stream(found))))
    assert archive.testzip() is None
    return {name: archive.read(name).decode() for name in archive.namelist()}


def proved() -> None:
    """Seal what there is, and find no difference in the books or the chain."""
    with transaction.atomic():
        seals.seal()
    with transaction.atomic():
        books.freeze()
        assert list(books.differences()) == []
        assert list(chain.differences()) == []


def test_an_organization_takes_everything_along(acme: Customer) -> None:
    found = files(selector.of_organization(acme))

    document = json.loads(found["organization.json"])
    assert (document["name"], document["people"][0]["email"]) == (NAME, ADDRESS)
    assert [row["interval"] for row in document["recurring_grants"]] == ["month"]
    assert json.loads(found["usage-events.jsonl"])["event_id"] == "one"
    assert len(found["ledger.jsonl"].splitlines()) == acme.balances.get().seq
    assert any(json.loads(line)["ip_address"] == IP for line in found["audit.jsonl"].splitlines())
    assert "secret" not in "".join(found.values()).replace("second_factor", "")


WITHOUT_A_BLOCK = {
    "accounts_user_groups": "the powers of staff, who are not erased",
    "billing_idempotencyrecord": "answers to requests, for some days: what they are about has its own file",
    "billing_outboxevent": "messages on their way: webhook-deliveries.jsonl and notices.jsonl have what was sent",
}
"""The tables that erasing changes and no file is about, and why."""


def tables(pattern: str, asked: CaptureQueriesContext) -> set[str]:
    return {table for query in asked.captured_queries for table in re.findall(pattern, query["sql"])}


def test_whatever_is_erased_was_there_to_be_taken_along(acme: Customer, shop: Shop) -> None:
    owner, now = User.objects.get(email=ADDRESS), timezone.now()
    ChargeDispute.objects.create(customer=acme, status="declined", reason="Our words", answer="No", closed_at=now)
    held = authorizations.open_for_usage(event=shop.event(acme, id="held", input_tokens=1000, user="Our user"))
    authorizations.void(authorization=held.authorization, reason="Our reason")
    Notice.objects.create(customer=acme, kind="wallet.low", title="Low", text="Told", created_at=now)
    own = WebhookEndpoint.objects.get()
    operators = WebhookEndpoint.objects.create(url="https://ante.test/", events=["*"], secret=own.secret)
    message = {"customer": acme, "type": "x", "message": acme.pk, "lane": acme.pk, "happened_at": now, "due_at": now}
    WebhookDelivery.objects.create(endpoint=own, data={"said": "to them"}, **message)
    WebhookDelivery.objects.create(endpoint=operators, data={"said": "to the operator"}, **message)
    terms = dict.fromkeys(("short_name", "client_id", "client_secret"), "canary-provider")
    IdentityProvider.objects.create(organization=acme.organization, issuer="https://login.test", **terms)

    with CaptureQueriesContext(connection) as read:
        found = files(selector.of_organization(Customer.objects.get(pk=acme.pk), notes=True))
        files(selector.of_person(User.objects.get(pk=owner.pk)))

    document = json.loads(found["organization.json"])
    assert (document["tax_profile"][0]["tax_id"], document["tax_profile"][0]["address"]) == ("ZZ999", [NAME])
    assert document["single_sign_on"][0]["issuer"] == "https://login.test"
    assert "client_secret" not in document["single_sign_on"][0]
    note = json.loads(found["notes.jsonl"])
    assert (note["author"], note["text"], "created_at" in note) == ("staff", f"Called: {NAME}", True)
    assert json.loads(found["charge-disputes.jsonl"])["reason"] == "Our words"
    announced = json.loads(found["authorizations.jsonl"])
    assert (announced["reason"], announced["data"]["user"]) == ("Our reason", "Our user")
    assert json.loads(found["notices.jsonl"])["text"] == "Told"
    told = [json.loads(line)["data"] for line in found["webhook-deliveries.jsonl"].splitlines()]
    assert {"said": "to them"} in told
    assert {"said": "to the operator"} not in told

    stop(acme)
    with CaptureQueriesContext(connection) as erased:
        privacy.erase_customer(actor=actor(owner), customer=acme, reason="Asked for")

    gone = tables(r'^(?:UPDATE|DELETE FROM) "(\w+)"', erased)
    assert {"accounts_identityprovider", "billing_note", "billing_notice", "billing_taxprofile"} <= gone
    assert gone - tables(r'(?:FROM|JOIN) "(\w+)"', read) == WITHOUT_A_BLOCK.keys()


def test_why_staff_refunded_stays_with_them(payer: Payer, bank: Bank) -> None:
    clerk = User.objects.create_user("clerk@ante.test", is_staff=True)
    refunds.create(actor=actor(clerk), top_up=payer.paid(), amount=Decimal(5), reason="Canary of a reason")

    found = files(selector.of_organization(payer.customer))

    assert Decimal(json.loads(found["refunds.jsonl"])["amount"]) == 5
    assert [name for name, text in found.items() if "Canary of a reason" in text] == []


def test_an_archive_is_read_in_steps(acme: Customer, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        shop.record(acme, id=f"more-{number}", input_tokens=1)
    owner = User.objects.get(email=ADDRESS)
    lines = AuditEvent.objects.filter(actor_id=owner.pk).count()
    monkeypatch.setattr(steps, "STEP", 3)

    assert len(files(selector.of_organization(acme))["usage-events.jsonl"].splitlines()) == 8
    trail = [json.loads(line)["id"] for line in files(selector.of_person(owner))["audit.jsonl"].splitlines()]
    assert lines > 6
    assert trail == sorted(set(trail))
    assert len(trail) == lines


def test_a_person_takes_along_what_is_theirs(acme: Customer) -> None:
    taken = files(selector.of_person(User.objects.get(email=ADDRESS)))
    found = json.loads(taken["person.json"])

    assert (found["person"]["name"], found["memberships"][0]["role"]) == (NAME, "owner")
    assert {json.loads(line)["actor_label"] for line in taken["audit.jsonl"].splitlines()} == {ADDRESS}
    assert "password" not in found["person"]


@pytest.mark.corrupts_books
@pytest.mark.usefixtures("plain_static_files")
def test_nothing_says_who_it_was_and_the_books_prove_themselves(
    committed_db: None, shop: Shop, acme: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    seals.seal()
    owner = User.objects.get(email=ADDRESS)
    assert len(whereabouts(*CANARIES)) >= 10
    assert all(whereabouts(canary) for canary in CANARIES)
    tried = Client().post("/sign-in", {"username": ADDRESS, "password": "x"}, REMOTE_ADDR=IP)
    assert tried.status_code == 200
    caplog.set_level("DEBUG")
    stop(acme)

    privacy.erase_customer(actor=actor(owner), customer=acme, reason="Asked for")

    assert {canary: found for canary in CANARIES if (found := whereabouts(canary))} == {}
    assert whereabouts(DESK) == {"accounts_auditdetail"}
    named = re.compile("|".join(map(re.escape, CANARIES)))
    assert canaries.in_redis(settings.REDIS_URL, named.findall) == []
    assert named.findall(caplog.text) == []
    assert not AuditDetail.objects.filter(line__actor_id=owner.pk).exclude(ip_address=None).exists()
    acme.refresh_from_db()
    assert acme.erased_at is not None
    owner.refresh_from_db()
    assert (owner.is_active, owner.has_usable_password(), owner.email) == (
        False,
        False,
        people.FORGOTTEN.format(id=owner.pk),
    )
    assert not ApiKey.objects.filter(revoked_at=None).exists()
    assert not RecurringGrant.objects.filter(canceled_at=None).exists()
    assert shop.record(acme, id="late", input_tokens=1).status == "rejected"
    proved()


@pytest.mark.corrupts_books
def test_a_name_in_the_sealed_trail_would_be_found(committed_db: None, acme: Customer) -> None:
    """The control: what is sealed cannot be forgotten, so that a name must not get into it."""
    AuditEvent.objects.create(actor_kind="user", action="x", object_type="x", object_id="x", sealed_after={"n": NAME})
    owner = User.objects.get(email=ADDRESS)
    stop(acme)
    privacy.erase_customer(actor=actor(owner), customer=acme, reason="Asked for")

    assert whereabouts(NAME) == {"accounts_auditevent"}


def test_whom_usage_came_from_fits_no_address_any_more(shop: Shop, acme: Customer) -> None:
    event = replace(shop.event(acme, id="from", input_tokens=1), origin=usage.Origin("r2", IP))
    usage.record([event])
    key = acme.origin_key
    assert key is not None
    stored = UsageEvent.objects.get(event_id="from").origin
    assert stored == f"r2 {usage.address_hash(IP, key)}"

    privacy.erase_customer(actor=audit.SYSTEM, customer=stop(acme), reason="Asked for")

    assert whereabouts(str(key)) == set()
    usage.record([replace(event, id="late")])
    assert UsageEvent.objects.get(event_id="late").origin == "r2 "
    assert shop.customer("other").origin_key not in {None, key}


def test_a_person_is_forgotten_and_the_others_are_not(shop: Shop, acme: Customer) -> None:
    person = shop.member(acme, "going@canary.test", "admin")
    reading = {"language": "de", "number_style": NumberStyle.MARK_POINT, "date_style": DateStyle.ISO}
    profiles.change(person, actor=actor(person), timezone="Europe/Berlin", **reading)
    audit.record(actor=actor(person), action="x", object_type="membership", object_id="1", after={"user": ADDRESS})

    privacy.erase_person(actor=actor(person), user=person)

    assert whereabouts("going@canary.test") == set()
    person.refresh_from_db()
    assert (person.timezone, person.language, person.number_style, person.date_style) == ("", "", "", "")
    assert not Membership.objects.filter(user=person).exists()
    line = AuditEvent.objects.get(action="x")
    assert (line.actor_id, line.actor_label, line.ip_address) == (person.pk, "", None)
    assert line.after == {"user": ADDRESS}
    assert User.objects.get(email=ADDRESS).name == NAME
    with pytest.raises(InvalidState, match="no other owner"):
        privacy.erase_person(actor=audit.SYSTEM, user=User.objects.get(email=ADDRESS))


@pytest.mark.usefixtures("plain_static_files")
def test_what_staff_changed_in_a_form_is_forgotten(shop: Shop, acme: Customer) -> None:
    person = shop.member(acme, "going@canary.test", "viewer", name="Going Canary")
    staff.make_groups()
    clerk = User.objects.create_user("root@ante.test")
    staff.join(clerk, staff.ADMINISTRATOR)
    form = {"email": person.email, "name": "Gone Canary", "is_active": "on"}
    named = {"x-request-id": "going-canary.1"}
    sent = browser_of(clerk).post(f"/admin/accounts/user/{person.pk}/change/", form, headers=named)
    assert (sent.status_code, sent["X-Request-Id"]) == (302, "going-canary.1")
    assert User.objects.get(pk=person.pk).name == "Gone Canary"

    privacy.erase_person(actor=audit.SYSTEM, user=person)

    assert whereabouts("going@canary.test", "Gone Canary", "Going Canary", "going-canary") == set()


def test_what_a_budget_refused_says_no_name(shop: Shop, acme: Customer) -> None:
    """A refusal is kept with the event for ever, and its answer with the key of an operator who sent several."""
    person = shop.member(acme, "going@canary.test", "developer")
    key, _ = api_keys.issue(
        name="k", scopes=["events:write"], organization=acme.organization, created_by=person, actor=audit.SYSTEM
    )
    shop.budget(acme, "0.0000001", name="Going Canary", member=person.memberships.get())
    found = usage.record([replace(shop.event(acme, id="over", input_tokens=1000), api_key_id=key.pk)])[0]
    assert isinstance(found.error, BudgetExceeded)
    assert "canary" not in f"{found.error.detail} {found.error.figures}".lower()

    privacy.erase_person(actor=audit.SYSTEM, user=person)
    privacy.erase_customer(actor=audit.SYSTEM, customer=stop(acme), reason="Asked for")

    assert whereabouts("Going Canary", "going@canary.test") == set()


@pytest.mark.parametrize("one_by_one", [True, False], ids=["locked", "control"])
def test_of_two_owners_who_go_at_once_one_stays(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch, one_by_one: bool
) -> None:
    acme = shop.customer("acme")
    owners = [shop.member(acme, f"{name}@acme.test") for name in ("one", "two")]
    both = threading.Barrier(2)
    look = people.obstacles

    def looked(user: User) -> list[str]:
        found = look(user)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(1 if one_by_one else 30)  # Until the other has looked as well, if anything lets it.
        return found

    def go(user: User) -> str:
        try:
            privacy.erase_person(actor=actor(user), user=user)
        except InvalidState as refusal:
            return str(refusal)
        finally:
            connections.close_all()
        return "gone"

    monkeypatch.setattr(people, "obstacles", looked)
    if not one_by_one:
        monkeypatch.setattr(people.team, "lock", lambda *ids: None)
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(go, owners))

    assert outcomes.count("gone") == (1 if one_by_one else 2)
    assert Membership.objects.filter(organization=acme.organization, role="owner").count() == 2 - outcomes.count("gone")


SLACK = "https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/abcdefgh12345678"


@pytest.mark.parametrize("whose", ["a person", "the organization"])
def test_telephones_and_chats_are_taken_along_and_forgotten(acme: Customer, shop: Shop, whose: str) -> None:
    person = shop.member(acme, "going@canary.test", "admin")
    targets.add(actor=actor(person), user=person, customer=acme, channel="slack", address=SLACK, topics=[])
    assert json.loads(files(selector.of_person(person))["notice-targets.json"])[0]["address"] == SLACK
    (line,) = AuditEvent.objects.filter(action="notice_target.added")
    assert (line.after or {})["address"] == "…5678"

    if whose == "a person":
        privacy.erase_person(actor=actor(person), user=person)
    else:
        privacy.erase_customer(actor=audit.SYSTEM, customer=stop(acme), reason="Asked for")

    assert not NoticeTarget.objects.exists()
    line.refresh_from_db()
    assert "address" not in (line.sealed_after or {})


def test_what_was_told_of_a_budget_says_no_more_who_it_was(acme: Customer, shop: Shop) -> None:
    shop.budget(acme, "0.000001", name=NAME, hard=False)
    shop.record(acme, id="two", input_tokens=1000)
    assert OutboxEvent.objects.get(type="budget.exceeded").payload["name"] == NAME

    privacy.erase_customer(actor=audit.SYSTEM, customer=stop(acme), reason="Asked for")

    assert whereabouts(NAME) == set()
    told = OutboxEvent.objects.get(type="budget.exceeded").payload
    assert (told["name"], told["limit"]) == ("Erased", "0.000001")


def test_what_was_written_beside_the_books_goes_too(acme: Customer, shop: Shop, bank: Bank) -> None:
    clerk = User.objects.get(email="clerk@ante.test")
    shop.fund(acme, "1", name=NAME, metadata={"for": NAME})
    monthly = recurring.Terms(asset=shop.usd, amount=Decimal(1), interval="month", name=NAME, metadata={"for": NAME})
    recurring.create(actor=actor(clerk), customer=acme, terms=monthly, reason=NAME)  # The first is given at once.
    refunds.start(refunds.create(actor=actor(clerk), top_up=Payer(shop, bank, acme).paid(), reason=NAME).pk)
    held = authorizations.open_for_usage(event=shop.event(acme, id="held", input_tokens=1000, user=NAME))
    authorizations.void(authorization=held.authorization, reason=NAME)
    shop.budget(acme, "0.000001", name="Each", scope={"user": "*"}, hard=False)
    shop.record(acme, id="seen", input_tokens=1000, user=NAME)
    hour = {"hour": timezone.now(), "scope": "feature", "value": NAME, "level": "spike", "created_at": timezone.now()}
    SpendAnomaly.objects.create(customer=acme, asset=shop.usd, spent=1, usual=1, above=1, **hour)
    told = {"type": "x", "data": {"name": NAME}, "log": [{"answer": NAME}], "happened_at": timezone.now()}
    ids = {"message": acme.pk, "lane": acme.pk, "due_at": timezone.now(), "endpoint": WebhookEndpoint.objects.get()}
    WebhookDelivery.objects.create(customer=acme, state="delivered", **ids, **told)
    answer = {"customer": "acme", "amount": "1", "name": NAME, "metadata": {"for": NAME}}
    IdempotencyRecord.objects.create(principal="operator", key="g", fingerprint=b"f", status=201, body=answer)
    wallets.freeze(actor=actor(clerk), customer=acme, reason=NAME)
    written = {"grant", "recurringgrant", "refund", "authorization", "budgetcounter", "spendanomaly", "wallet"}
    written |= {"webhookdelivery", "idempotencyrecord", "outboxevent"}
    assert {f"billing_{table}" for table in written} <= whereabouts(NAME)

    privacy.erase_customer(actor=audit.SYSTEM, customer=stop(acme), reason="Asked for")

    # What the application itself says of its users in usage is in the seals.
    assert whereabouts(NAME) <= {"billing_usageevent", "billing_charge", "billing_usageline"}
    (kept,) = IdempotencyRecord.objects.filter(key="g")
    assert kept.body == {"customer": "acme", "amount": "1", "name": "Erased", "metadata": {}}


def _owing(shop: Shop, acme: Customer, bank: Bank) -> None:
    Customer.objects.filter(pk=acme.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=audit.SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(50))
    shop.record(acme, input_tokens=30_000_000)


def _authorized(shop: Shop, acme: Customer, bank: Bank) -> None:
    authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(1))


def _paying(shop: Shop, acme: Customer, bank: Bank) -> None:
    Payer(shop, bank, acme).open()


def _asked_for(shop: Shop, acme: Customer, bank: Bank) -> None:
    clerk = User.objects.get(email="clerk@ante.test")
    terms = {"asset": "usd", "amount": "1000000", "kind": "promotional"}
    approvals.perform(actor=actor(clerk), kind="grant", customer=acme, terms=terms, reason="x")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_owing, "Money is owed"),
        (_authorized, "Work is authorized"),
        (_paying, "A payment is under way"),
        (_asked_for, "A second person"),
    ],
    ids=["owing", "authorized", "paying", "asked for"],
)
def test_what_stands_in_the_way_is_said_and_nothing_is_touched(
    shop: Shop, acme: Customer, bank: Bank, make: Any, why: str
) -> None:
    make(shop, acme, bank)
    stop(acme)
    owner = User.objects.get(email=ADDRESS)

    with pytest.raises(InvalidState, match=why):
        privacy.erase_customer(actor=actor(owner), customer=acme, reason="Asked for")

    acme.refresh_from_db()
    assert (acme.name, acme.erased_at, acme.wallet.frozen_at) == (NAME, None, None)


def test_a_running_plan_stands_in_the_way(acme: Customer) -> None:
    assert privacy.obstacles(acme) == ["A plan still runs. Cancel it, and wait for its end."]


def test_one_of_the_staff_alone_erases_nobody(shop: Shop, acme: Customer) -> None:
    stop(acme)
    staff.make_groups()
    maker, checker = (User.objects.create_user(f"{name}@ante.test") for name in ("maker", "checker"))
    staff.join(maker, staff.ADMINISTRATOR)
    staff.join(checker, staff.FINANCE)
    with pytest.raises(ApprovalRequired):
        privacy.erase_customer(actor=actor(maker), customer=acme, reason="x")

    asked = approvals.perform(actor=actor(maker), kind=Approval.Kind.ERASURE, customer=acme, terms={}, reason="Asked")
    assert asked is not None
    acme.refresh_from_db()
    assert acme.erased_at is None
    approvals.approve(actor=actor(checker), approval=asked)

    acme.refresh_from_db()
    assert acme.erased_at is not None
    with pytest.raises(InvalidState, match="before"):
        privacy.erase_customer(actor=audit.SYSTEM, customer=acme, reason="again")
    with pytest.raises(InvalidState, match="stays frozen"):
        wallets.unfreeze(actor=audit.SYSTEM, customer=acme, reason="x")
    with pytest.raises(InvalidState, match="was erased"):
        customers.update(actor=audit.SYSTEM, customer=acme, changes={"name": "again"})


def test_people_of_the_back_office_stay_named(acme: Customer) -> None:
    clerk = User.objects.get(email="clerk@ante.test")

    with pytest.raises(InvalidState, match="back office"):
        privacy.erase_person(actor=audit.SYSTEM, user=clerk)


def raising(error: Exception) -> Any:
    def function(*_: object) -> None:
        raise error

    return function


def test_the_provider_is_asked_until_it_forgets(
    shop: Shop, bank: Bank, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = Payer(shop, bank, acme)
    payer.keep()
    stop(acme)
    privacy.erase_customer(actor=audit.SYSTEM, customer=acme, reason="x")
    profile = PaymentProfile.objects.get(customer=acme)
    assert profile.forget_asked_at is not None

    for answer in (Unreachable("away"), Refused("no", code="rate_limit")):
        with monkeypatch.context() as trouble:
            trouble.setattr(Stripe, "forget_customer", raising(answer))
            assert privacy.settle_due() == 0
        profile.refresh_from_db()
        assert profile.forgotten_at is None
        assert bank.rules.store.all("customer")[0]["object"] == "customer"
    assert privacy.settle_due() == 1
    assert privacy.settle_due() == 0

    profile.refresh_from_db()
    assert profile.forgotten_at is not None
    assert {kept["object"] for kept in bank.rules.store.all("customer")} == {"deleted_customer"}


def test_who_is_refused_or_of_another_mode_keeps_nobody_waiting(
    shop: Shop, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_at, asked = timezone.now() - waiting.FORGOTTEN_WITHIN - timedelta(minutes=1), []

    def answer(_: Stripe, provider_id: str) -> None:
        asked.append(provider_id)
        if provider_id.startswith("refused"):
            raise Refused("no", code="rate_limit")

    monkeypatch.setattr(Stripe, "forget_customer", answer)
    monkeypatch.setattr(privacy, "FORGET_BATCH", 2)
    for id in ("other-1", "other-2", "refused-1", "refused-2", "last"):
        mode = "elsewhere" if id.startswith("other") else "stand-in"
        PaymentProfile.objects.create(customer=shop.customer(id), mode=mode, provider_id=id, forget_asked_at=asked_at)

    assert [privacy.settle_due() for _ in range(3)] == [0, 1, 0]

    assert asked == ["refused-1", "refused-2", "last", "refused-1", "refused-2", "refused-1"]
    left = set(waiting.unforgotten().values_list("external_id", flat=True))
    assert left == {"other-1", "other-2", "refused-1", "refused-2"}
    PaymentProfile.objects.update(forget_asked_at=timezone.now())
    assert not waiting.unforgotten().exists()


def test_without_a_provider_nobody_is_asked(shop: Shop) -> None:
    profile = {"mode": "stand-in", "provider_id": "cus_1", "forget_asked_at": timezone.now()}
    PaymentProfile.objects.create(customer=shop.customer(), **profile)

    assert privacy.settle_due() == 0


def test_what_is_kept_for_a_while_is_forgotten_after_it(acme: Customer, settings: Any) -> None:
    assert privacy.forget_old()["audit_addresses"] == 0
    settings.AUDIT_ADDRESS_DAYS = settings.LETTER_DAYS = settings.IDEMPOTENCY_DAYS = 0
    letters = OutgoingMail.objects.update(created_at=timezone.now() - timedelta(seconds=1))

    found = privacy.forget_old()

    assert found["audit_addresses"] > 0
    assert letters > 0
    assert (found["letters"], found["answers"]) == (letters, 1)
    assert not AuditDetail.objects.exclude(ip_address=None).exists()
    assert AuditEvent.objects.filter(action="customer.changed").exists()
