"""Revenue share: accrued day by day from closed days, once, with metered charges, and paid out in whole coins."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM, Actor
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import LedgerEntry, Partner, PartnerAccrual, RevenueDay, UsageEvent
from billing.services import revenue
from billing.services.revenue import partners
from billing.services.wallet import corrections, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.funding.test_refunds import refund
from tests.billing.services.invoicing.test_taxes import account
from tests.builders import Shop
from tests.payments import Bank, Payer, again

D = Decimal


def partner(shop: Shop, *, base: str = "revenue", volumes: Any = (0, 100), rates: Any = ("0.10", "0.15")) -> Partner:
    return partners.create(
        actor=SYSTEM,
        code=f"agency-{base}",
        name="Agency",
        currency=shop.usd,
        base=base,
        volumes=[D(each) for each in volumes],
        rates=[D(each) for each in rates],
        starts_on=date(2026, 11, 1),
    )


@pytest.fixture
def days(committed_db: None, clock: Clock) -> Clock:
    clock.stop(datetime(2026, 11, 2, 9, tzinfo=UTC))
    return clock


def night(clock: Clock) -> None:
    clock.forward(days=1)
    revenue.close_due()
    partners.accrue_due()


def test_a_share_of_metered_charges_is_accrued_once(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="500")
    agency = partner(shop)
    partners.bring(actor=SYSTEM, partner=agency, customer=acme)
    shop.record(acme, input_tokens=20_000_000)  # 50
    night(days)
    assert (partners.accrue_due(), account("partner_payable"), account("partner_expense")) == (0, 5, -5)

    shop.record(acme, input_tokens=20_000_000)  # 100 in all: 15 % of the whole month
    night(days)

    assert account("partner_payable") == 15
    assert [(row.base, row.amount) for row in PartnerAccrual.objects.order_by("date")][-2:] == [(50, 5), (50, 10)]
    assert [(row.base, row.share) for row in partners.statement(agency)] == [(100, 15)]


def test_what_is_given_back_takes_its_share_back(shop: Shop, days: Clock) -> None:
    acme = shop.customer(usd="500")
    partners.bring(actor=SYSTEM, partner=partner(shop), customer=acme)
    shop.record(acme, id="wrong", input_tokens=20_000_000)
    night(days)
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")
    night(days)

    assert (account("partner_payable"), account("partner_expense")) == (0, 0)


@pytest.mark.parametrize("how", ["refunded", "disputed"])
def test_of_payments_what_goes_back_takes_its_share_back(shop: Shop, bank: Bank, days: Clock, how: str) -> None:
    payer = Payer(shop, bank)
    agency = partner(shop, base="payments")
    partners.bring(actor=SYSTEM, partner=agency, customer=payer.customer)
    top_up = payer.paid("100")
    night(days)
    assert account("partner_payable") == 15
    if how == "refunded":
        refund(again(top_up))
    else:
        payer.shop.record(payer.customer, output_tokens=5_000_000)  # 50, of which nothing comes back
        bank.decide(bank.dispute(top_up), "lost")
        bank.deliver()
    night(days)

    assert account("partner_payable") == 0
    assert partners.payable(agency, timezone.localdate()) == 0


@pytest.mark.parametrize("base", ["revenue", "usage"])
@pytest.mark.parametrize("first", ["used", "given"])
def test_what_a_gift_pays_for_is_shared_by_nobody_in_either_order(
    shop: Shop, days: Clock, base: str, first: str
) -> None:
    acme = shop.customer(usd="0")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=D(100))
    partners.bring(actor=SYSTEM, partner=partner(shop, base=base), customer=acme)
    steps = [
        lambda: shop.record(acme, input_tokens=20_000_000),  # 50
        lambda: shop.fund(acme, "30", kind="promotional"),
    ]
    for step in steps if first == "used" else reversed(steps):
        step()
        night(days)

    assert account("partner_payable") == 2  # Of 20 that are owed


def test_a_payout_is_for_the_customers_who_are_not_paid_for_yet(shop: Shop, days: Clock) -> None:
    agency = partner(shop)
    for name in ("acme", "globex"):
        customer = shop.customer(name, usd="500")
        partners.bring(actor=SYSTEM, partner=agency, customer=customer)
        shop.record(customer, input_tokens=4_000_000)  # 10, of which 1
        night(days)
        upto = timezone.localdate() - timedelta(days=1)
        partners.pay_out(actor=SYSTEM, partner=agency, upto=upto, amount=D(1), reference=f"SEPA {name}")

    paid = LedgerEntry.objects.filter(transaction__template="partner.paid").order_by("id")
    assert [(row.customer.external_id, row.amount) for row in paid] == [("acme", 1), ("globex", 1)]


def test_the_base_says_what_counts(shop: Shop, days: Clock) -> None:
    acme, globex = shop.customer(usd="80"), shop.customer("globex", usd="40")
    for base, customer in (("payments", acme), ("usage", globex)):
        partners.bring(actor=SYSTEM, partner=partner(shop, base=base), customer=customer)
        shop.record(customer, input_tokens=4_000_000)  # 10
    night(days)

    assert {row.partner.base: row.amount for row in PartnerAccrual.objects.select_related("partner")} == {
        "payments": 8,
        "usage": 1,
    }


def test_customers_shares_add_up(shop: Shop, days: Clock) -> None:
    agency = partner(shop, volumes=[0], rates=["0.333333333333"])
    for number in range(3):
        customer = shop.customer(f"c{number}", usd="5")
        partners.bring(actor=SYSTEM, partner=agency, customer=customer)
        shop.record(customer, input_tokens=1_000_001)
    night(days)

    assert account("partner_payable") == sum(PartnerAccrual.objects.values_list("amount", flat=True))
    assert account("partner_payable") == D("2.500002499997")  # 7.5000075 × 0.333333333333


def test_a_payout_is_in_coins_and_noted_once(shop: Shop, days: Clock) -> None:
    agency = partner(shop)
    acme = shop.customer(usd="500")
    partners.bring(actor=SYSTEM, partner=agency, customer=acme)
    shop.record(acme, input_tokens=1_333_333)
    night(days)
    upto = timezone.localdate()
    ahead = upto + timedelta(days=1)

    with pytest.raises(InvalidRequest, match="ahead"):
        partners.pay_out(actor=SYSTEM, partner=agency, upto=ahead, amount=D("0.33"), reference="SEPA 1")
    with pytest.raises(InvalidState, match=r"By now 0\.33 usd"):
        partners.pay_out(actor=SYSTEM, partner=agency, upto=upto, amount=D("0.3"), reference="SEPA 1")
    payout = partners.pay_out(actor=SYSTEM, partner=agency, upto=upto, amount=D("0.33"), reference="SEPA 1")

    assert payout.amount == D("0.33")
    assert account("partner_payable") == D("0.00333325")
    with pytest.raises(InvalidState):
        partners.pay_out(actor=SYSTEM, partner=agency, upto=upto, amount=D("0.33"), reference="SEPA 2")


def test_what_makes_no_sense_is_refused(shop: Shop, days: Clock) -> None:
    for volumes, rates in (([1], ["0.1"]), ([0, 5], ["0.1"]), ([0, 0], ["0.1", "0.2"]), ([0], ["1.5"]), ([], [])):
        with pytest.raises(InvalidRequest):
            partner(shop, volumes=volumes, rates=rates)
    first = partner(shop)
    acme = shop.customer()
    partners.bring(actor=SYSTEM, partner=first, customer=acme)
    with pytest.raises(AlreadyExists):
        partners.bring(actor=SYSTEM, partner=partner(shop, base="usage"), customer=acme)


def test_a_customer_counts_from_its_own_day_on(shop: Shop, days: Clock) -> None:
    early, late = shop.customer(usd="500"), shop.customer("globex", usd="500")
    agency = partner(shop)
    for customer in (early, late):
        shop.record(customer, input_tokens=4_000_000)  # 10, before anybody was brought
    night(days)
    partners.bring(actor=SYSTEM, partner=agency, customer=early)
    partners.bring(actor=SYSTEM, partner=agency, customer=late, starts_on=date(2026, 11, 1))
    night(days)

    assert {row.customer.external_id: row.base for row in PartnerAccrual.objects.all()} == {"globex": 10}
    with pytest.raises(InvalidRequest):
        partners.bring(actor=SYSTEM, partner=agency, customer=shop.customer("old"), starts_on=date(2026, 10, 31))


def test_the_last_day_of_a_month_that_was_reopened_is_accrued_again(shop: Shop, days: Clock) -> None:
    days.stop(datetime(2026, 11, 30, 9, tzinfo=UTC))
    acme = shop.customer(usd="500")
    agency = partner(shop)
    partners.bring(actor=SYSTEM, partner=agency, customer=acme)
    shop.record(acme, input_tokens=20_000_000)  # 50
    night(days)
    shop.record(acme, input_tokens=20_000_000, time=datetime(2026, 11, 30, 20, tzinfo=UTC))

    ada, ben = (Actor("user", label=name) for name in ("ada@ante.test", "ben@ante.test"))
    newest = RevenueDay.objects.get(sha256__gt="")
    asked = revenue.reopen(actor=ada, day=newest, reason="A batch was late")
    revenue.approve(actor=ben, day=asked)
    days.forward(minutes=1)
    revenue.close_due()

    assert (partners.accrue_due(), partners.accrue_due()) == (1, 0)
    assert [(row.base, row.share) for row in partners.statement(agency)] == [(100, 15)]
    assert account("partner_payable") == 15


def test_days_of_a_partner_without_customers_are_looked_at_once(shop: Shop, days: Clock) -> None:
    shop.record(shop.customer(usd="500"), input_tokens=4_000_000)
    partner(shop)
    night(days)

    assert partners.accrue_due() == 0
    assert Partner.objects.get().accrued_on == date(2026, 11, 2)
