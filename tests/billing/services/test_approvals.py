"""Above a limit nobody moves value by hand alone: whichever way, whoever they are, however often they click."""

import ast
import threading
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from accounts.models import AuditEvent, OutgoingMail, User
from accounts.services import audit, staff
from billing.engine.money import amount_string
from billing.errors import ApprovalRequired, BillingError, InvalidState, PermissionDenied
from billing.models import (
    Approval,
    Asset,
    Balance,
    Customer,
    Grant,
    Invoice,
    ManualMovement,
    PartnerAccrual,
    PlanVersion,
    Refund,
    UsageEvent,
)
from billing.services import approvals, four_eyes, subscriptions
from billing.services.catalog import plans
from billing.services.funding import refunds
from billing.services.invoicing import invoice_payments, invoices, taxes, voiding
from billing.services.revenue import partners
from billing.services.wallet import corrections, grants, wallets
from tests.architecture.sources import nodes
from tests.billing.services.conftest import Clock
from tests.builders import Shop
from tests.payments import Payer


@pytest.fixture(autouse=True)
def _limits(settings: Any) -> None:
    settings.APPROVAL_ABOVE = {"usd": Decimal(100), "*": Decimal(1000)}
    settings.APPROVAL_DAILY_ABOVE = {"usd": Decimal(250)}


def person(email: str, group: str = staff.FINANCE) -> User:
    found = User.objects.filter(email=email).first() or User.objects.create_user(email)
    staff.join(found, group)
    return found


def by(user: User) -> audit.Actor:
    return audit.Actor.of_user(user, ip_address=None, request_id="")


@pytest.fixture
def maker(db: None) -> User:
    return person("maker@ante.test")


@pytest.fixture
def checker(db: None) -> User:
    return person("checker@ante.test")


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="500")


def ask(customer: Customer, maker: User, amount: str = "100.01", **terms: Any) -> Approval:
    asked = approvals.perform(
        actor=by(maker),
        kind="grant",
        customer=customer,
        terms={"asset": "usd", "amount": amount, "kind": "promotional", **terms},
        reason="Outage",
    )
    assert asked is not None
    return asked


def available(customer: Customer) -> Decimal:
    return Balance.objects.get(customer=customer, asset_id="usd").available


def test_up_to_the_limit_it_is_done_at_once(acme: Customer, maker: User) -> None:
    terms = {"asset": "usd", "amount": "100", "kind": "promotional"}
    assert approvals.perform(actor=by(maker), kind="grant", customer=acme, terms=terms, reason="Outage") is None
    assert available(acme) == 600
    assert (AuditEvent.objects.get(action="grant.created", actor_id=maker.pk).after or {})["reason"] == "Outage"
    assert list(ManualMovement.objects.values_list("person", "asset", "amount", "approval")) == [
        (maker.pk, "usd", Decimal(100), None)
    ]


def test_above_it_nothing_moves_until_another_person_agrees(acme: Customer, maker: User, checker: User) -> None:
    asked = ask(acme, maker)

    assert available(acme) == 500
    assert not ManualMovement.objects.exists()
    assert [letter.recipient for letter in OutgoingMail.objects.all()] == [checker.email]

    approvals.approve(actor=by(checker), approval=asked, note="Right")

    assert available(acme) == Decimal("600.01")
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by, asked.note) == ("approved", checker, "Right")
    trail = AuditEvent.objects.filter(object_type="approval").order_by("id").values_list("action", "detail__label")
    assert list(trail) == [("approval.requested", maker.email), ("approval.approved", checker.email)]


@pytest.mark.parametrize(
    ("hands", "accounts"),
    [
        ("maker", ["checker"]),
        ("checker", ["maker"]),
        ("boss", ["maker", "checker"]),
        ("maker", ["boss", "checker by boss"]),
    ],
    ids=["of the maker", "of the checker", "of somebody else", "at one remove"],
)
def test_nobody_is_both_by_an_account_that_they_had_in_hand(
    acme: Customer, maker: User, checker: User, hands: str, accounts: list[str]
) -> None:
    people = {"maker": maker, "checker": checker, "boss": person("boss@ante.test", staff.ADMINISTRATOR)}
    for words in accounts:
        name, _, other = words.partition(" by ")
        audit.record(
            actor=by(people[other or hands]),
            action="user.password_set",
            object_type="user",
            object_id=str(people[name].pk),
        )
    asked = ask(acme, maker)

    with pytest.raises(PermissionDenied, match="A third person"):
        approvals.approve(actor=by(checker), approval=asked)

    assert available(acme) == 500
    approvals.approve(actor=by(person("third@ante.test")), approval=asked)
    assert available(acme) == Decimal("600.01")


def test_what_was_done_to_an_account_long_before_stands_in_nobodys_way(
    acme: Customer, maker: User, checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(four_eyes, "HANDS_OFF", timedelta(0))
    audit.record(actor=by(maker), action="user.created", object_type="user", object_id=str(checker.pk))
    asked = ask(acme, maker)
    audit.record(actor=by(maker), action="user.exported", object_type="user", object_id=str(checker.pk))

    approvals.approve(actor=by(checker), approval=asked)

    assert available(acme) == Decimal("600.01")


@pytest.mark.parametrize("group", [staff.FINANCE, staff.ADMINISTRATOR])
def test_nobody_approves_what_they_asked_for(acme: Customer, group: str) -> None:
    maker = person("boss@ante.test", group)
    asked = ask(acme, maker)

    for decide in (approvals.approve, approvals.reject):
        with pytest.raises(PermissionDenied, match="yourself"):
            decide(actor=by(maker), approval=asked, note="Mine")

    assert available(acme) == 500


@pytest.mark.parametrize("group", [staff.SUPPORT, staff.AUDITOR, None])
def test_who_may_not_decide_does_not(acme: Customer, maker: User, group: str | None) -> None:
    other = person("other@ante.test", group) if group else User.objects.create_user("other@ante.test")
    asked = ask(acme, maker)

    for actor in (by(other), audit.SYSTEM, audit.Actor("api_key", maker.pk)):
        with pytest.raises(PermissionDenied):
            approvals.approve(actor=actor, approval=asked, note="")

    assert available(acme) == 500


def test_once_decided_it_stays_decided(acme: Customer, maker: User, checker: User) -> None:
    asked = ask(acme, maker)
    approvals.approve(actor=by(checker), approval=asked)

    for decide in (approvals.approve, approvals.reject, approvals.withdraw):
        with pytest.raises(InvalidState, match="approved already"):
            decide(actor=by(checker), approval=asked, note="")
    assert available(acme) == Decimal("600.01")

    rejected = ask(acme, maker)
    approvals.reject(actor=by(checker), approval=rejected, note="No")
    with pytest.raises(InvalidState, match="rejected already"):
        approvals.approve(actor=by(checker), approval=rejected)
    assert available(acme) == Decimal("600.01")


def test_only_the_maker_withdraws(acme: Customer, maker: User, checker: User) -> None:
    asked = ask(acme, maker)
    with pytest.raises(PermissionDenied):
        approvals.withdraw(actor=by(checker), approval=asked)
    approvals.withdraw(actor=by(maker), approval=asked)
    with pytest.raises(InvalidState, match="withdrawn already"):
        approvals.approve(actor=by(checker), approval=asked)
    assert available(acme) == 500


def test_it_lapses(acme: Customer, maker: User, checker: User, clock: Clock) -> None:
    asked = ask(acme, maker)
    clock.forward(hours=72)
    with pytest.raises(InvalidState, match="expired already"):
        approvals.approve(actor=by(checker), approval=asked)
    assert approvals.expire_due() == 1
    assert approvals.expire_due() == 0
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by) == ("expired", None)
    assert available(acme) == 500


def test_many_small_ones_add_up(acme: Customer, shop: Shop, maker: User, checker: User, clock: Clock) -> None:
    other = shop.customer("other")
    for customer in (acme, other):
        approvals.perform(
            actor=by(maker),
            kind="adjustment",
            customer=customer,
            terms={"asset": "usd", "amount": "100"},
            reason="Part of it",
        )
    assert ask(acme, maker, "50.01").reason == "Outage"
    with pytest.raises(ApprovalRequired, match="24 hours"):
        wallets.set_overdraft_limit(actor=by(maker), customer=acme, asset=shop.usd, limit=Decimal(51))
    # Somebody else's day, and tomorrow.
    wallets.set_overdraft_limit(actor=by(checker), customer=acme, asset=shop.usd, limit=Decimal(51))
    clock.forward(hours=25)
    wallets.set_overdraft_limit(actor=by(maker), customer=acme, asset=shop.usd, limit=Decimal(102))


def test_the_maker_must_still_be_allowed_to(acme: Customer, maker: User, checker: User) -> None:
    asked = ask(acme, maker)
    maker.groups.clear()
    with pytest.raises(PermissionDenied, match="not do this any more"):
        approvals.approve(actor=by(checker), approval=asked)
    assert available(acme) == 500


def test_what_cannot_be_done_goes_on_waiting(acme: Customer, maker: User, checker: User) -> None:
    late = approvals.perform(
        actor=by(maker),
        kind="adjustment",
        customer=acme,
        terms={"asset": "usd", "amount": "-400"},
        reason="Too much",
    )
    assert late is not None
    usd = Asset.objects.get(pk="usd")
    corrections.adjust(actor=audit.SYSTEM, customer=acme, asset=usd, amount=Decimal(-300), reason="x")
    with pytest.raises(BillingError, match="takes 400"):
        approvals.approve(actor=by(checker), approval=late)
    late.refresh_from_db()
    assert late.state == "waiting"
    assert not ManualMovement.objects.filter(approval=late).exists()


# --- Every way --------------------------------------------------------------------------------------------------------


def _event(acme: Customer, shop: Shop) -> UsageEvent:
    shop.record(acme, id="dear", input_tokens=80_000_000)
    return UsageEvent.objects.get(event_id="dear")


def _unpaid(acme: Customer, shop: Shop) -> UsageEvent:
    Customer.objects.filter(pk=acme.pk).update(on_insufficient_funds="overdraft")
    shop.record(acme, id="unpaid", input_tokens=400_000_000)
    return UsageEvent.objects.get(event_id="unpaid", status="unpaid")


WAYS: dict[str, Callable[[Customer, Shop, audit.Actor], object]] = {
    "a grant": lambda acme, shop, actor: grants.create(
        actor=actor, customer=acme, asset=shop.usd, amount=Decimal(101), kind="promotional"
    ),
    "an adjustment upwards": lambda acme, shop, actor: corrections.adjust(
        actor=actor, customer=acme, asset=shop.usd, amount=Decimal(101), reason="x"
    ),
    "an adjustment downwards": lambda acme, shop, actor: corrections.adjust(
        actor=actor, customer=acme, asset=shop.usd, amount=Decimal(-101), reason="x"
    ),
    "an overdraft limit": lambda acme, shop, actor: wallets.set_overdraft_limit(
        actor=actor, customer=acme, asset=shop.usd, limit=Decimal(101)
    ),
    "a reversal": lambda acme, shop, actor: corrections.reverse(actor=actor, event=_event(acme, shop), reason="x"),
    "unpaid usage forgiven": lambda acme, shop, actor: corrections.reverse(
        actor=actor, event=_unpaid(acme, shop), reason="x"
    ),
    "a grant taken back": lambda acme, shop, actor: grants.void(
        actor=actor, grant=Grant.objects.get(customer=acme), reason="x"
    ),
    "a charge refunded": lambda acme, shop, actor: corrections.refund(
        actor=actor, event=_event(acme, shop), asset=shop.usd, amount=Decimal(101), reason="x"
    ),
    "a plan's first version": lambda acme, shop, actor: plans.create(
        actor=actor,
        code="dear",
        name="Dear",
        currency=shop.usd,
        interval="month",
        prices=[shop.price(shop.meter("seconds", "seconds"), "1")],
        base_fee=Decimal(101),
    ),
    "a plan's next version": lambda acme, shop, actor: plans.publish_version(
        actor=actor,
        plan=shop.plan().plan,
        interval="month",
        prices=[shop.price(shop.meter("seconds", "seconds"), "1")],
        minimum_commitment=Decimal(101),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("group", [staff.FINANCE, staff.ADMINISTRATOR])
def test_no_way_leads_past_the_second_person(acme: Customer, shop: Shop, way: str, group: str) -> None:
    before = (available(acme), PlanVersion.objects.count())
    with transaction.atomic(), pytest.raises(ApprovalRequired):
        WAYS[way](acme, shop, by(person("one@ante.test", group)))
    assert (available(acme) in {before[0], before[0] - 200}, PlanVersion.objects.count()) == (True, before[1])
    assert not ManualMovement.objects.exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_program_is_bound_by_its_scopes_instead(acme: Customer, shop: Shop, way: str) -> None:
    WAYS[way](acme, shop, audit.Actor("api_key", label="gateway"))
    assert not ManualMovement.objects.exists()


def test_a_top_up_is_paid_back_by_two(payer: Payer, maker: User, checker: User) -> None:
    top_up = payer.paid("200")
    with pytest.raises(ApprovalRequired):
        refunds.create(actor=by(maker), top_up=top_up)
    terms = {"top_up": str(top_up.pk), "amount": "200"}
    asked = approvals.perform(actor=by(maker), kind="refund", customer=top_up.customer, terms=terms, reason="Left us")
    assert asked is not None
    assert not Refund.objects.exists()

    approvals.approve(actor=by(checker), approval=asked)

    refund = Refund.objects.get()
    assert (refund.amount, refund.reason, refund.status) == (Decimal(200), "Left us", "succeeded")


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("adjustment", {"asset": "usd", "amount": "101"}),
        ("adjustment", {"asset": "usd", "amount": "-101"}),
        ("overdraft_limit", {"asset": "usd", "limit": "101"}),
        ("reversal", {}),
        ("charge_refund", {"asset": "usd", "amount": "150"}),
        ("void", {}),
    ],
    ids=["up", "down", "overdraft", "reversal", "refund", "void"],
)
def test_each_kind_is_done_when_it_is_approved(
    acme: Customer, shop: Shop, maker: User, checker: User, kind: str, terms: dict[str, str]
) -> None:
    if kind in {"reversal", "charge_refund"}:
        terms = {**terms, "event": str(_event(acme, shop).pk)}
    if kind == "void":
        terms = {"grant": str(Grant.objects.get(customer=acme).pk)}
    asked = approvals.perform(actor=by(maker), kind=kind, customer=acme, terms=terms, reason="x")
    assert asked is not None
    approvals.approve(actor=by(checker), approval=asked)
    moved = {asset: Decimal(amount) for asset, amount in asked.amounts.items()}
    assert {row.asset_id: row.amount for row in ManualMovement.objects.filter(approval=asked)} == moved


def test_an_approval_serves_for_nothing_else_and_only_once(
    acme: Customer, shop: Shop, maker: User, checker: User
) -> None:
    asked = ask(acme, maker)
    approvals.approve(actor=by(checker), approval=asked)
    asked.refresh_from_db()
    give = {"actor": by(checker), "customer": acme, "asset": shop.usd, "kind": "promotional", "approval": asked}
    with transaction.atomic(), pytest.raises(InvalidState, match="no longer"):
        grants.create(**{**give, "amount": Decimal("100.02")})  # type: ignore[arg-type]
    with pytest.raises(DatabaseError, match="billing_movement_once"), transaction.atomic():
        grants.create(**{**give, "amount": Decimal("100.01")})  # type: ignore[arg-type]
    for wrong in ({"actor": by(maker)}, {"customer": shop.customer("other")}):
        with pytest.raises(AssertionError), transaction.atomic():
            grants.create(**{**give, "amount": Decimal("100.01"), **wrong})  # type: ignore[arg-type]


def test_a_cancellation_with_refund_is_approved_for_what_is_left_of_it_by_then(
    shop: Shop, maker: User, checker: User, clock: Clock
) -> None:
    acme = shop.customer("dear", plan=None, usd="500")
    version = shop.plan("dear", base_fee=Decimal(300))
    subscription = subscriptions.start(actor=audit.SYSTEM, customer=acme, plan=version.plan)
    terms = {"subscription": str(subscription.pk)}
    asked = approvals.perform(actor=by(maker), kind="cancellation", customer=acme, terms=terms, reason="x")
    assert asked is not None
    clock.forward(hours=1)

    approvals.approve(actor=by(checker), approval=asked)

    subscription.refresh_from_db()
    moved = ManualMovement.objects.get(approval=asked).amount
    assert Decimal(100) < moved < Decimal(asked.amounts["usd"])
    assert subscription.ends_at is not None


# --- The database -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "state = 'approved', decided_by_id = requested_by_id, decided_at = now()",
        "state = 'rejected', decided_by_id = requested_by_id, decided_at = now()",
        "state = 'approved', decided_at = now()",
        "state = 'approved'",
        "state = 'done'",
        "terms = '{}'",
        'amounts = \'{"usd": "1"}\'',
        "requested_by_id = (SELECT id FROM accounts_user WHERE email = 'checker@ante.test')",
        "expires_at = expires_at + interval '1 day'",
    ],
)
def test_the_database_refuses_a_decision_of_the_maker_and_any_edit(
    acme: Customer, maker: User, checker: User, change: str
) -> None:
    ask(acme, maker)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE billing_approval SET {change}")


def test_the_database_refuses_to_undo_a_decision(acme: Customer, maker: User, checker: User) -> None:
    approvals.reject(actor=by(checker), approval=ask(acme, maker), note="No")
    for statement in (
        "UPDATE billing_approval SET state = 'waiting', decided_by_id = NULL, decided_at = NULL",
        "DELETE FROM billing_approval",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


# --- At the same time -------------------------------------------------------------------------------------------------


def _at_once(*steps: Callable[[], object]) -> list[BaseException | None]:
    """Run the steps in threads of their own, all starting together; what each raised."""
    ready = threading.Barrier(len(steps))
    ended: list[BaseException | None] = [None] * len(steps)

    def run(position: int, step: Callable[[], object]) -> None:
        try:
            ready.wait()
            step()
        except BaseException as error:
            ended[position] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


def test_two_who_approve_at_once_do_it_once(committed_db: None, shop: Shop) -> None:
    acme, maker = shop.customer(usd="500"), person("maker@ante.test")
    asked = ask(acme, maker)
    others = [person(f"checker-{n}@ante.test") for n in range(4)]

    ended = _at_once(*(lambda who=who: approvals.approve(actor=by(who), approval=asked) for who in others))

    assert sum(error is None for error in ended) == 1
    assert all(isinstance(error, InvalidState) for error in ended if error is not None)
    assert available(acme) == Decimal("600.01")


def _gifts(shop: Shop) -> Decimal:
    """What one person gave away alone in six movements at once, each of which fits into the day by itself."""
    maker = person("maker@ante.test")
    customers = [shop.customer(f"customer-{n}") for n in range(6)]
    usd = shop.usd

    def give(customer: Customer) -> object:
        return grants.create(actor=by(maker), customer=customer, asset=usd, amount=Decimal(100), kind="promotional")

    _at_once(*(lambda customer=customer: give(customer) for customer in customers))
    return sum((row.amount for row in ManualMovement.objects.all()), Decimal(0))


def test_a_days_sum_holds_at_the_same_time(committed_db: None, shop: Shop) -> None:
    assert _gifts(shop) == 200


def test_without_its_lock_it_would_not(committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Barrier(6)
    compare = four_eyes.reason

    def slowly(*args: Any, **options: Any) -> str | None:
        found = compare(*args, **options)
        waiting.wait(timeout=60)
        return found

    monkeypatch.setattr(four_eyes.locks, "manual_movements", lambda person_id: four_eyes.locks.ledger_time())
    monkeypatch.setattr(four_eyes, "reason", slowly)
    assert _gifts(shop) == 600


# --- Invoices and partners --------------------------------------------------------------------------------------------


@pytest.fixture
def owed(shop: Shop) -> Invoice:
    """An invoice of $200 and $20 of tax, which nothing has paid."""
    shop.tax("US", "0.1")
    customer = shop.customer("owing")
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=audit.SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(500))
    taxes.set_profile(actor=audit.SYSTEM, customer=customer)
    shop.record(customer, input_tokens=200_000_000)
    invoice = invoices.issue(shop.balance(customer), end=timezone.now())
    assert invoice is not None
    return invoice


@pytest.mark.parametrize("kind", ["invoice_payment", "write_off"])
def test_what_is_noted_for_an_invoice_waits_too(owed: Invoice, maker: User, checker: User, kind: str) -> None:
    terms = {"invoice": str(owed.pk), "number": owed.number, "amount": amount_string(owed.payable), "reference": "S1"}
    asked = approvals.perform(actor=by(maker), kind=kind, customer=owed.customer, terms=terms, reason="By bank")
    assert asked is not None
    assert (asked.amounts, owed.payments.count()) == ({"usd": amount_string(owed.payable)}, 0)

    approvals.approve(actor=by(checker), approval=asked)

    payment = owed.payments.get()
    assert payment.amount + payment.tax == owed.payable
    (moved,) = ManualMovement.objects.all()
    assert (moved.kind, moved.amount, moved.approval) == (kind, owed.payable, asked)


def test_an_invoice_is_voided_once_a_second_person_has_approved_it(
    owed: Invoice, maker: User, checker: User, settings: Any
) -> None:
    terms = {"invoice": str(owed.pk), "number": owed.number}
    ask = partial(approvals.perform, actor=by(maker), kind="invoice_void", customer=owed.customer, terms=terms)
    asked, again = ask(reason="A mistake"), ask(reason="The same")
    assert asked is not None
    assert again is not None
    assert (asked.amounts, owed.collection.state) == ({"usd": amount_string(owed.payable)}, "open")

    known, settings.TAX_PROVIDER = settings.TAX_PROVIDER, "tests.billing.services.invoicing.test_taxes.Silent"
    approvals.approve(actor=by(checker), approval=asked)
    owed.collection.refresh_from_db()
    assert (owed.collection.state, Invoice.objects.count()) == ("voiding", 1)
    settings.TAX_PROVIDER = known
    voiding.finish_due()

    (moved,) = ManualMovement.objects.all()
    assert (moved.kind, moved.amount, moved.approval) == ("invoice_void", owed.payable, asked)
    assert Invoice.objects.get(kind="credit_note").voids == owed
    with pytest.raises(InvalidState, match="is void"):
        approvals.approve(actor=by(checker), approval=again)
    again.refresh_from_db()
    assert again.state == "waiting"


def test_a_payment_that_was_noted_meanwhile_makes_another_of_it(owed: Invoice, maker: User, checker: User) -> None:
    terms = {"invoice": str(owed.pk), "number": owed.number}
    asked = approvals.perform(actor=by(maker), kind="write_off", customer=owed.customer, terms=terms, reason="Gone")
    assert asked is not None
    invoice_payments.record(actor=audit.SYSTEM, invoice=owed, amount=Decimal(100), reference="S1")

    approvals.approve(actor=by(checker), approval=asked)

    assert ManualMovement.objects.get().amount == owed.payable - 100


def test_a_payout_to_a_partner_is_what_was_asked_for_or_nothing(shop: Shop, maker: User, checker: User) -> None:
    acme, upto = shop.customer(), date(2026, 1, 31)
    agency = partners.create(
        actor=audit.SYSTEM,
        **{"code": "agency", "name": "Agency", "currency": shop.usd, "base": "revenue"},
        **{"volumes": [Decimal(0)], "rates": [Decimal("0.1")], "starts_on": date(2026, 1, 1)},
    )
    PartnerAccrual.objects.create(partner=agency, customer=acme, date=upto, base=2000, amount=200)
    terms = {"partner": str(agency.pk), "named": "Agency", "upto": "2026-01-31", "amount": "200", "reference": "S1"}
    asked = approvals.perform(actor=by(maker), kind="partner_payout", terms=terms, reason="January")
    assert asked is not None

    approvals.approve(actor=by(checker), approval=asked)

    assert agency.payouts.get().amount == 200
    PartnerAccrual.objects.create(partner=agency, customer=acme, date=date(2026, 2, 1), base=2000, amount=200)
    terms |= {"upto": "2026-02-28", "reference": "S2"}
    asked = approvals.perform(actor=by(maker), kind="partner_payout", terms=terms, reason="February")
    assert asked is not None
    PartnerAccrual.objects.create(partner=agency, customer=acme, date=date(2026, 2, 2), base=10, amount=1)
    with pytest.raises(InvalidState, match="By now 201 usd"):
        approvals.approve(actor=by(checker), approval=asked)


def test_credit_is_made_to_last_longer_by_two_while_it_becomes_no_more(
    acme: Customer, maker: User, checker: User, shop: Shop
) -> None:
    end = timezone.now() + timedelta(days=3)
    gift = shop.fund(acme, "150", kind="promotional", expires_at=end)
    terms = {"extends": str(gift.pk), "expires_at": "", "endless": True}
    asked = approvals.perform(actor=by(maker), kind="grant", customer=acme, terms=terms, reason="Late project")
    assert asked is not None
    assert asked.amounts == {"usd": "150"}
    gift.refresh_from_db()
    assert gift.expires_at == end
    shop.record(acme, id="some of it", input_tokens=1_000_000)

    approvals.approve(actor=by(checker), approval=asked)

    gift.refresh_from_db()
    assert gift.expires_at is None
    assert gift.remaining < 150
    assert ManualMovement.objects.get(approval=asked).amount == 150


def test_usage_goes_on_below_zero_when_two_agree(acme: Customer, maker: User, checker: User) -> None:
    terms = {"on_insufficient_funds": "overdraft"}
    asked = approvals.perform(actor=by(maker), kind="overdraft_limit", customer=acme, terms=terms, reason="Trusted")
    assert asked is not None
    acme.refresh_from_db()
    assert (acme.on_insufficient_funds, asked.amounts) == ("reject", {})

    approvals.approve(actor=by(checker), approval=asked)

    acme.refresh_from_db()
    assert acme.on_insufficient_funds == "overdraft"
    assert (
        approvals.perform(
            actor=by(maker),
            kind="overdraft_limit",
            customer=acme,
            terms={"on_insufficient_funds": "reject"},
            reason="Late",
        )
        is None
    )
    acme.refresh_from_db()
    assert acme.on_insufficient_funds == "reject"


# --- No service forgets -----------------------------------------------------------------------------------------------

_PUBLISHED = "charges and gives back what a published version says, which was decided when it was published"
UNLIMITED = {
    ("starting.py", "choose"): _PUBLISHED,
    ("ending.py", "reactivate"): _PUBLISHED,
    ("rules.py", "put"): "a rule for what the customer pays for",
}
"""What an actor moves without being asked for a second person, and why."""


def test_every_service_that_an_actor_moves_value_with_asks() -> None:
    found = set()
    for file, node in nodes("billing/services"):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        arguments = {argument.arg for argument in node.args.kwonlyargs}
        body = ast.unparse(node)
        moves = "Journal.open" in body and ".write(" in body
        if "actor" in arguments and moves and "approval" not in arguments:
            found.add((file.rpartition("/")[2], node.name))

    assert found == set(UNLIMITED)
