"""Refusals in the reader's language: what of the services' English a page may show is listed here."""

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts import reading
from accounts.phrases import Phrases
from billing.engine.money import parse
from billing.errors import BillingError
from portal import amounts

SENTENCES = (
    # Alerts, budgets and who is told.
    gettext_noop("There can be at most {most} alerts: remove one first."),
    gettext_noop("There can be at most {most} budgets: remove one first."),
    gettext_noop("There is no such alert."),
    gettext_noop("There is no such budget."),
    gettext_noop("This budget was set by the operator: only they may change it."),
    gettext_noop("There is one already: remove it first."),
    gettext_noop("That is enough for a day."),
    gettext_noop("This code is no longer valid: remove it and add it again."),
    gettext_noop("This was sent already."),
    # Usage that was refused.
    gettext_noop("No plan of {customer} has a price for {type} with this data at that time."),
    gettext_noop("No plan of {customer} has the price of this level any more."),
    gettext_noop("The plan {plan} has no price for {meter} with {named}."),
    gettext_noop("{meter} is charged by the provider's cost, and the cost catalogue has none for this usage."),
    gettext_noop("This takes {required} {asset}, and the wallet of {customer} has {available} available for it."),
    gettext_noop("This takes {required} {asset}, and the wallet has {available} available for it."),
    gettext_noop("This takes {required} {unit}, and fair use of the plan {plan} has {left} left until {resets_at}."),
    gettext_noop(
        "This takes {required} {unit}, and the spend cap of the plan {plan} has {left} left until {resets_at}."
    ),
    gettext_noop("This takes {required} {unit}, and a budget has {left} left{until}."),
    gettext_noop(" until {moment}"),
    gettext_noop("The wallet of {customer} is frozen. Nothing was charged."),
    gettext_noop("The wallet of {customer} is frozen: it pays no more than was set aside."),
    # Charges, payments and what pays.
    gettext_noop("One of these events is in an open dispute already."),
    gettext_noop("This dispute was decided on already."),
    gettext_noop("Another payment has just been started. Wait a moment."),
    gettext_noop("Another payment is under way. Wait until it is through."),
    gettext_noop("What became of an earlier payment is not known yet. Try again in a minute."),
    gettext_noop("Your earlier payment has just come through. Look at the balance before you pay again."),
    gettext_noop("The earlier payment could not be closed: {trouble}"),
    gettext_noop("There is no such payment method."),
    gettext_noop("The payment provider does not answer. Try again in a minute."),
    gettext_noop("The payment provider does not answer. Nothing was paid; try again in a minute."),
    gettext_noop("The payment provider does not take it: {trouble}"),
    gettext_noop("It is not suspended."),
    # Plans.
    gettext_noop("{customer} is on the plan {plan} already."),
    gettext_noop("{customer} is to be on the plan {plan} by then."),
    gettext_noop("Only a plan that costs more can begin now. This one can begin with the next period."),
    gettext_noop("This plan has no trial as long as yours. It can begin when yours is over."),
    gettext_noop("The rest of the period costs {amount} {asset}, and the wallet of {customer} has {available} for it."),
    gettext_noop("Something was agreed for this plan. Ask the operator for another one."),
    gettext_noop("The subscription has ended."),
    gettext_noop("The subscription is canceled to its end already."),
    gettext_noop("The subscription is canceled to its end; reactivate it first."),
    gettext_noop("The subscription is on {plan} by now."),
    gettext_noop("The subscription is past due: what is owed is to be paid first, or change at the period's end."),
    gettext_noop("There is no cancellation to take back."),
    gettext_noop("There is a plan already: change it instead."),
    gettext_noop("The plan {plan} has no published version yet."),
    gettext_noop("The wallet cannot take another {amount} {asset}."),
    # Accounts.
    gettext_noop("This link was used already: sign in."),
    gettext_noop("This customer was erased before."),
    gettext_noop("Money is owed. Pay it first."),
    gettext_noop("An invoice is open: have it paid or write it off."),
    gettext_noop("There is usage that has not been paid for."),
    gettext_noop("Work is authorized and not captured yet."),
    gettext_noop("A payment is under way."),
    gettext_noop("A refund is under way."),
    gettext_noop("A charge is disputed."),
    gettext_noop("A payment is disputed."),
    gettext_noop("A plan still runs. Cancel it, and wait for its end."),
    gettext_noop("A second person has still to decide about something."),
    gettext_noop("The operator changed who has access within seven days. Ask the operator, or wait."),
    gettext_noop("{organization} has no other owner. Make somebody an owner first, or erase it as well."),
    gettext_noop("People of the back office stay named in what they decided, for as long as the books are kept."),
    gettext_noop("At most {most} blocks."),
    gettext_noop("{word} is no address and no CIDR block."),
    gettext_noop("This key has ended: make a new one."),
    gettext_noop("This key is paused: resume it first."),
    gettext_noop("This key was renewed before."),
    # Webhooks.
    gettext_noop("There are {most} endpoints already: remove one first."),
    gettext_noop("This endpoint is switched off: switch it on first."),
    gettext_noop("This message is about to be sent already."),
    gettext_noop("A test message is about to be sent already."),
    gettext_noop("This takes scopes that are missing: {scopes}."),
    gettext_noop("This is no address."),
    gettext_noop("It must begin with https://."),
    gettext_noop("It must not have a name or a password in it."),
    gettext_noop("It must not have a part after #."),
    gettext_noop("It is not a public address."),
    gettext_noop("At most {most} characters, without spaces; names in other scripts as xn--…."),
    # Why something was stopped: no refusals, but kept as those are said.
    gettext_noop("It said that it is gone (410)."),
    gettext_noop("It has failed for three days."),
    gettext_noop("It was switched off."),
    gettext_noop("Somebody paused it."),
    gettext_noop("A budget is used up."),
    gettext_noop("No payment method is kept that could be charged."),
    gettext_noop("A payment was disputed."),
    gettext_noop("The pack that it buys is not sold any more."),
    gettext_noop("It has paid so often within a day that something may be wrong. Set a limit for the month."),
    gettext_noop("The bank has declined this card too often lately; card networks forbid more."),
    gettext_noop("The bank asks for its owner's consent, which only you can give."),
)
"""Whole sentences, one or several beside each other."""

PHRASES = (
    gettext_noop("must not be empty"),
    gettext_noop("is required"),
    gettext_noop("is needed"),
    gettext_noop("is not a number"),
    gettext_noop("must not be negative"),
    gettext_noop("must be greater than zero"),
    gettext_noop("must be {span}"),
    gettext_noop("from {least} to {most} {currency}"),
    gettext_noop("can have at most {most} decimals in {currency}"),
    gettext_noop("{asset} has at most {most} decimals"),
    gettext_noop("can have at most {most} decimals"),
    gettext_noop("this wallet can be funded in {own}, not in {other}"),
    gettext_noop("is not sold any more"),
    gettext_noop("is not taken here"),
    gettext_noop("is not kept any more"),
    gettext_noop("is day, week or month"),
    gettext_noop("name one of amount, target and pack"),
    gettext_noop("must reach for at least one top-up"),
    gettext_noop("must be above the threshold"),
    gettext_noop("may be below zero only as far as the wallet may be overdrawn"),
    gettext_noop("takes from 1 to {most} thresholds"),
    gettext_noop("takes numbers above zero"),
    gettext_noop("takes whole numbers up to {most}"),
    gettext_noop("takes shares of the last top-up up to 1, with at most 4 decimals"),
    gettext_noop("takes shares of the commitment up to {most}, with at most 4 decimals"),
    gettext_noop("takes shares above 0 and up to {most}, with at most 4 decimals"),
    gettext_noop("does not go with this kind"),
    gettext_noop("does not go with counting events"),
    gettext_noop("does not go with a member"),
    gettext_noop("cannot ask to come again later: the limit is never reset"),
    gettext_noop("goes with a hard budget: a soft one only tells"),
    gettext_noop("is no key that reaches this customer"),
    gettext_noop("is nobody of this customer"),
    gettext_noop("names somebody who is nobody of this customer"),
    gettext_noop("takes 1 to {most} people"),
    gettext_noop("goes with a budget that several share"),
    gettext_noop("is nothing that a budget can be for"),
    gettext_noop("must differ from the beginning"),
    gettext_noop("quiet hours need a beginning and an end"),
    gettext_noop("{topic} is no topic"),
    gettext_noop("is none that there is"),
    gettext_noop("is not the one that was sent"),
    gettext_noop("names no type"),
    gettext_noop("there is no type {type}"),
    gettext_noop("{scope} is needed for {types}"),
    gettext_noop("charges in {its}, not {own}"),
    gettext_noop("must be within the last hour"),
    gettext_noop("lies before the period, or before the last change"),
    gettext_noop("{event} is not charged: there is nothing to dispute"),
)
"""What is said of one field, after its name."""

FIELDS = {
    "amount": _("Amount"),
    "currency": _("Currency"),
    "method": _("Payment method"),
    "pack": _("Pack"),
    "plan": _("Plan"),
    "reason": _("Reason"),
    "code": _("Code"),
    "address": _("Address"),
    "events": _("Events"),
}

_PRICED = re.compile(r"\{\w+\} \{(asset|unit|currency)\}")
_AMOUNTS = {"required", "available", "left", "amount", "least", "most"}
_ASSETS = {"asset", "own", "other", "its"}
_MOMENTS = {"resets_at", "moment"}


class _Refusals(Phrases):
    """Amounts, assets and moments as the pages write them."""

    def filled(self, template: str, values: Mapping[str, str]) -> str:
        return super().filled(*self._written(template, dict(values)))

    @staticmethod
    def _written(template: str, values: dict[str, str]) -> tuple[str, dict[str, str]]:
        for name in _MOMENTS & values.keys():
            values[name] = reading.moment(datetime.fromisoformat(values[name]))
        if priced := _PRICED.search(template):
            asset = values[priced[1]].lower()
            for name in _AMOUNTS & values.keys():
                amount = parse(values[name])
                values[name] = values[name] if amount is None else amounts.exact_text(amount, asset)
            return template.replace(f" {{{priced[1]}}}", ""), values
        for name in _ASSETS & values.keys():
            look = amounts.look(values[name].lower())
            values[name] = look.code.upper() if look.currency else look.name
        return template, values


_KNOWN = _Refusals((*SENTENCES, *PHRASES))
_SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")


def said(detail: str) -> str:
    """A refusal, or what is said of one field, in the reader's language; as it stands where it is not known here."""
    if _KNOWN.knows(detail):
        return _KNOWN.said(detail)
    # Several beside each other, such as all that stands in the way of erasing a customer.
    first, *rest = _SENTENCE.split(detail)
    while rest and not _KNOWN.knows(first):
        first = f"{first} {rest.pop(0)}"
    return f"{_KNOWN.said(first)} {said(' '.join(rest))}" if rest else detail


def words(refusal: BillingError, names: Mapping[str, Any] = MappingProxyType({})) -> str:
    """All of a refusal in sentences; ``names`` are what the form calls its fields."""
    if not refusal.errors:
        return said(refusal.detail)
    fields = {**FIELDS, **names}
    return " ".join(f"{_capital(str(fields.get(one.field, one.field)))} {said(one.detail)}." for one in refusal.errors)


def put(form: forms.Form, refusal: BillingError, *, on: str | None = None) -> None:
    """Each part of the refusal on the field that it is about, where the form has it, or else on ``on``."""
    for problem in refusal.errors:
        form.add_error(problem.field if problem.field in form.fields else on, said(problem.detail))
    if not refusal.errors:
        form.add_error(None, said(refusal.detail))


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
