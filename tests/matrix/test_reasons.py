"""What staff write down for themselves is in nothing that customers can fetch."""

import io
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditDetail, User
from accounts.services import audit, staff
from billing.api import urls as api_urls
from billing.models import OutboxEvent
from billing.services import approvals
from billing.services.customer import notes
from portal import urls as portal_urls
from tests.builders import Shop, browser_of
from tests.payments import Bank, Payer

CANARY = "Canary of a reason"


@pytest.mark.usefixtures("plain_static_files")
def test_no_reason_of_staff_is_read_by_the_customer(shop: Shop, bank: Bank, settings: Any) -> None:
    settings.APPROVAL_ABOVE = {}
    staff.make_groups()
    maker, checker = (User.objects.create_user(f"{name}@ante.test") for name in ("maker", "checker"))
    staff.join(maker, staff.FINANCE)
    staff.join(checker, staff.FINANCE)
    by, second = (audit.Actor.of_user(one, ip_address=None, request_id="") for one in (maker, checker))
    acme = shop.customer("acme", usd="50")
    owner = shop.member(acme)
    later = (timezone.now() + timedelta(days=9)).isoformat()
    given = shop.fund(acme, "9", kind="promotional", expires_at=timezone.now() + timedelta(days=1))
    taken = shop.fund(acme, "30", kind="promotional")
    events = [str(shop.record(acme, id=id_, input_tokens=10**6).transaction_id) for id_ in ("one", "two")]
    top_up = Payer(shop, bank, acme).paid()
    usd = {"asset": "usd", "amount": "1"}
    monthly = {"interval": "month", "kind": "promotional", "name": "", "times": None, "lapses": True}
    for kind, terms in [
        ("grant", usd | {"kind": "promotional"}),
        ("grant", usd | monthly | {"rollover_limit": "0", "starts_at": later}),
        ("grant", {"extends": str(given.pk), "expires_at": later}),
        ("adjustment", usd),
        ("adjustment", usd | {"amount": "-1"}),
        ("refund", {"top_up": str(top_up.pk), "amount": "5"}),
        ("reversal", {"event": events[0]}),
        ("charge_refund", usd | {"event": events[1]}),
        ("overdraft_limit", {"asset": "usd", "limit": "5"}),
        ("void", {"grant": str(taken.pk)}),
        ("cancellation", {"subscription": str(acme.subscriptions.get().pk)}),
    ]:
        asked = approvals.perform(actor=by, kind=kind, customer=acme, reason=CANARY, terms=terms)
        if asked is not None:
            approvals.approve(actor=second, approval=asked, note=CANARY)
    assert AuditDetail.objects.filter(after__reason=CANARY).count() >= 8

    notes.add(actor=by, customer=acme, text=CANARY)
    key = shop.key(organization=acme.organization)
    api, browser = Client(headers={"authorization": f"Bearer {key}"}), browser_of(owner)
    paths = [(api, f"/api/v1/{one.pattern}".replace("<str:external_id>", "acme")) for one in api_urls.urlpatterns]
    paths += [(api, f"/api/v1/events/{id_}") for id_ in ("one", "two")]
    paths += [(browser, f"/{one.pattern}") for one in portal_urls.urlpatterns]
    paths += [(browser, f"/usage/events/{id_}") for id_ in events]
    found = {}
    for client, path in paths:
        if not {"<", "^"} & set(path):
            answer = client.get(path)
            if answer.status_code == 200:
                found[path] = answer.getvalue() if answer.streaming else answer.content
    archive = zipfile.ZipFile(io.BytesIO(found.pop("/privacy/organization-data.zip")))
    found |= {name: archive.read(name) for name in archive.namelist()}
    found |= {f"{row.type} {row.pk}": str(row.payload).encode() for row in OutboxEvent.objects.all()}

    assert {"/api/v1/customers/acme/grants", "/wallet", "/trail", "grants.jsonl", "audit.jsonl"} <= set(found)
    assert [name for name, content in found.items() if CANARY.encode() in content] == []
    assert [name for name in ("/api/v1/customers/acme/grants", "grants.jsonl") if b"maker@" in found[name]] == []
