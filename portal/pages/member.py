"""One member: what they did, what they spent, what limits them."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import ApiKey, AuditEvent, Membership
from accounts.services import audit
from billing.selectors.customer import members
from billing.selectors.spending import budgets
from portal import access
from portal.periods import midnight

LINES = 50


@require_GET
@access.signed_in
@access.requires("team:read")
def member(request: HttpRequest, visit: access.Visit, membership_id: UUID) -> HttpResponse:
    """What one of the team did and spent. Who may not see who changed what sees themselves alone."""
    organization = visit.membership.organization
    found = Membership.objects.select_related("user").filter(organization=organization, pk=membership_id).first()
    if found is None or not (visit.may("audit:read") or found.user_id == visit.user.pk):
        raise Http404
    now = timezone.now()
    month = midnight(now.astimezone(visit.zone).date().replace(day=1), visit.zone)
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
            email=found.user.email,
            keys=[key.pk for key in keys],
            start=month,
            end=now,
        ),
        limits=budgets.now(visit.customer, kept),
        keys=keys,
        lines=[audit.outward(line, operators) for line in lines[:LINES]],
        month=month,
        now=now,
    )
