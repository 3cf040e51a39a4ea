"""Every kind of corruption is found, and right books give no false alarm.

The tables' guards are switched off for it, as somebody with the owner's password could.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.models import Balance, Customer, UsageEvent
from billing.selectors.ledger import books
from billing.services import authorizations, subscriptions, usage
from billing.services.funding import refunds
from billing.services.wallet import corrections, wallets
from tests.billing.conftest import owning
from tests.billing.selectors.ledger import test_invoice_books
from tests.billing.selectors.revenue import test_revenue_books
from tests.billing.selectors.tampering import found, tamper, unguard
from tests.builders import Shop
from tests.payments import Bank, Payer, standing_in
from tests.standing import kept_settings, undone

GUARDED = (
    *("billing_ledgerentry", "billing_ledgertransaction", "billing_usageevent", "billing_charge"),
    *("billing_topup", "billing_paymentattempt", "billing_refund", "billing_dispute"),
    "billing_correction",
)


@pytest.fixture(scope="module")
def told(django_db_setup: None, django_db_blocker: Any) -> Iterator[Shop]:
    """The story once, for all of them."""
    with owning(django_db_blocker) as shop, kept_settings() as settings, standing_in(settings) as bank:
        tell(shop, bank)
        yield shop


@pytest.fixture
def story(told: Shop) -> Iterator[Shop]:
    """A bit of everything, as it was told."""
    with undone():
        yield told


def tell(shop: Shop, bank: Bank) -> None:
    """Grants of several kinds, an overdraft and its settlement, uneven prices, refusals; the guards are off."""
    shop.plan(
        "pro",
        [shop.price(shop.meter("tokens", "tokens"), "1"), shop.price(shop.meter("thirds", "thirds"), "1", per="3")],
    )
    acme, globex = shop.customer(usd="10"), shop.customer("globex", usd="5")
    shop.fund(acme, "3", kind="promotional", expires_at=timezone.now() + timedelta(days=1))
    shop.fund(acme, "3", effective_at=timezone.now() + timedelta(days=1))
    wallets.set_overdraft_limit(actor=SYSTEM, customer=globex, asset=shop.usd, limit=Decimal(5))
    usage.record(
        [
            shop.event(acme, tokens=4),
            shop.event(globex, tokens=7, thirds=1),
            shop.event(acme, thirds=1),
            shop.event(acme, thirds=1),
            shop.event(acme, tokens=100),
            shop.event(acme, tokens=0),
        ]
    )
    shop.fund(globex, "2")
    authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(1))
    flat = shop.plan("flat", [shop.price(shop.meter("calls", "calls"), "1")], base_fee=Decimal("0.5"))
    for days in (40, 0):
        customer = shop.customer(f"flat-{days}", plan=None, usd="1")
        starts_at = timezone.now() - timedelta(days=days)
        subscriptions.start(actor=SYSTEM, customer=customer, plan=flat.plan, starts_at=starts_at)
    payer = Payer(shop, bank, shop.customer("payer", plan=None))
    refunds.start(refunds.create(actor=SYSTEM, top_up=payer.paid(), amount=Decimal(5)).pk)
    dispute_id = bank.dispute(payer.paid())
    bank.decide(dispute_id, "lost")
    bank.deliver()
    payer.open()
    one, other = shop.record(acme, id="reversed", thirds=2), shop.record(acme, id="refunded", tokens=2)
    assert (one.status, other.status) == ("charged", "charged")
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="reversed"), reason="x")
    corrections.refund(
        actor=SYSTEM, event=UsageEvent.objects.get(event_id="refunded"), asset=shop.usd, amount=Decimal(1), reason="x"
    )
    corrections.adjust(actor=SYSTEM, customer=acme, asset=shop.usd, amount=Decimal(-1), reason="x")
    unguard(GUARDED)


ONE_ENTRY = "(SELECT id FROM billing_ledgerentry WHERE kind = 'usage' ORDER BY balance_id, seq LIMIT 1)"
ONE_BALANCE = "(SELECT id FROM billing_balance ORDER BY id LIMIT 1)"
ONE_GRANT = "(SELECT id FROM billing_grant WHERE drawn > 1 AND remaining > 1 ORDER BY id LIMIT 1)"

ONE_REVERSAL = "(SELECT id FROM billing_ledgerentry WHERE kind = 'reversal' ORDER BY seq LIMIT 1)"
OTHER_EVENT = "(SELECT id FROM billing_usageevent WHERE status = 'charged' ORDER BY id LIMIT 1)"

TAMPERINGS = {
    "a fee that nobody paid": (
        "UPDATE billing_fee SET state = 'due', closed_at = NULL",
        {"fees"},
    ),
    "a fee of another amount": (
        "UPDATE billing_fee SET amount = amount / 2",
        {"fees"},
    ),
    "a fee that is gone": (
        "DELETE FROM billing_fee",
        {"fees"},
    ),
    "a period that was left out": (
        """UPDATE billing_subscriptionperiod SET "start" = "start" + interval '1 second' WHERE number = 2""",
        {"periods"},
    ),
    "a renewal put off": (
        "UPDATE billing_subscription SET renews_at = renews_at + interval '1 second'",
        {"periods"},
    ),
    "a period called settled": (
        "UPDATE billing_subscriptionperiod SET state = 'settled', settled_at = now()",
        {"periods"},
    ),
    "a balance that is higher than its entries": (
        f"UPDATE billing_balance SET available = available + 0.000000000001 WHERE id = {ONE_BALANCE}",
        {"balance-entries", "balance-grants"},
    ),
    "money held by nobody": (
        f"UPDATE billing_balance SET held = held + 1 WHERE id = {ONE_BALANCE}",
        {"balance-entries", "balance-grants", "holds"},
    ),
    "a hold that is gone": (
        "UPDATE billing_hold SET outstanding = 0",
        {"holds"},
    ),
    "a closed authorization that still holds": (
        "UPDATE billing_authorization SET status = 'voided', closed_at = now()",
        {"holds"},
    ),
    "units held by nobody": (
        f"UPDATE billing_grant SET remaining = remaining - 1, held = held + 1 WHERE id = {ONE_GRANT}",
        {"balance-grants", "grant-units"},
    ),
    "a forgiven debt": (
        "UPDATE billing_balance SET owed = 0, available = available + owed WHERE owed > 0",
        {"balance-entries"},
    ),
    "an entry of another amount": (
        f"UPDATE billing_ledgerentry SET amount = amount / 2 WHERE id = {ONE_ENTRY}",
        {"balance-entries", "running-balance", "grant-units", "charge-entries"},
    ),
    "an entry that says another balance": (
        f"UPDATE billing_ledgerentry SET available_after = available_after + 1 WHERE id = {ONE_ENTRY}",
        {"running-balance"},
    ),
    "an entry that says something is held": (
        f"UPDATE billing_ledgerentry SET held_after = held_after + 1 WHERE id = {ONE_ENTRY}",
        {"running-balance"},
    ),
    "an entry turned round": (
        f"UPDATE billing_ledgerentry SET debit = credit, credit = debit WHERE id = {ONE_ENTRY}",
        {"balance-entries", "running-balance"},
    ),
    "an entry that is gone": (
        f"DELETE FROM billing_ledgerentry WHERE id = {ONE_ENTRY}",
        {"balance-entries", "sequence", "running-balance", "grant-units", "charge-entries"},
    ),
    "the first entry, gone": (
        "DELETE FROM billing_ledgerentry WHERE seq = 1",
        {"balance-entries", "sequence", "running-balance", "grant-units"},
    ),
    "a gap in the sequence": (
        "UPDATE billing_ledgerentry SET seq = seq + 1 WHERE (balance_id, seq) IN"
        " (SELECT balance_id, max(seq) FROM billing_ledgerentry GROUP BY balance_id)",
        {"sequence"},
    ),
    "a balance that counts one entry too many": (
        f"UPDATE billing_balance SET seq = seq + 1 WHERE id = {ONE_BALANCE}",
        {"sequence", "last-entry"},
    ),
    "units spent that were not": (
        f"UPDATE billing_grant SET remaining = remaining - 1, drawn = drawn + 1 WHERE id = {ONE_GRANT}",
        {"balance-grants", "grant-units"},
    ),
    "units given back": (
        f"UPDATE billing_grant SET remaining = remaining + 1, drawn = drawn - 1 WHERE id = {ONE_GRANT}",
        {"balance-grants", "grant-units"},
    ),
    "units expired instead of spent": (
        f"UPDATE billing_grant SET drawn = drawn - 1, expired = expired + 1 WHERE id = {ONE_GRANT}",
        {"grant-units"},
    ),
    "units voided instead of spent": (
        "UPDATE billing_grant SET drawn = drawn - 1, voided = remaining + 1, remaining = 0, voided_at = now()"
        f" WHERE id = {ONE_GRANT}",
        {"balance-grants", "grant-units"},
    ),
    "a grant that is larger than what came in": (
        f"UPDATE billing_grant SET amount = amount + 1, remaining = remaining + 1 WHERE id = {ONE_GRANT}",
        {"balance-grants", "grant-units"},
    ),
    "a scheduled grant called posted": (
        "UPDATE billing_grant SET posted = true WHERE NOT posted",
        {"balance-grants", "grant-units"},
    ),
    "a charge of another amount": (
        "UPDATE billing_charge SET amount = amount - 0.000000000001 WHERE amount > 1",
        {"charge-entries"},
    ),
    "an event's charges, gone": (
        "DELETE FROM billing_charge WHERE amount > 1",
        {"references", "charged-events"},
    ),
    "a charged event called rejected": (
        "UPDATE billing_usageevent SET status = 'rejected' WHERE status = 'charged'",
        {"charged-events"},
    ),
    "a rejected event called charged": (
        "UPDATE billing_usageevent SET status = 'charged' WHERE status = 'rejected'",
        {"charged-events"},
    ),
    "an unpaid event that nobody will collect": (
        "UPDATE billing_usageevent SET status = 'unpaid' WHERE status = 'rejected'",
        {"charged-events"},
    ),
    "an event that is gone": (
        "DELETE FROM billing_usageevent WHERE status = 'charged'",
        {"charged-events"},
    ),
    "a transaction that is gone": (
        "DELETE FROM billing_ledgertransaction WHERE template = 'usage.charged'",
        {"references"},
    ),
    "an entry in another customer's name": (
        "UPDATE billing_ledgerentry SET customer_id = (SELECT id FROM billing_customer WHERE external_id = 'globex')"
        f" WHERE id = {ONE_ENTRY}",
        {"references"},
    ),
    "an entry in another asset": (
        f"UPDATE billing_ledgerentry SET asset_id = 'eur' WHERE id = {ONE_ENTRY}",
        {"references"},
    ),
    "an entry of a grant that is not the balance's": (
        f"UPDATE billing_ledgerentry SET grant_id = gen_random_uuid() WHERE id = {ONE_ENTRY}",
        {"references", "grant-units"},
    ),
    "more given back than was taken": (
        f"UPDATE billing_ledgerentry SET amount = amount * 9 WHERE id = {ONE_REVERSAL}",
        {"balance-entries", "running-balance", "grant-units", "charge-entries", "given-back"},
    ),
    "given back to a grant that did not pay": (
        "UPDATE billing_ledgerentry SET grant_id = (SELECT id FROM billing_grant WHERE NOT posted)"
        f" WHERE id = {ONE_REVERSAL}",
        {"grant-units", "given-back"},
    ),
    "a reversing charge that gives back more": (
        "UPDATE billing_charge SET amount = amount - 1 WHERE reverses_id IS NOT NULL",
        {"charge-entries", "corrected-charges"},
    ),
    "a reversing charge that leaves some of the quantity": (
        "UPDATE billing_charge SET quantity = quantity + 1 WHERE reverses_id IS NOT NULL",
        {"correcting-charges", "corrected-charges"},
    ),
    "a reversing charge that is gone": (
        "DELETE FROM billing_charge WHERE reverses_id IS NOT NULL",
        {"references", "corrected-charges"},
    ),
    "a reversing charge that became a refund": (
        "UPDATE billing_charge SET refunds_id = reverses_id, reverses_id = NULL, quantity = 0"
        " WHERE reverses_id IS NOT NULL",
        {"corrections", "corrected-charges"},
    ),
    "a charge that points at another event's": (
        "UPDATE billing_charge c SET refunds_id = (SELECT id FROM billing_charge o WHERE o.event_id <> c.event_id"
        " AND o.amount > 1 ORDER BY id LIMIT 1) WHERE refunds_id IS NOT NULL",
        {"correcting-charges"},
    ),
    "a reversal without its decision": (
        "DELETE FROM billing_correction WHERE kind = 'reversal'",
        {"correcting-charges", "corrected-charges", "reversing-transactions"},
    ),
    "a decision to reverse that nothing followed": (
        "INSERT INTO billing_correction (id, customer_id, event_id, kind, reason, actor, created_at)"
        f" SELECT gen_random_uuid(), customer_id, id, 'reversal', '', '', now() FROM billing_usageevent"
        f" WHERE id = {OTHER_EVENT}",
        {"corrected-charges"},
    ),
    "a decision about an event that is not there": (
        "UPDATE billing_correction SET event_id = gen_random_uuid() WHERE kind = 'reversal'",
        {"corrections", "correcting-charges", "reversing-transactions"},
    ),
    "a refund of another amount": (
        "UPDATE billing_correction SET amount = amount * 2 WHERE kind = 'refund'",
        {"corrections"},
    ),
    "a reversal that points at another transaction": (
        f"UPDATE billing_ledgertransaction SET reverses_id = {OTHER_EVENT} WHERE template = 'usage.reversed'",
        {"reversing-transactions"},
    ),
    "a transaction that claims to reverse": (
        f"UPDATE billing_ledgertransaction SET reverses_id = {OTHER_EVENT} WHERE template = 'adjustment.debited'",
        {"reversing-transactions"},
    ),
    "an adjustment that took from a grant unseen": (
        "UPDATE billing_ledgerentry SET grant_id = NULL WHERE kind = 'adjustment'",
        {"grant-units"},
    ),
    "an entry for another customer's charge": (
        "UPDATE billing_ledgerentry SET charge_id = (SELECT c.id FROM billing_charge c JOIN billing_customer k"
        f" ON k.id = c.customer_id WHERE k.external_id = 'globex' LIMIT 1) WHERE id = {ONE_ENTRY}",
        {"references", "charge-entries"},
    ),
    "a top-up called paid that nobody paid": (
        "UPDATE billing_topup SET status = 'succeeded', settled_at = now() WHERE status = 'requires_action'",
        {"top-ups", "paid-attempts"},
    ),
    "a top-up of another amount": (
        "UPDATE billing_topup SET amount = amount + 1, credit = credit + 1 WHERE status = 'succeeded'",
        {"top-ups", "paid-attempts"},
    ),
    "a refund that is forgotten": (
        "UPDATE billing_refund SET status = 'failed', finished_at = now()",
        {"refunds"},
    ),
    "a payment of which the provider kept more": (
        "UPDATE billing_paymentattempt SET fee = fee + 1",
        {"provider-fees"},
    ),
    "a dispute that took less than it says": (
        "UPDATE billing_dispute SET recovered = recovered + 1",
        {"disputes"},
    ),
}


@pytest.mark.parametrize("case", TAMPERINGS)
def test_tampering_is_found(story: Shop, case: str) -> None:
    statement, expected = TAMPERINGS[case]

    assert tamper(statement) >= expected


def test_a_balance_below_its_floor_is_found(story: Shop) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_balance DROP CONSTRAINT billing_balance_floor")

    assert "floor" in tamper("UPDATE billing_balance SET overdraft_limit = 0 WHERE available < 0")


def test_every_invariant_has_a_tampering_that_breaks_it() -> None:
    broken = {invariant for _, expected in TAMPERINGS.values() for invariant in expected}

    of_days, of_invoices = (
        {invariant for _, expected in table.values() for invariant in expected}
        for table in (test_revenue_books.TAMPERINGS, test_invoice_books.TAMPERINGS)
    )
    assert broken | {"floor"} | of_days | of_invoices == set(books.INVARIANTS)


def test_right_books_have_no_difference(story: Shop) -> None:
    assert found() == set()
    assert Balance.objects.filter(available__lt=0).exists()


def test_a_difference_says_what_should_be_and_what_is(story: Shop) -> None:
    acme = Balance.objects.get(customer__external_id="acme")
    Balance.objects.filter(pk=acme.pk).update(seq=acme.seq + 1)

    (difference,) = books.differences("sequence")

    row = difference.row
    assert (row["balance"], row["seq"], row["entries"], row["last"]) == (acme.pk, acme.seq + 1, acme.seq, acme.seq)
    assert str(difference).startswith(
        "sequence: The entries of a balance are numbered from 1 to its seq, without a gap. "
        f"Not so for balance {acme.pk}, seq {acme.seq + 1}, entries {acme.seq}"
    )


def test_one_invariant_can_be_asked_alone(story: Shop) -> None:
    Balance.objects.update(seq=99, lifetime_spent=1)

    assert {d.invariant for d in books.differences(only="sequence")} == {"sequence"}
    assert list(books.differences(only="charge-entries")) == []
    assert Customer.objects.count() == 5
