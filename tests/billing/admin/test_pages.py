"""Every page opens, shows what it is for, and asks the database a bounded number of questions."""

import re
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from accounts.models import User
from accounts.services.audit import SYSTEM
from billing.admin import attention
from billing.admin.attention import COUNTED_MAX
from billing.models import Authorization, Customer, OutboxEvent, PaymentProfile, SpendAnomaly, UsageEvent
from billing.services import authorizations, subscriptions
from billing.services.wallet import corrections
from tests.billing.services.subscriptions.test_subscriptions import make_plan, start
from tests.builders import Shop
from tests.payments import KEPT_DECLINED, Bank, Payer

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
LIST_QUERIES_MAX = 12
PAGE_QUERIES_MAX = 35


def name(model: Any, page: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


def customer_page(customer: Customer) -> str:
    return reverse("admin:billing_customer_change", args=[customer.pk])


def test_every_model_of_ours_has_a_page():
    labels = {model._meta.label for model in MODELS}
    expected = {
        *("accounts.ApiKey", "accounts.AuditEvent", "accounts.Membership", "accounts.Organization", "accounts.User"),
        "accounts.IdentityProvider",
        *("auth.Group", "billing.Asset", "billing.Balance", "billing.Charge", "billing.Customer", "billing.Grant"),
        *("billing.IdempotencyRecord", "billing.LedgerEntry", "billing.LedgerTransaction", "billing.Meter"),
        *("billing.OutboxEvent", "billing.Plan", "billing.PlanVersion", "billing.Price", "billing.Subscription"),
        *("billing.Authorization", "billing.UsageCounter", "billing.UsageEvent", "billing.Wallet"),
        *("billing.TopUp", "billing.PaymentAttempt", "billing.Refund", "billing.PaymentMethod", "billing.Pack"),
        *("billing.ProviderEvent", "billing.Invoice"),
    }
    assert labels >= expected


def test_every_list_and_every_row_opens(office: Client, acme: Customer):
    for model in MODELS:
        label = model._meta.label
        assert model._default_manager.exists(), f"The fixture makes a row of everything, but no {label}"
        with CaptureQueriesContext(connection) as queries:
            response = office.get(reverse(name(model, "changelist")))
        assert response.status_code == 200, label
        assert response.context["cl"].result_count > 0, label
        assert len(queries) <= LIST_QUERIES_MAX, label
        for row in model._default_manager.all()[:5]:
            with CaptureQueriesContext(connection) as queries:
                response = office.get(reverse(name(model, "change"), args=[row.pk]))
            assert response.status_code == 200, label
            assert len(queries) <= PAGE_QUERIES_MAX, label


def test_a_search_that_finds_nothing_does_not_fail(office: Client, acme: Customer):
    for model in MODELS:
        assert office.get(reverse(name(model, "changelist")), {"q": "no such thing"}).status_code == 200


def test_more_rows_ask_no_more_questions(office: Client, acme: Customer, shop: Shop):
    def questions() -> dict[str, int]:
        asked = {}
        for model in MODELS:
            with CaptureQueriesContext(connection) as queries:
                office.get(reverse(name(model, "changelist")))
            asked[model._meta.label] = len(queries)
        return asked

    questions()
    few = questions()
    other = shop.customer("other", usd="5")
    for n in range(5):
        shop.record(other, model=f"m{n}", input_tokens=100, output_tokens=10)
        shop.customer(f"further-{n}", usd="1")

    def more() -> dict[str, int]:
        many = questions()
        return {label: many[label] - few[label] for label in many if many[label] > few[label] + 1}

    # Once in a while a page writes down when its reader was seen last; not the same page twice in a row.
    assert (more() and more()) == {}


def test_the_overview_shows_the_day(office: Client, acme: Customer):
    with CaptureQueriesContext(connection) as queries:
        response = office.get(reverse("admin:index"))
    page = response.content.decode()
    assert response.status_code == 200
    assert len(queries) <= 23
    assert response.context["events_today"]["total"] == 5
    assert response.context["events_today"]["refused"] == 2
    assert "insufficient funds" in page
    assert "Gift" in page
    charged = [row["figure"] for row in response.context["usage_today"]]
    # 1,001,000 input tokens at $2.50 and 450 output tokens at $10 a million, and a third of a dollar.
    assert charged == ['<span class="ante-figure" title="$2.840333333333">$2.84</span>']


def test_an_event_that_was_reversed_is_none_of_the_day_s(office: Client, shop: Shop):
    """As in the sums of usage, also where it was never paid."""
    rich, poor = shop.customer("rich", usd="10"), shop.customer("poor", on_insufficient_funds="overdraft")
    assert [shop.record(each, input_tokens=400_000).status for each in (rich, poor)] == ["charged", "unpaid"]
    before = office.get(reverse("admin:index")).context["events_today"]
    for event in UsageEvent.objects.all():
        corrections.reverse(actor=SYSTEM, event=event, reason="By mistake")

    now = office.get(reverse("admin:index")).context["events_today"]

    assert [(day["total"], day["unpaid"]) for day in (before, now)] == [(2, 1), (0, 0)]


def test_the_overview_has_the_day_s_money_and_what_waits(
    office: Client, acme: Customer, shop: Shop, everything: Bank
) -> None:
    start(shop.customer("small", plan=None), make_plan(shop, "small", fee="30"))
    payer = Payer(shop, everything, acme)
    payer.open("30", method=payer.keep(KEPT_DECLINED))
    response = office.get(reverse("admin:index"))
    shown = response.context
    assert [(">$25.00<" in row["figure"], row["times"]) for row in shown["payments"]["paid"]] == [(True, 1)]
    assert shown["payments"]["failed"] == 1
    assert ">$30.00<" in shown["recurring"]["figure"]
    assert (shown["approvals"], shown["unusual"]) == ({"all": 1, "yours": 1}, {"spikes": 1, "runaways": 0})
    # A top-up of $25, and grants that somebody noted: $10, and $4 for credits.
    assert [row["name"] for row in shown["paid_in"]["series"]] == ["By the payment provider", "Noted by hand"]
    assert ">$39.00<" in shown["paid_in"]["total"]
    assert ">$39.00<" in shown["paid_in"]["days"][-1]["total"]
    for link in re.findall(r'href="(/admin/[^"]*)"', response.content.decode()):
        assert office.get(link.replace("&amp;", "&"), follow=True).status_code == 200, link


def test_whatever_may_wait_leads_to_a_page_that_opens(office: Client, finance: User, rf: RequestFactory):
    request = rf.get("/")
    request.user = finance

    for each in attention.looked_at(request):
        assert office.get(each.url).status_code == 200, each.title


def test_the_overview_says_what_waits_for_somebody(office: Client, acme: Customer):
    before = {matter.title for matter in office.get(reverse("admin:index")).context["attention"]}
    now = timezone.now()
    SpendAnomaly.objects.create(
        customer=acme,
        asset_id="usd",
        hour=now,
        scope="customer",
        level="runaway",
        spent=500,
        usual=10,
        above=50,
        created_at=now,
    )
    for _ in range(COUNTED_MAX + 1):
        OutboxEvent.objects.create(customer=acme, type="t", payload={}, state="parked", due_at=now, created_at=now)
    shown = office.get(reverse("admin:index")).context["attention"]
    assert {matter.title: matter.number for matter in shown if matter.title not in before} == {
        "Runaway spending in the last day": "1",
        "Messages that could not be passed on": "99+",
    }
    for matter in shown:
        page = office.get(matter.url)
        assert page.status_code == 200
        assert page.context["cl"].queryset.count() > 0


def test_the_overview_has_subscriptions_that_are_not_settled(office: Client, acme: Customer):
    def unsettled() -> list[str]:
        """The list's address, where the overview has one."""
        shown = office.get(reverse("admin:index")).context["attention"]
        return [matter.url for matter in shown if matter.title.startswith("Subscriptions with a period")]

    (address,) = unsettled()
    assert set(acme.subscriptions.all()) <= set(office.get(address).context["cl"].queryset)
    subscriptions.settle_due()
    assert unsettled() == []


def test_the_overview_has_who_is_not_forgotten_by_the_payment_provider(office: Client, acme: Customer):
    def waiting() -> list[str]:
        """The list's address, where the overview has one."""
        shown = office.get(reverse("admin:index")).context["attention"]
        return [matter.url for matter in shown if matter.title.startswith("Erased customers")]

    days = timezone.now() - timedelta(days=2)
    profile = PaymentProfile.objects.create(customer=acme, mode="live", provider_id="cus_1", forget_asked_at=days)

    (address,) = waiting()
    assert list(office.get(address).context["cl"].queryset) == [acme]
    profile.forgotten_at = timezone.now()
    profile.save()
    assert waiting() == []


def test_the_overview_opens_on_an_empty_installation(office: Client):
    assert office.get(reverse("admin:index")).status_code == 200


def test_the_wallet_shows_balances_grants_and_entries_together(office: Client, acme: Customer):
    response = office.get(reverse("admin:billing_wallet_change", args=[acme.wallet.pk]))
    page = response.content.decode()
    assert [card["asset"] for card in response.context["balances"]] == ["usd", "image_credits"]
    # The gift expires, so it burns first; what has not started stands after those that can pay.
    stack = response.context["grants"]
    assert next("Gift" in row["link"] for row in stack["open"]) is True
    assert [str(row["kind"]) for row in stack["waiting"]] == ["Adjustment"]
    assert "Wallet: available" in page
    assert len(response.context["entries"]) > 3


def test_the_wallet_shows_what_is_held_and_for_what(office: Client, acme: Customer):
    url = reverse("admin:billing_wallet_change", args=[acme.wallet.pk])
    (hold,) = office.get(url).context["holds"]
    assert ">$1.00<" in hold["outstanding"]
    assert "Gift" in hold["on"]
    authorization = Authorization.objects.get()
    assert reverse("admin:billing_authorization_change", args=[authorization.pk]) in hold["authorization"]
    authorizations.void(authorization=authorization)
    page = office.get(url)
    assert page.context["holds"] == []
    assert "Nothing is held" in page.content.decode()


def test_an_authorization_shows_the_grants_that_it_holds(office: Client, acme: Customer, shop: Shop):
    authorization = authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(12)).authorization
    url = reverse("admin:billing_authorization_change", args=[authorization.pk])
    gift, purchase = office.get(url).context["holds"]
    assert "Gift" in gift["on"]
    assert "Purchase" in purchase["on"]
    authorizations.capture_amount(authorization=authorization, amount=Decimal(2))
    page = office.get(url)
    assert all(">$0.00<" in row["outstanding"] for row in page.context["holds"])
    assert "Captured" in page.content.decode()


@pytest.mark.parametrize("term", ["acme", "Acme Robotics", "pk"])
def test_authorizations_are_searched_by_customer_and_id(office: Client, acme: Customer, shop: Shop, term: str):
    other = shop.customer("other", usd="5")
    authorizations.open_amount(customer=other, asset=shop.usd, amount=Decimal(1))
    wanted = Authorization.objects.filter(customer=acme)
    if term == "pk":
        wanted = wanted[:1]
        term = str(wanted[0].pk)
    response = office.get(reverse("admin:billing_authorization_changelist"), {"q": term})
    assert set(response.context["cl"].result_list) == set(wanted)


def test_the_customer_shows_what_was_refused_and_why(office: Client, acme: Customer):
    response = office.get(customer_page(acme))
    assert [row["code"] for row in response.context["refused"]] == ["unpriced usage", "insufficient funds"]
    assert [row["running"] for row in response.context["plans"]] == [True, True]
    (limit,) = response.context["limits"]
    assert (">$1,000<" in limit["limit"].replace(".00", ""), limit["hard"], limit["used_up"]) == (True, True, False)


def test_the_event_is_a_full_receipt(office: Client, acme: Customer):
    event = UsageEvent.objects.get(event_id="charged")
    response = office.get(reverse("admin:billing_usageevent_change", args=[event.pk]))
    page = response.content.decode()
    assert [row["arithmetic"] for row in response.context["charges"]] == [
        "1,000 × $2.50 ÷ 1,000,000 = $0.0025",
        "450 × $10.00 ÷ 1,000,000 = $0.0045",
    ]
    assert "&quot;input_tokens&quot;: 1000" in page
    assert next(row["grant"] for row in response.context["draws"]).endswith(">Gift</a>")
    assert len(response.context["entries"]) == 2


def test_a_refused_event_says_why(office: Client, acme: Customer):
    event = UsageEvent.objects.get(event_id="refused")
    page = office.get(reverse("admin:billing_usageevent_change", args=[event.pk])).content.decode()
    assert "insufficient_funds" in page
    assert "Nothing was charged" in page


def test_a_count_that_the_provider_s_differs_from_is_seen(office: Client, acme: Customer, shop: Shop):
    tokens = {"input_tokens": 100, "output_tokens": 15, "counted_output_tokens": 12}
    shop.record(acme, id="counted", model="m", **tokens)
    event = UsageEvent.objects.get(event_id="counted")
    page = office.get(reverse("admin:billing_usageevent_change", args=[event.pk])).content.decode()
    assert "Counted otherwise by the sender</dt><dd>12 output tokens" in page


def test_a_budget_is_found_by_the_id_that_refusals_name(office: Client, acme: Customer, shop: Shop):
    budget = shop.budget(acme, "0", name="Nothing more")
    shop.record(acme, id="too-much", input_tokens=1000)
    event = UsageEvent.objects.get(event_id="too-much")
    found = office.get(reverse("admin:billing_budget_changelist"), {"q": event.refusal["budget"]})
    assert list(found.context["cl"].result_list) == [budget]
    page = office.get(reverse("admin:billing_usageevent_change", args=[event.pk])).content.decode()
    assert reverse("admin:billing_budget_change", args=[budget.pk]) in page


@pytest.mark.parametrize("model", ["ledgerentry", "ledgertransaction", "usageevent", "charge"])
def test_the_books_are_searched_by_event_and_customer(office: Client, acme: Customer, shop: Shop, model: str):
    other = shop.customer("other", usd="5")
    shop.record(other, id="elsewhere", model="m", input_tokens=100, output_tokens=10)
    for term in ("charged", "acme", "Acme Robotics", str(acme.pk)):
        response = office.get(reverse(f"admin:billing_{model}_changelist"), {"q": term})
        found = list(response.context["cl"].result_list)
        assert {row.customer_id for row in found} == {acme.pk}, term


def test_a_period_narrows_the_books_down(office: Client, acme: Customer):
    url = reverse("admin:billing_ledgerentry_changelist")
    everything = office.get(url).context["cl"].result_count
    now = timezone.localtime()
    for period in ("today", "7d", f"{now:%Y-%m}", f"{now:%Y-%m-%d}"):
        assert office.get(url, {"when": period}).context["cl"].result_count == everything
    for period in ("yesterday", "2020-01", "2020-01-31"):
        assert office.get(url, {"when": period}).context["cl"].result_count == 0
    for nonsense in ("2020-13", "2020-02-30", "soon"):
        assert office.get(url, {"when": nonsense}).status_code == 200


def test_who_is_not_signed_in_goes_to_the_one_sign_in_page():
    response = Client().get(reverse("admin:index"), follow=False)
    assert response.status_code == 302
    assert response.url.startswith(reverse("admin:login"))
    step = Client().get(response.url)
    assert step.status_code == 302
    assert step.url == f"{reverse('portal:sign-in')}?next={reverse('admin:index')}"


def test_a_customers_person_may_not_enter(acme: Customer, shop: Shop):
    client = Client()
    client.force_login(acme.organization.members.get())
    assert client.get(reverse("admin:index")).status_code == 302
    assert client.get(customer_page(acme)).status_code == 302


def test_what_is_no_id_is_the_address_of_no_row(office: Client) -> None:
    """On every page and for every action of the back office that is about one row."""
    office.raise_request_exception = False
    tried = 0
    for model in MODELS:
        for pattern in admin.site._registry[model].get_urls():
            if model._meta.app_label not in {"accounts", "billing"} or pattern.name is None:
                continue
            with suppress(NoReverseMatch):
                tried += 1
                address = reverse(f"admin:{pattern.name}", args=["nonsense"])
                assert office.get(address).status_code < 500, address
    assert tried > 50
