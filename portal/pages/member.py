"""One member: what they did, what they spent, what limits them."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import ApiKey, AuditEvent
from accounts.services import audit
from billing.selectors.customer import members
from billing.selectors.spending import budgets
from portal import access
from portal.periods import Period

LINES = 50


@require_GET
@access.signed_in
@access.requires("team:read")
def member(request: HttpRequest, visit: access.Visit, membership_id: UUID) -> HttpResponse:
    """What one of the team did and spent."""
    organization = visit.membership.organization
    found = access.member(visit, membership_id)
    now = timezone.now()
    today = now.astimezone(visit.zone).date()
    month = Period(today.replace(day=1), today, visit.zone, "custom")
    kept = list(budgets.kept(visit.customer).filter(member=found.user))
    operators = audit.operators()
    keys = list(ApiKey.objects.filter(organization=organization, created_by=found.user))
    lines = AuditEvent.objects.filter(organization_id=organization.pk, actor_id=found.user_id)
    return access.render_for(
        request,
        visit,
        "portal/member.html",
        member=found,
        spent=members.spent(
            customer_id=visit.customer.pk,
            member=members.of(found),
            start=month.start,
            end=month.end,
        ),
        limits=budgets.now(visit.customer, kept),
        keys=keys,
        lines=[audit.outward(line, operators) for line in lines[:LINES]],
        month=month,
        now=now,
    )
