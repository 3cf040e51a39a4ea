"""Putting money in: the form, what became of a payment, receipts, and the methods that are kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, NoReturn, ParamSpec
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import reading, second_factor
from accounts.ids import uuid7
from accounts.services.audit import actor_of
from billing.engine.money import parse
from billing.errors import BillingError, InvalidRequest
from billing.models import AutoTopUp, Pack, PaymentAttempt, PaymentMethod, Refund, TopUp
from billing.services import idempotency
from billing.services.funding import attempts, methods, profiles, quotes, top_ups
from billing.services.invoicing import documents
from portal import access, downloads, refusals
from portal.tables import Column, Filter, Table

PAYMENTS = Table(
    "top-up",
    columns=[
        Column("what", _("What")),
        Column("when", _("When"), by="created_at"),
        Column("state", _("State"), by="status"),
        Column("paid", _("Paid"), by="attempt__amount", number=True),
        Column("receipt", _("Receipt"), number=True),
    ],
    usual="-when",
    anchor="payments",
    filters=[Filter("status", _("State"), TopUp.Status.choices)],
)
P = ParamSpec("P")


def paying(page: access.Page[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """What moves money or changes how it is paid: for those whose role says so, with a fresh second factor."""
    return access.signed_in(access.requires("wallet:fund")(second_factor.requires_fresh_second_factor(page)))


@dataclass(frozen=True, slots=True)
class Choice:
    """What the form was filled in with; what makes no sense counts as not filled in."""

    amount: str
    currency: str
    pack: str
    method: str
    keep: bool

    @classmethod
    def read(cls, values: dict[str, str]) -> "Choice":
        def text(name: str) -> str:
            return values.get(name, "").replace("\x00", "").strip()[:255]

        preset = text("preset")
        amount = text("amount") or ("" if preset == "other" else preset)
        return cls(
            amount=reading.typed(amount),
            currency=text("currency").lower(),
            pack=text("pack"),
            method=text("method"),
            keep=text("keep") == "on",
        )

    def query(self) -> str:
        """The same as an address asks for it."""
        fields = {"amount": self.amount, "currency": self.currency, "pack": self.pack, "method": self.method}
        return urlencode(
            {name: value for name, value in fields.items() if value} | ({"keep": "on"} if self.keep else {})
        )

    def quote(self, visit: access.Visit) -> quotes.Quote:
        """What it costs. Raises ``InvalidRequest``."""
        customer = visit.customer
        if self.pack:
            pack = Pack.objects.select_related("asset", "currency").filter(code=self.pack, active=True).first()
            if pack is None:
                raise InvalidRequest.field("pack", "is not sold any more")
            return quotes.quote_pack(customer=customer, pack=pack)
        amount = parse(self.amount)
        if amount is None:
            raise InvalidRequest.field("amount", "is not a number")
        offered = quotes.currencies(customer)
        code = self.currency or offered[0]
        if code not in offered:
            raise InvalidRequest.field("currency", "is not taken here")
        return quotes.quote(customer=customer, amount=amount, currency=quotes.currency(code))


@require_http_methods(["GET", "HEAD", "POST"])
@access.signed_in
def top_up(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """The form, with what is kept and what was paid; sent, the way to the provider's page."""
    if request.method == "POST" and (second_factor.is_fresh(request) or not visit.may("wallet:fund")):
        return _pay(request)
    if request.method == "POST":
        # Nobody fills in a form twice: it comes back filled in once the second factor is given.
        asked = Choice.read(request.POST.dict()).query()
        return redirect(f"{request.path}?{asked}&confirm=1")
    return _confirmed(request) if "confirm" in request.GET else _form(request, visit, choice=_prefilled(request))


@second_factor.requires_fresh_second_factor
@access.signed_in
def _confirmed(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    return _form(request, visit, choice=_prefilled(request))


def _prefilled(request: HttpRequest) -> Choice | None:
    """What the address asks for, so that other pages can lead here with an amount."""
    choice = Choice.read(request.GET.dict())
    return choice if choice.amount or choice.pack else None


@require_GET
@access.signed_in
@access.requires("wallet:fund")
def quote(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """What the form's present choice costs: the part of the page that follows the form."""
    return access.render_for(
        request, visit, "portal/parts/quote.html", **_quoted(Choice.read(request.GET.dict()), visit)
    )


@require_GET
@access.signed_in
@access.requires("invoices:read")
def paid(request: HttpRequest, visit: access.Visit, top_up_id: UUID) -> HttpResponse:
    """What has become of one payment. With htmx: the part that is asked for again until it has ended."""
    found = _own(visit, top_up_id)
    part = bool(getattr(request, "htmx", False))
    return access.render_for(
        request,
        visit,
        "portal/parts/top_up_state.html" if part else "portal/top_up_state.html",
        top_up=found,
        attempt=found.attempt,
        refunds=list(found.refunds.all()),
        waiting=found.attempt.status in PaymentAttempt.OPEN,
        reason=reason(found.attempt),
    )


@require_GET
@access.signed_in
@access.requires("invoices:read")
def receipt(request: HttpRequest, visit: access.Visit, top_up_id: UUID) -> HttpResponse:
    """The receipt of a payment that is in, made to be printed."""
    found = _own(visit, top_up_id)
    if found.status != TopUp.Status.SUCCEEDED:
        raise Http404
    refunds = list(found.refunds.filter(status=Refund.Status.SUCCEEDED))
    return access.render_for(
        request, visit, "portal/receipt.html", top_up=found, attempt=found.attempt, refunds=refunds
    )


@require_GET
@access.signed_in
@access.requires("invoices:read")
def receipt_pdf(request: HttpRequest, visit: access.Visit, top_up_id: UUID) -> HttpResponse:
    """The receipt on paper."""
    found = _own(visit, top_up_id)
    if found.status != TopUp.Status.SUCCEEDED:
        raise Http404
    return downloads.pdf(f"receipt-{found.pk}.pdf", documents.receipt_pdf(found))


@require_POST
@paying
def add_method(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """To the provider's page on which a method is added."""
    back = _address("portal:top-up")
    try:
        return redirect(methods.open_setup(customer=visit.customer, return_url=back, cancel_url=back))
    except BillingError as refusal:
        return _form(request, visit, error=refusals.said(refusal.detail), status=refusal.status)


@require_POST
@paying
def remove_method(request: HttpRequest, visit: access.Visit, method_id: UUID) -> HttpResponseBase:
    found = PaymentMethod.objects.select_related("customer").filter(pk=method_id, customer=visit.customer).first()
    if found is None:
        raise Http404
    try:
        methods.remove(actor=actor_of(request), method=found)
    except BillingError as refusal:
        return _form(request, visit, error=refusals.said(refusal.detail), status=refusal.status)
    messages.success(request, _("{method} was removed.").format(method=found))
    return redirect("portal:top-up")


@paying
def _pay(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    choice = Choice.read(request.POST.dict())
    try:
        asked = choice.quote(visit)
        plan = _plan(choice, visit)
        started = _begun_once(request, visit, choice, asked, plan)
    except BillingError as refusal:
        return _form(request, visit, choice=choice, error=refusals.words(refusal), status=refusal.status)
    return redirect(started.attempt.checkout_url or reverse("portal:paid", args=[started.pk]))


def _begun_once(
    request: HttpRequest, visit: access.Visit, choice: Choice, asked: quotes.Quote, plan: attempts.Plan
) -> TopUp:
    """The payment that this form began. Sent a second time, whatever became of the first, it begins no other."""
    wish = hashlib.sha256(f"{visit.customer.pk}|{_form_key(request)}|{choice.query()}".encode())

    def refuse(refusal: BillingError) -> NoReturn:
        raise refusal  # Nothing was begun: the same form may be sent again.

    answer = idempotency.phased(
        principal=f"user:{request.user.pk}",
        key=wish.hexdigest(),
        fingerprint=wish.digest(),
        before=lambda: attempts.make_way(visit.customer, PaymentAttempt.Purpose.TOP_UP),
        prepare=lambda: str(
            top_ups.create(actor=actor_of(request), customer=visit.customer, quote=asked, plan=plan).pk
        ),
        finish=lambda top_up_id: idempotency.Answer(201, {"top_up": str(top_ups.start(UUID(top_up_id)).pk)}),
        refuse=refuse,
    )
    return _own(visit, UUID(answer.body["top_up"]))


def _form_key(request: HttpRequest) -> str:
    """What tells this form from another one of the same person."""
    return request.POST.get("key") or str(uuid7())


def _plan(choice: Choice, visit: access.Visit) -> attempts.Plan:
    back, left = _address("portal:top-ups-back"), _address("portal:top-up")
    if not choice.method:
        way = PaymentAttempt.Way.CHECKOUT
        return attempts.Plan(way, keep_method=choice.keep, return_url=back, cancel_url=left)
    found = [one for one in kept(visit) if str(one.pk) == choice.method]
    if not found:
        raise InvalidRequest.field("method", "is not kept any more")
    return attempts.Plan(PaymentAttempt.Way.METHOD, method=found[0], return_url=back, cancel_url=left)


@require_GET
@access.signed_in
def back(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Where the provider sends people when they are done: on to what became of their latest payment."""
    latest = TopUp.objects.filter(customer=visit.customer).order_by("-id").first()
    return redirect("portal:paid", latest.pk) if latest is not None else redirect("portal:top-up")


def _form(
    request: HttpRequest,
    visit: access.Visit,
    *,
    choice: Choice | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    presets = [amount for amount in settings.TOP_UP_PRESETS if settings.TOP_UP_MIN <= amount <= settings.TOP_UP_MAX]
    chosen = choice or Choice(str(presets[len(presets) // 2]) if presets else "", "", "", "", keep=False)
    paid_so_far = TopUp.objects.filter(customer=visit.customer).select_related("attempt", "pack")
    table = PAYMENTS.page(request, paid_so_far if visit.may("invoices:read") else paid_so_far.none())
    may_pay = visit.may("wallet:fund")
    return access.render_for(
        request,
        visit,
        "portal/top_up.html",
        status=status,
        presets=presets,
        is_preset=any(parse(chosen.amount) == amount for amount in presets),
        currencies=quotes.currencies(visit.customer),
        packs=list(Pack.objects.filter(active=True).select_related("asset")),
        bonuses=quotes.bonuses(),
        least=settings.TOP_UP_MIN,
        most=settings.TOP_UP_MAX,
        methods=kept(visit) if may_pay else [],
        suspended=AutoTopUp.objects.filter(customer=visit.customer, enabled=True, state="suspended").first(),
        table=table,
        top_ups=[(row, reason(row.attempt)) for row in table.rows],
        may_pay=may_pay,
        choice=chosen,
        key=_form_key(request),
        error=error,
        ready=profiles.payable(),
        stand_in=settings.STRIPE_API_BASE,
        **(_quoted(chosen, visit) if may_pay else {}),
    )


def _quoted(choice: Choice, visit: access.Visit) -> dict[str, Any]:
    try:
        return {"quote": choice.quote(visit), "quote_error": ""}
    except InvalidRequest as refusal:
        return {"quote": None, "quote_error": refusals.words(refusal) if choice.amount or choice.pack else ""}


def _own(visit: access.Visit, top_up_id: UUID) -> TopUp:
    rows = TopUp.objects.filter(customer=visit.customer).select_related("customer", "attempt", "pack", "asset")
    found = rows.filter(pk=top_up_id).first()
    if found is None:
        raise Http404
    return found


def kept(visit: access.Visit) -> list[PaymentMethod]:
    """The methods that the customer can be charged with; none where no provider is connected."""
    if not profiles.payable():
        return []
    return list(methods.kept(visit.customer.pk, profiles.payments().mode))


def _address(name: str) -> str:
    return f"{settings.BASE_URL}{reverse(name)}"


REASONS = {
    "insufficient_funds": _("There is too little money behind this card. Nothing was taken; try another one."),
    "expired_card": _("The card has expired. Use another one."),
    "incorrect_cvc": _("The security code is wrong."),
    "lost_card": _("The bank refuses this card. Use another one, or ask the bank."),
    "stolen_card": _("The bank refuses this card. Use another one, or ask the bank."),
    "generic_decline": _("The bank declined the payment and gives no reason. Try another card, or ask the bank."),
    "card_declined": _("The bank declined the payment. Try another card, or ask the bank."),
    "processing_error": _("The bank could not process the payment. Try again in a few minutes."),
    "authentication_required": _("The bank wants to ask you first. Pay on the payment page, where it can."),
    "payment_intent_authentication_failure": _("The bank could not confirm that it was you. Nothing was taken."),
    "payment_method_bank_account_debit_failed": _("Your bank did not honour the debit. Nothing was taken."),
    "never_arrived": _("The payment never reached the payment provider. Nothing was taken."),
    "never_sent": _("The payment was never sent. Nothing was taken."),
}


def reason(attempt: PaymentAttempt) -> str:
    """Why the payment, or the last try on its page, failed; empty where it did not."""
    if not attempt.failure_code:
        return ""
    return str(REASONS.get(attempt.failure_code) or attempt.failure or _("The payment was refused."))
