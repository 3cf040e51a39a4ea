"""What a new customer does first. The list goes away when all of it is done."""

import json
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import ApiKey
from accounts.services import factors
from billing.models import Grant
from portal import access, calculator, plans


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and where."""

    title: str
    why: str
    url: str
    done: bool


@dataclass(frozen=True, slots=True)
class Example:
    """An event to begin with: its type, and its data as JSON."""

    type: str
    data: str


def example(visit: access.Visit) -> Example:
    """One that the customer's plan has prices for; without a plan one as any application might send."""
    versions = [one.subscription.plan_version for one in plans.running(visit.customer, timezone.now())]
    for kind in calculator.kinds(versions)[:1]:
        data: dict[str, Any] = {**kind.given, **{name: values[0] for name, values in kind.choices.items()}}
        return Example(kind.type, json.dumps(data | {name: int(value) for name, value in kind.numbers.items()}))
    return Example("llm.completion", '{"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 300}')


def steps(visit: access.Visit, *, has_events: bool) -> list[Step]:
    """For those who may do all of it, until the first event has been charged."""
    if has_events or not (visit.may("wallet:fund") and visit.may("keys:write")):
        return []
    return [
        Step(
            gettext("Set up a second factor"),
            gettext("It guards the wallet: topping up and making keys ask for it."),
            reverse("portal:security"),
            factors.enrolled(visit.user),
        ),
        Step(
            gettext("Choose a plan"),
            gettext("It says what usage costs."),
            reverse("portal:plan"),
            bool(plans.running(visit.customer, timezone.now())),
        ),
        Step(
            gettext("Put money into the wallet"),
            gettext("Usage takes it out, request by request."),
            reverse("portal:top-up"),
            Grant.objects.filter(customer=visit.customer).exists(),
        ),
        Step(
            gettext("Make an API key"),
            gettext("Your application reports usage with it."),
            reverse("portal:keys"),
            ApiKey.objects.filter(organization=visit.customer.organization, revoked_at=None).exists(),
        ),
        Step(
            gettext("Record the first event"),
            gettext("The command is below. The balance moves while you look."),
            "#first-title",
            done=False,
        ),
    ]
