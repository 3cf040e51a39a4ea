"""Pages, letters and notices in the reader's language; the API and the back office in English."""

import re
from collections.abc import Callable

from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from accounts import reading
from accounts.models import OutgoingMail, User
from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.models import Notice, UsageEvent
from billing.services import notices, usage
from billing.services.invoicing import wording
from portal import trail_words
from portal.templatetags import portal_parts
from portal.urls import urlpatterns
from tests.builders import Shop
from tests.portal.test_pages import text

SignedIn = Callable[[User], Client]
GERMAN = {"accept-language": "de-DE,de;q=0.9,en;q=0.5"}
PAGES = [str(pattern.name) for pattern in urlpatterns if pattern.name and "<" not in str(pattern.pattern)]


def test_before_signing_in_the_browser_says_in_which_language(client: Client, db: None) -> None:
    german = client.get("/sign-in", headers=GERMAN)
    assert '<html lang="de"' in text(german)
    assert "Sehen Sie Guthaben, Nutzung und Kontoauszug." in text(german)
    assert german["Content-Language"] == "de"
    assert "Accept-Language" in german["Vary"]
    assert "Sign in" in text(client.get("/sign-in", headers={"accept-language": "fr"}))
    wrong = client.post("/sign-in", {"username": "nobody@acme.test", "password": "wrong"}, headers=GERMAN)
    assert "E-Mail und Passwort passen nicht zusammen." in text(wrong)


def test_the_choice_in_the_profile_counts_from_the_next_page_on(shop: Shop, signed_in: SignedIn) -> None:
    reader = signed_in(shop.member(shop.customer("acme", usd="1234.5")))
    assert "Overview" in text(reader.get("/"))
    chosen = {"name": "", "timezone": "", "language": "de", "number_style": "", "date_style": ""}
    saved = text(reader.post("/profile", chosen, follow=True))
    assert "Gespeichert." in saved
    assert "Zeitzone" in saved
    page = text(reader.get("/wallet"))
    assert "Guthabenkonto" in page
    assert "1.234,50" in page
    reader.post("/profile", chosen | {"language": "en", "number_style": "point_comma"})
    page = text(reader.get("/wallet", headers=GERMAN))
    assert "1.234,50" in page
    assert "Wallet" in page


def test_every_page_is_there_in_german(shop: Shop, signed_in: SignedIn) -> None:
    reader, seen = signed_in(shop.member(shop.customer("acme", usd="10"), language="de")), 0
    for name in PAGES:
        response = reader.get(reverse(f"portal:{name}"))
        page = text(response) if response["Content-Type"].startswith("text/html") else ""
        if response.status_code == 200 and "<html" in page:
            seen += 1
            assert '<html lang="de"' in page, name
            for english in ("Sign out", "Newest first", "No movements yet", "Nothing yet", "Save</button>"):
                assert english not in page, name
    assert seen >= 20


def test_the_api_and_the_back_office_speak_english(shop: Shop, client: Client, signed_in: SignedIn) -> None:
    refused = client.get("/api/v1/customers", headers=GERMAN)
    assert refused.status_code == 401
    assert "Content-Language" not in refused
    assert "API key" in refused.json()["detail"] + refused.json()["title"]
    staff = User.objects.create_superuser("admin@ante.test", "x", language="de")
    office = signed_in(staff).get("/admin/", headers=GERMAN, follow=True)
    assert office["Content-Language"] == "de" if office.redirect_chain else "Content-Language" not in office


def test_letters_and_notices_are_in_the_readers_language(shop: Shop, client: Client, signed_in: SignedIn) -> None:
    acme = shop.customer("acme", usd="10")
    reader = shop.member(acme, language="de")
    client.post("/reset", {"email": reader.email})
    letter = OutgoingMail.objects.get(recipient=reader.email)
    assert letter.subject == "Neues Passwort festlegen"
    assert "Wenn Sie das nicht waren" in letter.text
    facts = {"available": "1234.5", "asset": "usd"}
    common = {"customer": acme, "kind": "wallet.balance_recovered", "created_at": timezone.now()}
    Notice.objects.create(**common, title="Old", text="words", facts=facts)
    Notice.objects.create(**common, title="Forgotten", text="facts", facts={})
    notices.address()
    page = text(signed_in(reader).get("/inbox"))
    assert "Auf dem Guthabenkonto sind wieder $1.234,50." in page
    assert "Forgotten" in page
    notices.send_due()
    assert any("Ihr Guthaben hat sich erholt" in sent.subject for sent in mail.outbox)
    assert any("Portal öffnen" in str(sent.message()) or "Inbox" not in sent.body for sent in mail.outbox)


def test_why_a_charge_was_made_and_why_not_is_said_in_german(shop: Shop, signed_in: SignedIn) -> None:
    acme = shop.customer("acme", usd="1")
    reader = signed_in(shop.member(acme, language="de"))
    charged = shop.record(acme, input_tokens=2000)
    page = text(reader.get(f"/usage/events/{charged.transaction_id}"))
    assert "$2,50 je 1.000.000 Einheiten" in page
    assert "2.000 × $2,50 ÷ 1.000.000" in page
    usage.record([shop.event(acme, id="too-much", input_tokens=9_000_000)])
    refused = UsageEvent.objects.get(event_id="too-much")
    page = text(reader.get(f"/usage/events/{refused.pk}"))
    assert "Dafür braucht es $22,50, und auf dem Guthabenkonto von acme sind dafür" in page


def test_what_is_refused_is_said_in_german(shop: Shop, signed_in: SignedIn) -> None:
    reader = signed_in(shop.member(shop.customer("acme", usd="1"), language="de"))
    asked = text(reader.get("/top-up/quote?amount=0"))
    assert "Betrag muss größer als null sein." in asked


def test_lines_of_papers_are_said_in_german() -> None:
    with reading.reading_as(reading.Reading.of("de")):
        assert wording.line("Unused: Pro, 9 Dec 2026 to 1 Jan 2027") == "Nicht genutzt: Pro, 9 Dez 2026 bis 1 Jan 2027"
        assert wording.line("LLM input, above 1,000 to 2,000") == "LLM input, über 1.000 bis 2.000"
        assert wording.line("Pro, 9 Dec 2026 to 31 Dec 2026") == "Pro, 9 Dez 2026 bis 31 Dez 2026"
        for name in ("LLM input", "Speech to text", "Voice, speech to speech", "Calls, up to speed"):
            assert wording.line(name) == name
    assert wording.line("Pro, minimum of 1 Nov 2026 to 1 Dec 2026") == "Pro, minimum of 1 Nov 2026 to 1 Dec 2026"


def test_the_audit_log_speaks_to_its_reader(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme")
    owner = shop.member(customer, language="de", date_style="day_first")
    api_keys.issue(name="Backend", scopes=["wallets:read"], organization=customer.organization, actor=SYSTEM)
    page = text(signed_in(owner).get("/trail"))
    assert '<strong title="api_key.issued">API-Schlüssel: angelegt</strong>' in page
    assert 'darf <span class="soft">wallets:read</span>' in page
    assert "None" not in page
    assert list(trail_words.facts({"hard": True, "at": ["7", "1"], "scope": {"user": "*"}, "note": None})) == [
        ("hard limit", "yes"),
        ("at", "7, 1"),
        ("covers", "user *"),
    ]
    assert trail_words.action("recurring_grant.paused") == "Recurring grant: paused"
    assert list(trail_words.facts({"interval": "month", "times": 6})) == [("each", "month"), ("times", "6")]


RECORDED = re.compile(r'audit\.record\([^)]*?action="(\w+\.\w+)"', re.DOTALL)
RECORDED_OF = re.compile(r'audit\.record\([^)]*?action=f"(\w+)\.\{', re.DOTALL)
OF_THE_OPERATOR = {
    "account_mapping",
    "approval",
    "asset",
    "export",
    "letter",
    "meter",
    "note",
    "outbox",
    "overhead",
    "pack",
    "payment_event",
    "plan",
    "plan_draft",
    "provider_cost",
    "provider_costs",
    "revenue_day",
}
"""What no organization's line is about."""


def test_what_an_organization_reads_in_its_audit_log_has_words() -> None:
    sources = [
        path.read_text()
        for app in ("accounts", "billing")
        for path in (settings.BASE_DIR / app).rglob("services/**/*.py")
    ]
    codes = {code for source in sources for code in RECORDED.findall(source)}
    assert len(codes) > 30
    theirs = {code for code in codes if code.partition(".")[0] not in OF_THE_OPERATOR}
    assert {code for code in theirs if trail_words.action(code) == code} == set()
    things = {thing for source in sources for thing in RECORDED_OF.findall(source)}
    assert things - OF_THE_OPERATOR - set(trail_words.THINGS) == set()
    assert "recurring_grant" in things


def test_a_top_up_that_left_a_grant_is_called_so_in_the_readers_language() -> None:
    with translation.override("de"):
        assert [portal_parts.grant_name(name) for name in ("Top-up", "Spring gift")] == ["Aufladung", "Spring gift"]
