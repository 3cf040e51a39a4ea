"""What the back office does with personal data: taking it out for who asks, and erasing it with a second person."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from accounts.admin import people as accounts_people
from accounts.backoffice import actor_of, detail_action, row
from accounts.models import User
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import audit
from accounts.services import privacy as people
from billing.admin import confirm
from billing.engine import archives
from billing.models import Approval, Customer
from billing.selectors.customer import privacy as selector
from billing.services import approvals
from billing.services.customer import privacy

POWER = "accounts.change_user"
_WHY_TWO = "Nobody is erased by one person alone: it waits for a second one."

admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(accounts_people.PersonAdmin):
    """People, with what concerns their data."""

    actions_detail = (*accounts_people.PersonAdmin.actions_detail, "export_data", "erase")

    def has_privacy_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(POWER)

    @detail_action(description="Export their data", url_path="export-data", icon="download", permissions=["privacy"])
    def export_data(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return export_person(request, row(User, object_id))

    @detail_action(description="Erase…", url_path="erase", icon="person_remove", permissions=["privacy"])
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return erase_person(request, self, row(User, object_id))


@requires_fresh_second_factor
def export_person(request: HttpRequest, person: User) -> HttpResponseBase:
    """All about one person, as one archive."""
    audit.record(actor=actor_of(request), action="user.exported", object_type="user", object_id=str(person.pk))
    return _archive(f"person-{person.pk}.zip", selector.of_person(person))


@requires_fresh_second_factor
def export_customer(request: HttpRequest, customer: Customer) -> HttpResponseBase:
    """All about a customer and its people, as one archive."""
    audit.record(
        actor=actor_of(request),
        action="customer.exported",
        object_type="customer",
        object_id=customer.external_id,
        organization_id=customer.organization_id,
    )
    return _archive(f"customer-{customer.pk}.zip", selector.of_organization(customer, notes=True))


def _archive(name: str, files: selector.Files) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(archives.stream(files), content_type="application/zip", headers=headers)


@requires_fresh_second_factor
def erase_person(request: HttpRequest, page: Any, person: User) -> HttpResponse:
    """Ask for a person to be forgotten."""
    return _ask(request, page, person, people.obstacles(person), {"person": str(person.pk)}, None)


@requires_fresh_second_factor
def erase_customer(request: HttpRequest, page: Any, customer: Customer) -> HttpResponse:
    """Ask for a customer to be forgotten."""
    return _ask(request, page, customer, privacy.obstacles(customer), {}, customer)


def _ask(
    request: HttpRequest,
    page: Any,
    obj: User | Customer,
    obstacles: list[str],
    terms: dict[str, Any],
    customer: Customer | None,
) -> HttpResponse:
    def run(reason: str) -> Approval | None:
        return approvals.perform(
            actor=actor_of(request), kind=Approval.Kind.ERASURE, terms=terms, reason=reason, customer=customer
        )

    return confirm.view(
        page,
        request,
        obj=obj,
        question="For ever and with nothing to bring it back, all that says who this is:",
        figure=str(obj),
        lines=[("In the way", why) for why in obstacles] or [("In the way", "Nothing")],
        button="Ask for the erasure",
        run=run,
        done=f"{obj} is erased.",
        warning=" ".join(obstacles) or _WHY_TWO,
        note="Amounts, times and ids stay in the books, and invoices as they were issued.",
    )
