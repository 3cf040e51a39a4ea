"""Usage: what applications sent, and what it was charged. The event's page is its full receipt."""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RelatedDropdownFilter,
)

from accounts.backoffice import OffersWhatFits, detail_action, labelled
from accounts.lists import MomentFilter
from accounts.models import ApiKey
from billing.admin import cost_card, display, lookup, reversal
from billing.admin.base import BookAdmin, SummaryMixin
from billing.admin.evidence import EvidenceMixin
from billing.admin.ledger import entry_row
from billing.admin.periods import PeriodFilter, ReceivedPeriodFilter
from billing.engine.money import EXACT, ZERO
from billing.engine.prices import words
from billing.models import Budget, Charge, LedgerEntry, LedgerTransaction, Price, UsageEvent
from billing.selectors.catalog.catalog import price_terms
from billing.selectors.funding import evidence
from billing.selectors.ledger import corrections
from billing.selectors.usage import events, receipts

_STATUS_TONES = {"Charged": "success", "Unpaid": "warning", "Rejected": "danger", "Reversed": "info"}


@admin.register(UsageEvent)
class UsageEventAdmin(EvidenceMixin, SummaryMixin, OffersWhatFits, BookAdmin):
    change_form_template = "admin/ante/event.html"
    booked_field = "received_at"
    list_display = ("received", "customer_link", "event_id", "what", "status_shown", "num_cost", "occurred")
    list_display_links = ("received", "event_id")
    list_filter = (
        ReceivedPeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
        ("occurred_at", MomentFilter),
    )
    actions_detail = ("reverse", "evidence", "evidence_json")
    search_event = "id"
    search_help_text = "A customer, the sender's event id, or our own id of the event"

    def idle(self, obj: UsageEvent) -> Collection[str]:
        return ("reverse",) if events.status(obj) in {UsageEvent.Status.REJECTED, events.REVERSED} else ()

    def pack(self, event: Any) -> dict[str, Any]:
        return evidence.of_event(event)

    def get_queryset(self, request: HttpRequest) -> Any:
        return events.with_status(super().get_queryset(request)).prefetch_related("charges")

    def summary(self, request: HttpRequest, obj: UsageEvent) -> dict[str, Any]:
        charges = list(
            Charge.objects.filter(event=obj, customer_id=obj.customer_id, correction=None)
            .select_related("meter", "price__asset", "price__meter", "plan_version__plan", "asset", "event")
            .prefetch_related("price__tiers")
            .order_by("id")
        )
        corrected = corrections.of(obj)
        booked = LedgerEntry.objects.filter(
            transaction_id__in=[obj.pk, *(each.correction.pk for each in corrected)], customer_id=obj.customer_id
        )
        entries = list(booked.select_related("grant").order_by("id"))
        first = [entry for entry in entries if entry.transaction_id == obj.pk]
        status = events.status(obj)
        return {
            "event": obj,
            "customer": display.link(obj.customer),
            "status": display.badge(events.STATUSES[status], _TONES[status]),
            "corrections": [_correction_row(each) for each in corrected],
            "collected": None if (collected := events.collected_at(obj)) is None else display.moment(collected),
            "received": display.moment(obj.received_at),
            "occurred": display.moment(obj.occurred_at),
            "key": display.link(ApiKey.objects.filter(pk=obj.api_key_id).first())
            if obj.api_key_id
            else display.NOTHING,
            "data": display.pretty_json(obj.data),
            "extensions": display.pretty_json(obj.extensions) if obj.extensions else None,
            "refusal": obj.refusal and {**obj.refusal, "detail": display.said(obj.refusal.get("detail", ""))},
            "budget": _budget(obj),
            "charges": [_charge_row(charge) for charge in charges],
            "totals": [
                {"asset": asset, "amount": display.amount(total, asset)} for asset, total in _totals(charges).items()
            ],
            "left": [
                {"asset": asset, "amount": display.amount(Decimal(left), asset)}
                for asset, left in (obj.balance_after or {}).items()
            ],
            "entries": [entry_row(entry) for entry in entries],
            "draws": _draws(first),
            "transaction": display.link_to(LedgerTransaction, obj.pk, obj.pk) if first else None,
            "cost": cost_card.of(obj, charges)
            if charges and request.user.has_perm("billing.view_providercost")
            else None,
        }

    def has_reverse_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.add_correction")

    @detail_action(description="Reverse this charge…", url_path="reverse", icon="undo", permissions=["reverse"])
    def reverse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = lookup.row(UsageEvent.objects.select_related("customer"), object_id)
        return reversal.view(self, request, event)

    @admin.display(description="Received")
    def received(self, event: UsageEvent) -> SafeString:
        return display.moment(event.received_at)

    @admin.display(description="Occurred")
    def occurred(self, event: UsageEvent) -> SafeString:
        return display.moment(event.occurred_at)

    @admin.display(description="What")
    def what(self, event: UsageEvent) -> SafeString:
        """The one word that tells most, the model, the GPU, the agent, and the type of the event."""
        data = event.data if isinstance(event.data, dict) else {}
        word = str(data.get("model") or data.get("gpu") or data.get("agent") or "")[:60]
        return format_html('<span class="ante-what">{}<small>{}</small></span>', word, event.type)

    @labelled(description="Status", label=_STATUS_TONES)
    def status_shown(self, event: UsageEvent) -> str:
        return str(events.STATUSES[events.status(event)])

    @admin.display(description="Charged")
    def num_cost(self, event: UsageEvent) -> SafeString:
        totals = _totals(list(event.charges.all()))
        if not totals:
            return display.NOTHING
        return format_html("{}" * len(totals), *(display.amount(total, asset) for asset, total in totals.items()))


def _budget(event: UsageEvent) -> SafeString | None:
    """The one that did not let it pass, kept or removed."""
    wanted = (event.refusal or {}).get("budget")
    found = Budget.objects.filter(pk=wanted, customer_id=event.customer_id).first() if wanted else None
    return None if found is None else display.link(found)


@admin.register(Charge)
class ChargeAdmin(BookAdmin):
    list_display = ("posted", "customer_link", "meter", "dimensions_shown", "num_quantity", "num_amount", "event_link")
    list_display_links = ("posted",)
    list_select_related = ("customer", "meter")
    list_filter = (
        PeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("meter", RelatedDropdownFilter),
        ("asset", RelatedDropdownFilter),
        ("occurred_at", MomentFilter),
    )
    search_ids = ("id", "event_id")
    search_event = "event_id"
    search_help_text = "A customer, the sender's event id, or the id of a charge or an event"
    fields = (
        "id",
        "posted",
        "occurred",
        "customer_link",
        "event_link",
        "meter",
        "dimensions_shown",
        "num_quantity",
        "price_link",
        "arithmetic_shown",
        "num_amount",
        "plan_version",
        "subscription",
    )

    @admin.display(description="Posted")
    def posted(self, charge: Charge) -> SafeString:
        return display.moment(charge.posted_at)

    @admin.display(description="Occurred")
    def occurred(self, charge: Charge) -> SafeString:
        return display.moment(charge.occurred_at)

    @admin.display(description="Used for")
    def dimensions_shown(self, charge: Charge) -> SafeString:
        return display.pairs(charge.dimensions)

    @admin.display(description="Quantity")
    def num_quantity(self, charge: Charge) -> SafeString:
        return display.quantity(charge.quantity)

    @admin.display(description="Amount")
    def num_amount(self, charge: Charge) -> SafeString:
        return display.amount(charge.amount, charge.asset_id)

    @admin.display(description="Event")
    def event_link(self, charge: Charge) -> SafeString:
        return display.link_to(UsageEvent, charge.event_id, display.short_id(charge.event_id))

    @admin.display(description="Price")
    def price_link(self, charge: Charge) -> SafeString:
        return display.link(charge.price)

    @admin.display(description="Worked out as")
    def arithmetic_shown(self, charge: Charge) -> str:
        return arithmetic(charge)


def arithmetic(charge: Charge) -> str:
    """How the amount follows from quantity and price, in words of arithmetic. Its event and price must be loaded."""
    return words.arithmetic(receipts.explain(charge, charge.event), charge.amount, charge.asset_id)


_TONES = {"charged": "good", "unpaid": "warn", "rejected": "bad", "reversed": "info"}


def _totals(charges: list[Charge]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for charge in charges:
        totals[charge.asset_id] = EXACT.add(totals.get(charge.asset_id, ZERO), charge.amount)
    return totals


def _charge_row(charge: Charge) -> dict[str, Any]:
    return {
        "meter": charge.meter,
        "quantity": display.quantity(charge.quantity),
        "unit": charge.meter.unit,
        "price": display.link_to(Price, charge.price_id, _price_text(charge.price)),
        "match": display.pairs(charge.price.match),
        "arithmetic": arithmetic(charge),
        "late": charge.late,
        "amount": display.amount(charge.amount, charge.asset_id),
        "asset": charge.asset_id,
        "plan": charge.plan_version,
    }


def _correction_row(shown: corrections.Shown) -> dict[str, Any]:
    row = shown.correction
    return {
        "what": row.get_kind_display(),
        "when": display.moment(row.created_at),
        "actor": row.actor,
        "reason": row.reason,
        "amounts": [display.amount(amount, asset) for asset, amount in shown.amounts.items()],
        "transaction": display.link_to(LedgerTransaction, row.pk, display.short_id(row.pk)) if shown.posted else "",
    }


def _price_text(price: Price) -> str:
    return words.describe(price_terms(price), price.asset_id, price.meter.unit)


def _draws(entries: list[LedgerEntry]) -> list[dict[str, Any]]:
    """What each grant gave, in the order in which they were drawn; the overdraft last."""
    drawn: dict[Any, dict[str, Any]] = {}
    for entry in entries:
        row = drawn.setdefault(
            (entry.grant_id, entry.asset_id),
            {"grant": entry.grant, "asset": entry.asset_id, "total": ZERO},
        )
        row["total"] = EXACT.add(row["total"], entry.amount)
    return [
        {
            "grant": display.link(row["grant"]) if row["grant"] else "Overdraft",
            "kind": row["grant"].get_kind_display() if row["grant"] else "",
            "amount": display.amount(row["total"], row["asset"]),
            "asset": row["asset"],
        }
        for row in drawn.values()
    ]
