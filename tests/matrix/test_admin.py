"""Every address of the back office, and everybody who might try it: staff of each group, and who is no staff at all."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse

from accounts.models import Membership, User
from accounts.services import staff
from billing.models import Partner, WhatIfRun
from tests.billing.admin.test_gate import names
from tests.builders import browser_of
from tests.matrix.conftest import Tenant

FINANCE = {staff.ADMINISTRATOR, staff.FINANCE}
SUPPORT = FINANCE | {staff.SUPPORT}
ALL = SUPPORT | {staff.AUDITOR}

# What is no model's list, page, history, addition, change or deletion: who may open it. Sent empty, none does anything.
PAGES: dict[str, set[str]] = {
    "index": ALL,
    "app_list": ALL,
    "search": ALL,
    "jsi18n": ALL,
    "billing_margins": ALL,
    "billing_try_event": ALL,
    "billing_what_if": ALL,
    "billing_workers": ALL,
    "billing_revenue": ALL,
    "billing_chart_of_accounts": ALL,
    "accounts_user_powers": ALL,
    "accounts_user_reset_second_factor": {staff.ADMINISTRATOR},
    "accounts_user_export_data": {staff.ADMINISTRATOR},
    "accounts_user_erase": {staff.ADMINISTRATOR},
    "billing_customer_export_data": {staff.ADMINISTRATOR},
    "billing_customer_erase": {staff.ADMINISTRATOR},
    "accounts_apikey_renew": {staff.ADMINISTRATOR},
    "accounts_apikey_resume": {staff.ADMINISTRATOR},
    "accounts_apikey_allow_from": {staff.ADMINISTRATOR},
    "accounts_apikey_revoke": {staff.ADMINISTRATOR},
    "accounts_organization_allow_from": {staff.ADMINISTRATOR},
    "accounts_identityprovider_remove": {staff.ADMINISTRATOR},
    "accounts_outgoingmail_send_again": SUPPORT,
    "accounts_auditevent_export": ALL,
    "billing_approval_approve": FINANCE,
    "billing_approval_reject": FINANCE,
    "billing_approval_withdraw": set(),
    "billing_plan_draft_version": FINANCE,
    "billing_plan_move_everybody": FINANCE,
    "billing_plan_offer": FINANCE,
    "billing_plan_product": FINANCE,
    "billing_plan_metered_product": FINANCE,
    "billing_customer_start_plan": FINANCE,
    "billing_customer_grant_credit": FINANCE,
    "billing_customer_grant_recurring": FINANCE,
    "billing_customer_adjust": FINANCE,
    "billing_customer_set_overdraft_limit": FINANCE,
    "billing_customer_freeze": FINANCE,
    "billing_customer_unfreeze": FINANCE,
    "billing_customer_add_note": SUPPORT,
    "billing_wallet_grant_credit": FINANCE,
    "billing_wallet_adjust": FINANCE,
    "billing_grant_void": FINANCE,
    "billing_recurringgrant_pause": FINANCE,
    "billing_recurringgrant_resume": FINANCE,
    "billing_recurringgrant_cancel": FINANCE,
    "billing_grant_extend": FINANCE,
    "billing_invoice_record_payment": FINANCE,
    "billing_invoice_write_off": FINANCE,
    "billing_invoice_void": FINANCE,
    "billing_exportfile_try_again": FINANCE,
    "billing_topup_refund": FINANCE,
    "billing_topup_look_up": FINANCE,
    "billing_paymentattempt_look_up": FINANCE,
    "billing_subscription_cancel_later": FINANCE,
    "billing_subscription_cancel_now": FINANCE,
    "billing_subscription_reactivate": FINANCE,
    "billing_subscription_change_plan": FINANCE,
    "billing_usageevent_reverse": FINANCE,
    "billing_usageevent_evidence": ALL,
    "billing_usageevent_evidence_json": ALL,
    "billing_chargedispute_accept": FINANCE,
    "billing_chargedispute_decline": FINANCE,
    "billing_chargedispute_evidence": ALL,
    "billing_chargedispute_evidence_json": ALL,
    "billing_webhookendpoint_test_endpoint": FINANCE,
    "billing_webhookendpoint_switch_endpoint": FINANCE,
    "billing_webhookendpoint_renew_secret": FINANCE,
    "billing_webhookdelivery_replay_delivery": FINANCE,
    "billing_autotopup_switch_off": FINANCE,
    "billing_autotopup_resume": FINANCE,
    "billing_budget_remove_budget": FINANCE,
    "billing_alert_remove_alert": FINANCE,
    "billing_noticedelivery_send_again": FINANCE,
    "billing_meter_presets": FINANCE,
    "billing_meter_from_preset": FINANCE,
    "billing_plandraft_preview": FINANCE,
    "billing_plandraft_publish": FINANCE,
    "billing_plandraft_discard": FINANCE,
    "auth_user_password_change": {staff.ADMINISTRATOR},
    "billing_dispute_evidence": ALL,
    "billing_dispute_evidence_json": ALL,
    "billing_dispute_look_up": FINANCE,
    "billing_dispute_send_evidence": FINANCE,
    "billing_invoice_pdf": ALL,
    "billing_pack_withdraw": FINANCE,
    "billing_partner_paper": ALL,
    "billing_partner_pay_out": FINANCE,
    "billing_partner_statement": ALL,
    "billing_providercost_end_cost": FINANCE,
    "billing_providerevent_retry": FINANCE,
    "billing_report": ALL,
    "billing_revenue_day": ALL,
    "billing_revenue_lines": ALL,
    "billing_taxrule_end_rule": FINANCE,
    "billing_what_if_run": ALL,
}
ARGUMENTS: dict[str, Callable[[], list[Any]]] = {
    "app_list": lambda: ["billing"],
    "auth_user_password_change": lambda: [User.objects.earliest("pk").pk],
    "billing_partner_paper": lambda: [Partner.objects.get().pk, 2020, 1],
    "billing_report": lambda: ["ageing"],
    "billing_revenue_day": lambda: ["2020-01-01"],
    "billing_revenue_lines": lambda: ["2020-01-01"],
    "billing_what_if_run": lambda: [WhatIfRun.objects.get().pk],
}
"""Of addresses whose argument is not a model's row as the name has it."""
SENT_ONLY = {"billing_plandraft_preview"}
"""Pages that answer a form and nothing else."""
ELSEWHERE = {
    "password_change": "leads to the one page where everybody changes theirs",
    "login": "leads to the one page where everybody signs in",
    "logout": "ends one's own session",
    "password_change_done": "says so",
    "autocomplete": "answers for a field of a form, by its model's own permission",
    "view_on_site": "leads to no page of ours",
    "billing_revenue_line": "of a day that has lines: tests/billing/admin/test_revenue.py",
}
WITHOUT_ROWS = {
    *("billing_bookcheck", "billing_discrepancy", "billing_idempotencyrecord", "billing_overhead"),
    *("billing_reconciliation", "billing_refund", "billing_spendanomaly", "billing_taxprofile", "billing_usagecounter"),
}
"""Models of which there is no row here: their lists and additions are tried, no page of one."""
STANDARD = ("changelist", "change", "history", "add", "delete")
MODELS = {f"{model._meta.app_label}_{model._meta.model_name}": model for model in admin.site._registry}
OUTSIDERS = ["staff without a group", "a customer's owner", "nobody"]


def own_names() -> set[str]:
    return {name.removeprefix("admin:") for name, _ in names(get_resolver()) if name.startswith("admin:")}


def is_standard(name: str) -> bool:
    model, _, page = name.rpartition("_")
    return page in STANDARD and model in MODELS


def address(name: str, rows: dict[str, Any]) -> str | None:
    """Where the page is, of acme's row where it is about one; None where there is no such row."""
    if name in ARGUMENTS:
        return reverse(f"admin:{name}", args=ARGUMENTS[name]())
    try:
        return reverse(f"admin:{name}")
    except NoReverseMatch:
        model = next(model for key, model in MODELS.items() if name.startswith(f"{key}_"))
        row = rows.setdefault(model._meta.label, model._default_manager.order_by("pk").first())
        return None if row is None else reverse(f"admin:{name}", args=[row.pk])


def client_of(who: str, acme: Tenant) -> Client:
    if who == "nobody":
        return Client(raise_request_exception=False)
    if who == "a customer's owner":
        return browser_of(acme.owner, raise_request_exception=False)
    person = User.objects.create_user(f"{who.replace(' ', '-').lower()}@ante.test", is_staff=True)
    if who in staff.GROUPS:
        staff.join(person, who)
    return browser_of(person, raise_request_exception=False)


def opens(client: Client, path: str, method: str) -> bool:
    """Whether the page is shown. What it did is taken back."""
    with transaction.atomic():
        response = client.get(path) if method == "GET" else client.post(path, {})
        if response.streaming:
            b"".join(response)  # A file that is not read keeps its place.
        transaction.set_rollback(True)
    assert response.status_code < 500, path
    if response.status_code == 302:
        # Back to one's own page with a word, from the action of a row; out to the door for strangers.
        return response["Location"].startswith("/admin/") and "login" not in response["Location"]
    return response.status_code == 200


def test_every_address_has_a_row() -> None:
    rest = {name for name in own_names() if not is_standard(name)}

    assert rest == PAGES.keys() | ELSEWHERE.keys()


def test_who_opens_what(acme: Tenant) -> None:
    wrong = []
    for who in (*staff.GROUPS, *OUTSIDERS):
        client, rows = client_of(who, acme), {}
        for name, groups in PAGES.items():
            path = address(name, rows)
            assert path is not None, name
            expected = who in groups or (name in {"index", "jsi18n", "search"} and who == OUTSIDERS[0])
            if name not in SENT_ONLY and opens(client, path, "GET") != expected:
                wrong.append((name, who, "does not open" if expected else "opens"))
            if not expected and opens(client, path, "POST"):
                wrong.append((name, who, "can send it"))

    assert wrong == []


def test_every_models_pages_follow_its_permissions(acme: Tenant) -> None:
    wrong, skipped = [], set()
    for who in (*staff.GROUPS, *OUTSIDERS):
        client, rows = client_of(who, acme), {}
        held = set(
            Permission.objects.filter(group__in=Group.objects.filter(name=who)).values_list(
                "content_type__app_label", "codename"
            )
        )
        for name in sorted(filter(is_standard, own_names())):
            key, _, page = name.rpartition("_")
            path = address(name, rows)
            if path is None:
                skipped.add(key)
                continue
            app, code = MODELS[key]._meta.app_label, MODELS[key]._meta.model_name
            needs = {"changelist": "view", "change": "view", "history": "view", "add": "add", "delete": "delete"}[page]
            may = (app, f"{needs}_{code}") in held
            if may and who != staff.SUPPORT:
                # That the pages open for those who may is looked at in tests/billing/admin/test_pages.py.
                continue
            shown = opens(client, path, "GET")
            # What the services alone write is added and deleted by nobody: never more than the group says.
            if (shown and not may) or (may and page in {"changelist", "change"} and not shown):
                wrong.append((name, who, shown, may))
            if not may and page != "history" and opens(client, path, "POST"):
                wrong.append((name, who, "can send it"))

    assert wrong == []
    assert skipped == WITHOUT_ROWS


def test_nobody_deletes_many_rows_at_once_nor_looks_rows_up_beyond_their_powers(acme: Tenant) -> None:
    fields = {
        (page.model._meta, name)
        for each, row in admin.site._registry.items()
        for page in (row, *(inline(each, admin.site) for inline in row.inlines))
        for name in getattr(page, "autocomplete_fields", ())
    }
    with_actions = [model for model, page in admin.site._registry.items() if page.actions is not None]
    assert (len(fields) > 4, User in with_actions) == (True, True)
    for who in (*staff.GROUPS, *OUTSIDERS):
        client = client_of(who, acme)
        for meta, name in fields:
            asked = {"app_label": meta.app_label, "model_name": meta.model_name, "field_name": name}
            sees = client.get(reverse("admin:autocomplete"), asked).status_code == 200
            assert sees == (who in staff.GROUPS), (who, meta.label, name)
        if who == staff.ADMINISTRATOR:
            continue
        for model in with_actions:
            with transaction.atomic():
                rows = [str(key) for key in model._default_manager.values_list("pk", flat=True)]
                marked = {"action": "delete_selected", "_selected_action": rows, "post": "yes", "index": "0"}
                client.post(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), marked)
                assert model._default_manager.count() == len(rows), (who, model)
                transaction.set_rollback(True)


def test_a_members_power_over_their_own_customer_is_none_here(acme: Tenant) -> None:
    assert Membership.objects.get(user=acme.owner).role == "owner"
    client = browser_of(acme.owner)
    assert client.get(reverse("admin:billing_customer_change", args=[acme.customer.pk])).status_code in {302, 403}
