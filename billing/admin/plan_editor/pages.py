"""The editor's pages: editing with a live preview, publishing, throwing away."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from accounts.backoffice import actor_of
from billing.admin import by_hand, confirm
from billing.admin.plan_editor import preview
from billing.admin.plan_editor.editor import Editor
from billing.admin.plan_editor.forms import TierFormSet
from billing.errors import BillingError
from billing.models import Approval, PlanDraft
from billing.selectors.catalog import plan_terms
from billing.services import approvals
from billing.services.catalog import drafts, plans

CHANGES_SHOWN = 50
FEW = 3
"""So many prices are shown unfolded."""


def edit(page: Any, request: HttpRequest, draft_id: UUID, *, may_change: bool) -> HttpResponse:
    """The forms; sent, what was typed is kept, whether it can be published yet or not."""
    draft = find(draft_id)
    if not Editor.fits(draft):
        return TemplateResponse(request, "admin/ante/editor/too_large.html", _context(page, request, draft))
    sent = request.method == "POST" and may_change
    editor = Editor(draft, request.POST) if sent else Editor.of_terms(draft)
    readable = editor.readable()
    wanted = editor.wanted() if readable else None
    terms = editor.terms() if readable else {}
    publishable = wanted is not None and editor.check(wanted)
    if sent and readable:
        try:
            draft = drafts.change(
                actor=actor_of(request), draft=draft, terms=terms, seen=_moment(request.POST.get("seen"))
            )
        except BillingError as refusal:
            messages.error(request, refusal.detail)
        else:
            if "publish" in request.POST and publishable:
                return HttpResponseRedirect(f"{_url('publish', draft)}?seen={_written(draft.changed_at)}")
            if "publish" in request.POST:
                messages.error(request, "The draft is kept. What it still lacks stands beside the fields.")
            else:
                messages.success(request, "The draft is kept. Nobody is billed by it.")
            return HttpResponseRedirect(_url("change", draft))
    shown = preview.of_editor(editor)
    context = _context(page, request, draft) | {
        "editor": editor,
        "seen": request.POST.get("seen") if sent else draft.changed_at.isoformat(),
        "may_change": may_change,
        "priced": [(form, shown.get(form.prefix, "")) for form in editor.prices],
        "few": len(editor.prices.forms) <= FEW,
        "empty_tier": TierFormSet(prefix="__tiers__").empty_form,
        "show_problems": bool(sent or draft.terms),
        **_summary(editor, wanted, draft),
    }
    return TemplateResponse(request, "admin/ante/editor/edit.html", context)


def live(request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """What the forms come to as they stand in the page: nothing is kept."""
    draft = find(draft_id)
    editor = Editor(draft, request.POST)
    wanted = editor.wanted() if editor.readable() else None
    if wanted is not None:
        editor.check(wanted)
    return JsonResponse(
        {
            "problems": editor.problems(),
            "previews": preview.of_editor(editor),
            "summary": render_to_string("admin/ante/editor/summary.html", _summary(editor, wanted, draft)),
        }
    )


def publish(page: Any, request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """The question, with all that would change and who stays where they are."""
    draft = find(draft_id)
    editor = Editor.of_terms(draft)
    wanted = editor.wanted() if editor.readable() else None
    if wanted is None or not editor.check(wanted):
        messages.error(request, "The draft cannot be published yet: what is wrong stands beside the fields.")
        return HttpResponseRedirect(_url("change", draft))
    published = draft.plan.latest()
    running = plan_terms.running_by_version(draft.plan)
    stay: list[tuple[str, object]] = [
        (f"Subscriptions that stay on version {number}", count) for number, count in running.items()
    ]
    currency = draft.plan.currency_id
    found = preview.changes(wanted, published, currency=currency)
    lines: list[tuple[str, object]] = [
        ("New subscriptions from now on", "get this version"),
        *(stay or [("Subscriptions now", "none")]),
        *((each.what, f"{each.before or 'none'} → {each.after or 'none'}") for each in found[:CHANGES_SHOWN]),
    ]
    if len(found) > CHANGES_SHOWN:
        lines.append(("And further changes", len(found) - CHANGES_SHOWN))
    seen = _moment(request.GET.get("seen")) or draft.changed_at
    number = (published.number if published else 0) + 1
    terms = {
        "draft": str(draft.pk),
        "seen": seen.isoformat(),
        "plan": str(draft.plan_id),
        "named": f"{draft.plan}, version {number}",
        "changes": {each.what: f"{each.before or 'none'} → {each.after or 'none'}" for each in found},
    }
    return confirm.view(
        page,
        request,
        obj=draft.plan,
        question="You are about to publish, for good:",
        figure=terms["named"],
        lines=lines,
        warning=by_hand.warning(
            request, plans.amounts(currency, wanted), is_plan=True, endless=plans.endless(currency, wanted)
        ),
        note="A published version never changes. What is wrong in it is put right by the next one.",
        button="Publish",
        run=lambda reason: approvals.perform(
            actor=actor_of(request), kind=Approval.Kind.PLAN, terms=terms, reason=reason
        ),
        done=f"{draft.plan} has a new version. Subscriptions stay on theirs until they are moved.",
    )


def discard(page: Any, request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """The question, and the draft is gone."""
    draft = find(draft_id)
    return confirm.view(
        page,
        request,
        obj=draft.plan,
        question="You are about to throw away",
        figure=str(draft),
        lines=[("Published versions", "stay as they are"), ("Subscriptions", "stay as they are")],
        note="What was typed into the draft is gone then.",
        button="Throw it away",
        run=lambda reason: drafts.discard(actor=actor_of(request), draft=draft, reason=reason),
        done="The draft is gone.",
    )


def find(draft_id: UUID | str) -> PlanDraft:
    """The draft with its plan."""
    try:
        pk = UUID(str(draft_id))
    except ValueError as error:
        raise Http404 from error
    return get_object_or_404(PlanDraft.objects.select_related("plan__currency"), pk=pk)


def _summary(editor: Editor, wanted: plans.Terms | None, draft: PlanDraft) -> dict[str, Any]:
    published = draft.plan.latest()
    problems = editor.problems()
    return {
        "publishable": wanted is not None and not problems,
        "problems_count": sum(map(len, problems.values())),
        "unplaced": problems.get("", []),
        "published": published,
        "changes": [] if wanted is None else preview.changes(wanted, published, currency=draft.plan.currency_id),
        "readable": wanted is not None,
    }


def _context(page: Any, request: HttpRequest, draft: PlanDraft) -> dict[str, Any]:
    return {
        **admin.site.each_context(request),
        "title": str(draft),
        "opts": page.model._meta,
        "draft": draft,
        "plan_url": reverse("admin:billing_plan_change", args=[draft.plan_id]),
        "preview_url": _url("preview", draft),
        "discard_url": _url("discard", draft),
    }


def _url(name: str, draft: PlanDraft) -> str:
    return reverse(f"admin:billing_plandraft_{name}", args=[draft.pk])


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+", "%2B")


def _moment(text: str | None) -> datetime | None:
    try:
        return parse_datetime(text or "")
    except ValueError:
        return None
