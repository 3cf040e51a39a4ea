"""Webhooks in the back office: an endpoint named, tested, switched; a delivery sent again."""

from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing.models import Customer, WebhookDelivery, WebhookEndpoint
from tests.builders import browser_of


def test_an_endpoint_of_the_operators_is_named_and_its_secret_shown_once(office: Client, acme: Customer) -> None:
    add = reverse("admin:billing_webhookendpoint_add")
    refused = office.post(add, {"url": "https://10.0.0.1/", "events": ["*"], "format": "standard"})
    assert "It is not a public address." in refused.content.decode()

    shown = office.post(add, {"url": "https://hooks.test/all", "events": ["*"], "format": "standard"}).content.decode()

    made = WebhookEndpoint.objects.get(customer=None)
    assert made.secret in shown
    page = reverse("admin:billing_webhookendpoint_change", args=[made.pk])
    assert made.secret not in office.get(page).content.decode()


def test_it_is_tested_and_switched_by_a_post_alone(office: Client, acme: Customer) -> None:
    endpoint = WebhookEndpoint.objects.get()
    endpoint.deliveries.update(state="delivered")
    before = endpoint.deliveries.count()
    addresses = [
        reverse(f"admin:billing_webhookendpoint_{action}", args=[endpoint.pk])
        for action in ("test_endpoint", "switch_endpoint")
    ]

    assert {office.get(address).status_code for address in addresses} == {200}
    endpoint.refresh_from_db()
    assert (endpoint.deliveries.count(), endpoint.enabled) == (before, True)

    for address in addresses:
        office.post(address)
    endpoint.refresh_from_db()
    assert (endpoint.deliveries.count(), endpoint.enabled) == (before + 1, False)


def test_a_delivery_is_sent_again(office: Client, acme: Customer) -> None:
    delivery = WebhookDelivery.objects.get()
    WebhookDelivery.objects.update(state="failed")
    office.post(reverse("admin:billing_webhookdelivery_replay_delivery", args=[delivery.pk]))
    delivery.refresh_from_db()
    assert delivery.state == "pending"


def test_who_may_only_look_does_nothing(acme: Customer) -> None:
    looker = User.objects.create_user("looker@ante.test", is_staff=True)
    looker.user_permissions.add(*Permission.objects.filter(codename__startswith="view_webhook"))
    endpoint = WebhookEndpoint.objects.get()
    browser = browser_of(looker)
    address = reverse("admin:billing_webhookendpoint_switch_endpoint", args=[endpoint.pk])

    assert browser.post(address).status_code == 403
    endpoint.refresh_from_db()
    assert endpoint.enabled
