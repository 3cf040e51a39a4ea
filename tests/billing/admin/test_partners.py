"""Partners in the back office: added, their statement taken along, payouts noted."""

from django.test import Client
from django.urls import reverse

from billing.models import Customer, Partner, PartnerAccrual
from tests.builders import Shop


def test_a_partner_their_customer_statement_and_payout(office: Client, acme: Customer, shop: Shop) -> None:
    terms = {
        **{"code": "agency", "name": "Agency", "currency": "usd", "base": "revenue", "mode": "volume"},
        **{"volumes": "0,100000", "rates": "0.10,0.15", "starts_on": "2026-11-01"},
    }
    assert office.post(reverse("admin:billing_partner_add"), terms).status_code == 302
    assert office.post(reverse("admin:billing_partner_add"), terms | {"code": "x", "rates": "9"}).status_code == 200
    agency = Partner.objects.get(code="agency")
    brought = {"partner": agency.pk, "customer": acme.pk}
    assert office.post(reverse("admin:billing_partnercustomer_add"), brought).status_code == 302
    PartnerAccrual.objects.create(partner=agency, customer=acme, date="2026-01-31", base=200, amount=20)

    page = office.get(reverse("admin:billing_partner_change", args=[agency.pk])).content.decode()
    file = office.get(reverse("admin:billing_partner_statement", args=[agency.pk])).getvalue().decode()
    paper = office.get(reverse("admin:billing_partner_paper", args=[agency.pk, 2026, 1]))
    assert paper.content.startswith(b"%PDF-")
    assert office.get(reverse("admin:billing_partner_paper", args=[agency.pk, 2026, 13])).status_code == 404
    assert reverse("admin:billing_partner_paper", args=[agency.pk, 2026, 1]) in page
    pay = reverse("admin:billing_partner_pay_out", args=[agency.pk])
    shown = office.get(pay).context["form"]
    form = {"reason": "January", "reference": "SEPA 1", "upto": shown["upto"].value(), "amount": "19"}
    # What has accrued since was not looked at, and is not paid out unseen.
    assert "By now $20.00" in office.post(pay, form).content.decode()
    assert shown["amount"].value() == "20"
    paid = office.post(pay, form | {"amount": "20"})

    assert "10 %, 15 % from 100000" in page
    assert "2026-01-31,acme,200,20,,USD," in file
    assert (paid.status_code, agency.payouts.get().amount) == (302, 20)
