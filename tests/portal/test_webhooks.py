"""The portal's page of webhooks: named, tested, switched off, sent again, removed; a paused key resumed."""

import re

import pytest

from accounts.models import ApiKey
from accounts.services import api_keys
from billing.models import Customer, WebhookDelivery, WebhookEndpoint
from tests.builders import Shop, browser_of


def test_an_endpoint_from_its_naming_to_its_end(shop: Shop, acme: Customer) -> None:
    client = browser_of(shop.member(acme))
    page = client.post(
        "/webhooks/new", {"url": "https://hooks.test/in", "events": ["*", "usage.recorded"], "format": "standard"}
    )
    assert re.search(r"whsec_[\w+/=]{44}", page.content.decode())
    endpoint = WebhookEndpoint.objects.get(customer=acme)
    address = f"/webhooks/{endpoint.pk}"
    assert "everything, usage.recorded" in client.get("/webhooks").content.decode()

    client.post(f"{address}/act", {"do": "test"})
    WebhookDelivery.objects.update(state="failed", log=[{"at": "", "status": 500, "said": "<b>no</b>", "ms": 12}])
    shown = client.get(address).content.decode()
    assert "webhook.test" in shown
    assert "500 after 12 ms: &lt;b&gt;no&lt;/b&gt;" in shown
    client.post(f"{address}/act", {"do": str(endpoint.deliveries.get().pk)})
    assert endpoint.deliveries.get().state == "pending"

    client.post(f"{address}/act", {"do": "off"})
    assert "It is off: It was switched off." in client.get(address).content.decode()
    client.post(f"{address}/act", {"do": "on"})
    assert "whsec_" in client.post(f"{address}/rotate").content.decode()
    client.post(f"{address}/act", {"do": "remove"})
    assert client.get(address).status_code == 404
    assert "Nobody is told yet" in client.get("/webhooks").content.decode()


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://hooks.test/", "nonsense"])
def test_an_address_that_cannot_be_is_refused_in_words(shop: Shop, acme: Customer, url: str) -> None:
    client = browser_of(shop.member(acme))

    page = client.post("/webhooks/new", {"url": url, "events": ["*"]})

    assert page.status_code == 400
    assert 'role="alert"' in page.content.decode()
    assert not WebhookEndpoint.objects.exists()


def test_what_is_no_delivery_of_it_is_not_found(shop: Shop, acme: Customer) -> None:
    client = browser_of(shop.member(acme))
    client.post("/webhooks/new", {"url": "https://hooks.test/in", "events": ["*"], "format": "standard"})
    endpoint = WebhookEndpoint.objects.get()

    for wanted in ("nonsense", "", str(endpoint.pk)):
        assert client.post(f"/webhooks/{endpoint.pk}/act", {"do": wanted}).status_code == 404


def test_a_paused_key_is_resumed_with_one_click(shop: Shop, acme: Customer) -> None:
    client = browser_of(shop.member(acme))
    key, _ = api_keys.issue(name="Agent", scopes=["events:write"], organization=acme.organization)
    api_keys.pause([key.pk], reason="It spent far too much.")
    page = client.get("/keys").content.decode()
    assert "It spent far too much." in page
    assert "Resume Agent" in page

    client.post(f"/keys/{key.pk}/resume")

    assert ApiKey.objects.get().paused_at is None
    assert "Resume Agent" not in client.get("/keys").content.decode()


def test_a_role_is_offered_what_it_may_read_and_gets_no_more(shop: Shop, acme: Customer) -> None:
    owner = browser_of(shop.member(acme))
    developer = browser_of(shop.member(acme, "dev@acme.test", "developer"))
    new = {"url": "https://hooks.test/in", "format": "standard"}
    form, whole = (client.get("/webhooks").context["form"] for client in (developer, owner))
    offered = {name for name, _ in form.fields["events"].choices}
    assert {name for name, _ in whole.fields["events"].choices} - offered == {
        *("*", "invoice.finalized", "invoice.paid", "invoice.reopened", "invoice.overdue"),
    }
    assert whole.fields["events"].initial == ["*"]
    assert set(form.fields["events"].initial) == offered - {"usage.recorded"}
    for wanted in (["*"], ["invoice.paid"], ["grant.created", "invoice.paid"], ["customer.created"]):
        assert developer.post("/webhooks/new", new | {"events": wanted}).status_code == 400
    assert not WebhookEndpoint.objects.exists()
    assert "whsec_" in developer.post("/webhooks/new", new | {"events": ["grant.created"]}).content.decode()

    owner.post("/webhooks/new", new | {"events": ["*"]})
    endpoint = WebhookEndpoint.objects.latest("pk")
    address, secret = f"/webhooks/{endpoint.pk}", endpoint.secret
    owner.post(f"{address}/act", {"do": "test"})
    told = {"state": "failed", "data": {"payable": "62.13"}}
    endpoint.deliveries.update(**told, type="invoice.paid")
    paid = endpoint.deliveries.get()
    shown = developer.get(address).content.decode()
    assert "It is told of what your role does not see: invoice.finalized, invoice.paid" in shown
    assert "Your role does not see the content." in shown
    assert not {word for word in ("62.13", "Send a test", "New secret", "Send again") if word in shown}
    for below, wanted in (("rotate", ""), ("act", "test"), ("act", str(paid.pk))):
        answer = developer.post(f"{address}/{below}", {"do": wanted}, follow=True)
        assert "This takes scopes that are missing: invoices:read (invoice." in answer.content.decode()
    endpoint.refresh_from_db()
    assert (endpoint.secret, endpoint.deliveries.get().state) == (secret, "failed")
    developer.post(f"{address}/act", {"do": "off"})
    assert "62.13" in owner.get(address).content.decode()
    assert not WebhookEndpoint.objects.get(pk=endpoint.pk).enabled
