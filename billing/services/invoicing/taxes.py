"""Taxes: the rules of the operator's registrations, what customers say of themselves, and what a sale bears by them."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.services import audit
from billing.engine.money import amount_string
from billing.engine.taxes import EXEMPT, NONE, REVERSE_CHARGE, STANDARD, Decision, Part
from billing.errors import InvalidRequest, InvalidState, Unavailable
from billing.gateways import tax
from billing.models import Customer, TaxProfile, TaxRule

_TAX_ID = re.compile(r"^[A-Z0-9]{4,20}$")
_REGION = re.compile(r"^[A-Z0-9]{1,10}$")
_GREECE = {"GR": "EL"}
ADDRESS_LINES_MAX = 6


class Table:
    """The provider that is built in: what ``TaxRule`` has for the place and the day."""

    def decide(self, sale: tax.Sale) -> Decision:
        rules = [
            *TaxRule.objects.filter(Q(ends_on=None) | Q(ends_on__gte=sale.on), country=sale.country)
            .filter(Q(region="") | Q(region=sale.region), starts_on__lte=sale.on)
            .order_by("name", "-starts_on")
        ]
        parts: dict[tuple[str, str], TaxRule] = {}
        for rule in rules:
            parts.setdefault((rule.region, rule.name), rule)
        if not parts:
            return Decision(NONE)
        if sale.exempt:
            return Decision(EXEMPT)
        found = list(parts.values())
        abroad = sale.country != settings.TAX_HOME_COUNTRY
        if sale.tax_id and abroad and all(rule.reverse_charge for rule in found):
            return Decision(REVERSE_CHARGE)
        return Decision(
            STANDARD, tuple(Part(rule.name, rule.rate) for rule in found), any(rule.included for rule in found)
        )


def decide(customer: Customer, moment: datetime) -> Decision:
    """Which taxes a sale to the customer bears. Not to be called in a transaction, for a provider may be asked.

    Raises ``Unavailable`` where that cannot be found out: nothing is sold untaxed for want of an answer.
    """
    profile = TaxProfile.objects.filter(customer=customer).first() or TaxProfile(customer=customer)
    sale = tax.Sale(
        customer=customer.external_id,
        country=customer.country,
        region=profile.region,
        tax_id=profile.tax_id,
        exempt=bool(profile.exempt_reason),
        on=moment.astimezone(ZoneInfo(settings.TIME_ZONE)).date(),
    )
    try:
        return tax.provider().decide(sale)
    except tax.Unknown as trouble:
        raise Unavailable("What tax is due could not be found out. Try again in a minute.") from trouble


def add_rule(
    *,
    actor: audit.Actor,
    country: str,
    name: str,
    rate: Decimal,
    starts_on: date,
    region: str = "",
    reverse_charge: bool = False,
    included: bool = False,
) -> TaxRule:
    """A tax from that day on. A rule of the same place and name that runs ends the day before."""
    country, region = country.upper(), region.upper()
    if not re.fullmatch(r"[A-Z]{2}", country):
        raise InvalidRequest.field("country", "is two letters, such as DE")
    if not 0 <= rate < 1:
        raise InvalidRequest.field("rate", "is a share from 0 to below 1: 0.19 is 19 %")
    with transaction.atomic():
        same = TaxRule.objects.filter(country=country, region=region, name=name)
        if same.filter(starts_on__gte=starts_on).exists():
            raise InvalidRequest.field("starts_on", "must be after the start of the rule of the same name")
        same.filter(Q(ends_on=None) | Q(ends_on__gte=starts_on)).update(
            ends_on=date.fromordinal(starts_on.toordinal() - 1)
        )
        rule = TaxRule.objects.create(
            country=country,
            region=region,
            name=name,
            rate=rate,
            reverse_charge=reverse_charge,
            included=included,
            starts_on=starts_on,
        )
        _trail(actor, "tax_rule.added", rule, {"rule": str(rule), "rate": amount_string(rate)})
    return rule


def end_rule(*, actor: audit.Actor, rule: TaxRule, on: date, reason: str) -> TaxRule:
    """Let the rule hold until that day, which is its last. Raises ``InvalidState`` for one that has ended before."""
    if on < rule.starts_on:
        raise InvalidRequest.field("ends_on", "must not be before its first day")
    if rule.ends_on is not None and rule.ends_on < on:
        raise InvalidState(f"It has ended on {rule.ends_on} already.")
    with transaction.atomic():
        rule.ends_on = on
        rule.save(update_fields=["ends_on"])
        _trail(actor, "tax_rule.ended", rule, {"ends_on": on.isoformat(), "reason": reason})
    return rule


def set_profile(
    *,
    actor: audit.Actor,
    customer: Customer,
    tax_id: str = "",
    region: str = "",
    exempt_reason: str = "",
    address: Sequence[str] = (),
) -> TaxProfile:
    """What the customer's taxes go by from now on. What was invoiced stays as it is.

    Raises ``InvalidRequest`` for a number that cannot be one: in the EU it begins with the customer's country.
    """
    tax_id = re.sub(r"[\s.\-]", "", tax_id).upper()
    region = region.strip().upper()
    if tax_id and not _TAX_ID.fullmatch(tax_id):
        raise InvalidRequest.field("tax_id", "has 4 to 20 letters and digits")
    prefix = _GREECE.get(customer.country, customer.country)
    if tax_id and customer.country in settings.TAX_EU_COUNTRIES and not tax_id.startswith(prefix):
        raise InvalidRequest.field("tax_id", f"begins with {prefix} in {customer.country}")
    if region and not _REGION.fullmatch(region):
        raise InvalidRequest.field("region", "is a code such as QC")
    lines = [line.strip() for line in address if line.strip()]
    if len(lines) > ADDRESS_LINES_MAX or any(len(line) > 100 for line in lines):
        raise InvalidRequest.field("address", f"has at most {ADDRESS_LINES_MAX} lines of 100 characters")
    with transaction.atomic():
        profile, _ = TaxProfile.objects.select_for_update(no_key=True).get_or_create(customer=customer)
        terms = {"tax_id": tax_id, "region": region, "exempt_reason": exempt_reason.strip()[:200], "address": lines}
        before, changed = audit.differing(profile, terms)
        if not changed:
            return profile
        for field, value in changed.items():
            setattr(profile, field, value)
        profile.save()
        audit.record(
            actor=actor,
            action="tax_profile.changed",
            object_type="customer",
            object_id=customer.external_id,
            organization_id=customer.organization_id,
            before=before,
            after=changed,
        )
    return profile


def _trail(actor: audit.Actor, action: str, rule: TaxRule, facts: dict[str, Any]) -> None:
    audit.record(actor=actor, action=action, object_type="tax_rule", object_id=str(rule.pk), after=facts)
