"""The plan editor: a draft is made, changed, looked at and published; what is wrong stands beside its field."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from accounts.services import staff
from accounts.services.audit import SYSTEM
from billing.admin.plan_editor.editor import Editor, as_sent
from billing.models import Approval, Plan, PlanDraft, PlanVersion
from billing.selectors.catalog import plan_terms
from billing.services.catalog import drafts
from tests.billing.services.subscriptions.test_subscriptions import start
from tests.builders import Shop, browser_of

TIERS = [
    {"up_to": "1000000", "unit_amount": "3"},
    {"up_to": "10000000", "unit_amount": "2.5"},
    {"up_to": None, "unit_amount": "2"},
]
GRADUATED = {"meter": "llm_input", "asset": "usd", "model": "graduated", "per": "1000000", "tiers": TIERS}
EVERY_MODEL: list[dict[str, Any]] = [
    {"model": "per_unit", "unit_amount": "2.5", "per": "1000000", "free_units": "10", "maximum_amount": "100"},
    {"model": "package", "unit_amount": "15", "per": "10", "rounding": "down"},
    {"model": "graduated", "tiers": TIERS, "per": "1000000", "minimum_amount": "5"},
    {"model": "volume", "tiers": [*TIERS[:2], TIERS[2] | {"flat_amount": "7"}]},
    {"model": "flat", "unit_amount": "0.1"},
    {"model": "percentage", "rate": "0.029", "fixed_amount": "0.3", "minimum": "0.5", "maximum": "9"},
    {"model": "graduated_percentage", "tiers": [{"up_to": "100000", "rate": "0.1"}, {"up_to": None, "rate": "0.15"}]},
    {"model": "cost_plus", "markup": "0.4", "cost_field": "cost"},
    {"model": "event", "amount_field": "amount"},
]


def page(draft: PlanDraft, name: str = "change") -> str:
    return reverse(f"admin:billing_plandraft_{name}", args=[draft.pk])


@pytest.fixture
def plan(shop: Shop) -> Plan:
    return shop.plan().plan


def make(plan: Plan, *prices: dict[str, Any], **terms: Any) -> PlanDraft:
    return drafts.create(actor=SYSTEM, plan=plan, terms={"prices": list(prices)} | terms)


def sent(draft: PlanDraft, **changes: Any) -> dict[str, Any]:
    """What the browser sends for the draft's page, with some fields typed anew."""
    return as_sent(Editor(draft)) | {"seen": draft.changed_at.isoformat()} | changes


def test_a_new_plan_begins_with_a_draft(office: Client, shop: Shop, finance: User) -> None:
    add = reverse("admin:billing_plan_add")
    assert "currency" in office.get(add).content.decode()
    answer = office.post(add, {"code": "team", "name": "Team", "currency": "usd"})

    draft = PlanDraft.objects.get()
    assert answer.headers["Location"] == page(draft)
    assert AuditEvent.objects.get(action="plan_draft.created").actor_id == finance.pk
    assert "1 thing to put right" in office.get(page(draft)).content.decode()
    assert "Lower case" in office.post(add, {"code": "Team!", "name": "T", "currency": "usd"}).content.decode()
    assert "already" in office.post(add, {"code": "team", "name": "T", "currency": "usd"}).content.decode()


def test_the_next_versions_draft_begins_as_the_latest_version_is(office: Client, plan: Plan) -> None:
    action = reverse("admin:billing_plan_change", args=[plan.pk]).replace("/change/", "/draft/")
    assert office.get(action).status_code == 200
    assert not PlanDraft.objects.exists()
    office.post(action)

    draft = PlanDraft.objects.get()
    latest = plan.latest()
    assert latest is not None
    assert draft.terms == plan_terms.of_version(latest)
    content = office.get(page(draft)).content.decode()
    assert "it can be published" in content
    assert "$2.50 per 1,000,000" in content
    assert "Nothing." in content


@pytest.mark.parametrize("price", EVERY_MODEL, ids=lambda price: str(price["model"]))
def test_every_model_goes_through_the_forms_unchanged(shop: Shop, plan: Plan, price: dict[str, Any]) -> None:
    shop.asset("tokens")
    more: dict[str, Any] = {"match": {"model": ["a", "b, c"]}, "failure_policy": "none"}
    more["valid"] = {"hours": [[22, 6], [12, 14]], "weekdays": [6, 7], "zone": "Europe/Berlin"}
    if price["model"] in {"per_unit", "package", "graduated", "volume"}:
        more["covered_by"] = "tokens"
    written = {"meter": "llm_input", "asset": "usd"} | price | more
    allowances = [{"asset": "tokens", "amount": "5000", "rollover_limit": "100"}]
    limits = [{"meter": "llm_input", "limit": "1000000"}, {"asset": "usd", "limit": "0.5"}]
    draft = make(plan, written, base_fee="49", allowances=allowances, fair_use=limits, interval="year", trial_days=14)

    editor = Editor.of_terms(draft)

    assert editor.readable()
    assert editor.terms() == {
        "interval": "year",
        "base_fee": "49",
        "minimum_commitment": "0",
        "overage_limit": "0",
        "commitment_discounts": [],
        "trial_days": 14,
        "cached_tokens": "own",
        "allowances": allowances,
        "fair_use": limits,
        "prices": [written],
    }
    assert editor.check(editor.wanted()), editor.problems()


def test_what_was_typed_is_kept_and_published_as_the_page_said(
    office: Client, shop: Shop, plan: Plan, finance: User
) -> None:
    customer = shop.customer(plan=None, usd="100")
    latest = plan.latest()
    assert latest is not None
    start(customer, latest)
    draft = make(plan, GRADUATED)

    answer = office.post(page(draft), sent(draft, base_fee="49.50", publish="1"))
    draft.refresh_from_db()
    assert draft.terms["base_fee"] == "49.5"
    question = answer.headers["Location"]
    assert question.startswith(page(draft, "publish"))
    asked = office.get(question).content.decode()
    assert "Pro, version 2" in asked
    assert "Subscriptions that stay on version 1</dt><dd>1" in asked
    assert "$0.00 → $49.50" in asked
    assert PlanVersion.objects.filter(plan=plan).count() == 1

    office.post(question, {"reason": "New prices for 2027"})

    version = plan.latest()
    assert version is not None
    assert (version.number, version.base_fee) == (2, Decimal("49.5"))
    assert [tier.unit_amount for tier in version.prices.get().tiers.all()] == [3, Decimal("2.5"), 2]
    assert not PlanDraft.objects.exists()
    trail = AuditEvent.objects.get(action="plan_draft.published")
    assert (trail.actor_id, trail.after) == (finance.pk, {"version": 2, "reason": "New prices for 2027"})


def test_a_dear_plan_is_published_by_two(office: Client, plan: Plan) -> None:
    draft = make(plan, GRADUATED, base_fee="5000")
    question = page(draft, "publish")
    assert "needs a second person" in office.get(question).content.decode()
    office.post(question, {"reason": "The enterprise one"})

    approval = Approval.objects.get()
    assert (approval.kind, approval.amounts) == ("plan", {"usd": "5000"})
    assert PlanVersion.objects.filter(plan=plan).count() == 1
    second = User.objects.create_superuser("second@ante.test", "correct horse battery")
    decide = reverse("admin:billing_approval_change", args=[approval.pk]).replace("/change/", "/approve/")
    desk = browser_of(second)
    assert "$0.00 → $5,000.00" in desk.get(decide).content.decode()
    desk.post(decide, {"reason": "Agreed"})

    version = plan.latest()
    assert version is not None
    assert (version.number, version.base_fee) == (2, 5000)
    assert not PlanDraft.objects.exists()


def test_what_was_asked_for_is_published_or_nothing(office: Client, plan: Plan) -> None:
    draft = make(plan, GRADUATED, base_fee="5000")
    office.post(page(draft, "publish"), {"reason": "The enterprise one"})
    drafts.change(actor=SYSTEM, draft=draft, terms={"base_fee": "5001"})

    second = browser_of(User.objects.create_superuser("second@ante.test", "correct horse battery"))
    decide = reverse("admin:billing_approval_change", args=[Approval.objects.get().pk]).replace("/change/", "/approve/")
    assert "Somebody else has changed" in second.post(decide, {"reason": "Agreed"}).content.decode()
    assert PlanVersion.objects.filter(plan=plan).count() == 1


def test_the_preview_is_what_the_engine_charges(office: Client, plan: Plan) -> None:
    draft = make(plan)
    typed = sent(make(plan, GRADUATED))

    answer = office.post(page(draft, "preview"), typed).json()

    assert answer["problems"] == {}
    shown = answer["previews"]["prices-0"].replace("</span><small>", "")
    assert "$3.00 up to 1,000,000, then $2.50 up to 10,000,000, then $2.00 per 1,000,000 units" in shown
    for quantity, amount in [("1,000", "$0.003"), ("1,000,000", "$3.00"), ("10,000,000", "$25.50")]:
        row = shown[shown.index(f">{quantity}</span>") :]
        assert amount in row[: row.index("</tr>")]
    assert "it can be published" in answer["summary"]
    assert "Llm Input in usd" in answer["summary"]
    draft.refresh_from_db()
    assert draft.terms == {"prices": []}


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"prices-0-tiers-1-up_to": "5"}, "prices-0-tiers-1-up_to", "greater than zero and than the tier before"),
        ({"prices-0-tiers-0-amount": "-1"}, "prices-0-tiers-0-amount", "Must not be negative"),
        ({"prices-0-tiers-0-amount": ""}, "prices-0-tiers-0-amount", "Is needed"),
        ({"prices-0-per": "ten"}, "prices-0-per", "Write a number"),
        ({"prices-0-per": "0"}, "prices-0-per", "Must be greater than zero"),
        ({"prices-0-match": "planet: mars"}, "prices-0-match", "is not a dimension"),
        ({"prices-0-match": "gpt-4o"}, "prices-0-match", "Write a dimension"),
        ({"prices-0-hours": "22:30-6"}, "prices-0-hours", "whole hours"),
        ({"prices-0-hours": "6-30"}, "prices-0-hours", "different hours"),
        ({"prices-0-hours": "6-7", "prices-0-zone": "Mars/Olympus"}, "prices-0-zone", "IANA"),
        ({"prices-0-model": "per_unit", "prices-0-unit_amount": "1"}, "prices-0-tiers", "does not go with"),
        ({"prices-0-model": "magic"}, "prices-0-model", "valid choice"),
        ({"prices-0-meter": "nothing"}, "prices-0-meter", "valid choice"),
        ({"prices-0-covered_by": "usd"}, "prices-0-covered_by", "another asset"),
        ({"base_fee": "1e40"}, "base_fee", "18 digits"),
        ({"base_fee": "NaN"}, "base_fee", "Write a number"),
        ({"trial_days": "-1"}, "trial_days", "greater than or equal"),
        ({"interval": "fortnight"}, "interval", "valid choice"),
    ],
    ids=lambda value: next(iter(value.values())) or "empty" if isinstance(value, dict) else None,
)
def test_what_is_wrong_stands_beside_its_field(
    office: Client, plan: Plan, typed: dict[str, Any], field: str, said: str
) -> None:
    draft = make(plan, GRADUATED)

    answer = office.post(page(draft, "preview"), sent(draft, **typed)).json()
    assert said.lower() in " ".join(answer["problems"][field]).lower()

    shown = office.post(page(draft), sent(draft, publish="1", **typed), follow=True).content.decode()
    assert "to put right before it can be published" in shown
    assert PlanVersion.objects.filter(plan=plan).count() == 1


def test_two_prices_that_could_fit_alike_are_told_apart_by_nobody(office: Client, plan: Plan) -> None:
    draft = make(plan, GRADUATED, GRADUATED)
    assert "equally well" in office.get(page(draft)).content.decode()
    assert office.get(page(draft, "publish")).headers["Location"] == page(draft)


def test_a_price_is_taken_out_and_empty_rows_are_left_out(plan: Plan) -> None:
    draft = make(plan, GRADUATED, GRADUATED | {"meter": "llm_output"})
    typed = sent(draft, **{"prices-0-DELETE": "on", "prices-1-tiers-2-DELETE": "on", "prices-1-tiers-1-up_to": ""})
    typed |= {"prices-1-tiers-TOTAL_FORMS": "5"}

    editor = Editor(draft, typed)

    assert editor.readable(), editor.problems()
    assert editor.check(editor.wanted()), editor.problems()
    (price,) = editor.terms()["prices"]
    assert (price["meter"], len(price["tiers"])) == ("llm_output", 2)


def test_a_draft_that_somebody_else_changed_meanwhile_is_not_overwritten(office: Client, plan: Plan) -> None:
    draft = make(plan, GRADUATED)
    typed = sent(draft, base_fee="7")
    drafts.change(actor=SYSTEM, draft=draft, terms={"base_fee": "9"})

    assert "Somebody else has changed" in office.post(page(draft), typed).content.decode()
    question = f"{page(draft, 'publish')}?seen={draft.changed_at.isoformat().replace('+', '%2B')}"
    assert "Somebody else has changed" in office.post(question, {"reason": "x"}).content.decode()

    draft.refresh_from_db()
    assert draft.terms["base_fee"] == "9"
    assert PlanVersion.objects.filter(plan=plan).count() == 1


def test_a_draft_is_thrown_away_after_a_question(office: Client, plan: Plan) -> None:
    draft = make(plan, GRADUATED)
    assert "throw away" in office.get(page(draft, "discard")).content.decode()
    office.post(page(draft, "discard"), {"reason": "A mistake"})
    assert not PlanDraft.objects.exists()
    assert AuditEvent.objects.get(action="plan_draft.discarded").after == {"reason": "A mistake"}


def test_who_may_what(plan: Plan) -> None:
    draft = make(plan, GRADUATED)
    support = User.objects.create_user("support@ante.test", "correct horse battery")
    staff.join(support, staff.SUPPORT)
    desk = browser_of(support)
    shown = desk.get(page(draft))
    assert shown.status_code == 200
    assert "Keep the draft" not in shown.content.decode()
    for name in ("change", "preview", "publish", "discard"):
        assert desk.post(page(draft, name), sent(draft)).status_code == 403, name
    assert desk.post(reverse("admin:billing_plan_add"), {"code": "x"}).status_code == 403

    clerk = User.objects.create_user("clerk@ante.test", "correct horse battery", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_plandraft", "change_plandraft"]))
    drafter = browser_of(clerk)
    assert drafter.post(page(draft), sent(draft, base_fee="3")).status_code == 302
    assert drafter.get(page(draft, "publish")).status_code == 403
    assert drafter.get(page(draft, "discard")).status_code == 403
    assert (
        browser_of(User.objects.create_user("no@ante.test", "x" * 20, is_staff=True)).get(page(draft)).status_code
        == 403
    )


def test_a_draft_too_large_for_a_page_says_so(office: Client, plan: Plan) -> None:
    draft = make(plan, *[GRADUATED] * 101)
    assert "through the API" in office.get(page(draft)).content.decode()
