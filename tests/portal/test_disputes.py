"""A charge disputed on its receipt: by those whose role says so, and how the case stands."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.services.audit import SYSTEM
from billing.models import ChargeDispute, Customer, UsageEvent
from billing.services.wallet import charge_disputes
from tests.builders import Shop, browser_of


@pytest.fixture
def event(shop: Shop, acme: Customer) -> UsageEvent:
    shop.record(acme, id="one", input_tokens=400_000)
    return UsageEvent.objects.get()


def test_from_the_receipt_to_the_answer(shop: Shop, acme: Customer, event: UsageEvent) -> None:
    owner, page = browser_of(shop.member(acme)), reverse("portal:event", args=[event.pk])
    assert "Dispute this charge" in owner.get(page).content.decode()

    answer = owner.post(reverse("portal:dispute-charge", args=[event.pk]), {"reason": "We were <b>asleep</b>"})

    assert answer["Location"] == f"{page}#dispute"
    shown = owner.get(page).content.decode()
    assert "We were &lt;b&gt;asleep&lt;/b&gt;" in shown
    assert "We look into it" in shown
    case = ChargeDispute.objects.get()
    charge_disputes.decline(actor=SYSTEM, dispute=case, answer="It was your key")
    for address in (page, reverse("portal:disputes")):
        assert "It was your key" in owner.get(address).content.decode()


def test_it_can_be_withdrawn_and_disputed_anew(shop: Shop, acme: Customer, event: UsageEvent) -> None:
    owner = browser_of(shop.member(acme))
    for _ in range(2):
        owner.post(reverse("portal:dispute-charge", args=[event.pk]), {"reason": "Why?"})
        owner.post(reverse("portal:dispute-charge", args=[event.pk]), {"reason": "Why, why?"})
        case = ChargeDispute.objects.get(status="open")
        owner.post(reverse("portal:withdraw-dispute", args=[case.pk]))

    assert ChargeDispute.objects.filter(status="withdrawn").count() == 2


def test_who_may_only_look_cannot_dispute(shop: Shop, acme: Customer, event: UsageEvent) -> None:
    viewer: Client = browser_of(shop.member(acme, "viewer@acme.test", role="viewer"))

    assert "Dispute this charge" not in viewer.get(reverse("portal:event", args=[event.pk])).content.decode()
    assert viewer.post(reverse("portal:dispute-charge", args=[event.pk]), {"reason": "Why?"}).status_code == 403
    assert not ChargeDispute.objects.exists()
