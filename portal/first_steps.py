"""What a new customer does first. The list goes away when all of it is done."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import ApiKey
from accounts.services import factors
from billing.models import Grant
from portal import access, plans


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and where."""

    title: str
    why: str
    url: str
    done: bool


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
    ]
