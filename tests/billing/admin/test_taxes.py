"""Taxes and customers' tax details in the back office: added and ended by services."""

from datetime import date

from django.test import Client
from django.urls import reverse

from billing.models import Customer, TaxProfile, TaxRule
from tests.builders import Shop


def test_a_tax_is_added_and_ended(office: Client, shop: Shop) -> None:
    terms = {"country": "DE", "name": "VAT", "rate": "0.19", "starts_on": "2026-01-01"}
    assert office.post(reverse("admin:billing_taxrule_add"), terms).status_code == 302
    assert office.post(reverse("admin:billing_taxrule_add"), terms | {"rate": "7"}).status_code == 200
    rule = TaxRule.objects.get(country="DE")

    response = office.post(reverse("admin:billing_taxrule_end_rule", args=[rule.pk]), {"reason": "Moved away"})

    rule.refresh_from_db()
    assert (response.status_code, rule.ends_on is not None and rule.ends_on >= date(2026, 1, 1)) == (302, True)


def test_details_are_set_in_place_of_the_former(office: Client, acme: Customer) -> None:
    for number in ("US11111111", "US22222222"):
        details = {"customer": acme.pk, "tax_id": number, "address": "1 Main Street\nSpringfield"}
        assert office.post(reverse("admin:billing_taxprofile_add"), details).status_code == 302
    profile = TaxProfile.objects.get(customer=acme)

    assert (profile.tax_id, profile.address) == ("US22222222", ["1 Main Street", "Springfield"])
