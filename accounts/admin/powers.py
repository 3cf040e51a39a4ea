"""Who of the staff may do what: each page of the back office is asked, as a member of each group would ask it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Q
from django.http import HttpRequest

from accounts.models import User
from accounts.services import staff

_PLAIN = ("add", "change", "delete")


@dataclass(frozen=True, slots=True)
class _Member:
    """Nobody in particular, who may do exactly what a group may."""

    names: Collection[str]
    is_superuser: bool
    pk: None = None
    is_active: bool = True
    is_staff: bool = True

    def has_perm(self, name: str, obj: object = None) -> bool:
        return self.is_superuser or name in self.names

    def has_perms(self, names: Sequence[str], obj: object = None) -> bool:
        return all(map(self.has_perm, names))


@dataclass(frozen=True, slots=True)
class Row:
    """Something that can be done on the pages of ``subject``, and for each group whether it may. ``first``: of its
    subject."""

    subject: str
    deed: str
    may: Sequence[bool]
    first: bool


def overview() -> dict[str, Any]:
    """Groups with their people, what each may do (``Row``), and staff who have powers of their own."""
    groups = list(Group.objects.order_by("name").prefetch_related("permissions__content_type", "user_set"))
    named = [
        {"name": group.name, "does": staff.DESCRIPTIONS.get(group.name, ""), "people": _people(group)}
        for group in groups
    ]
    others = User.objects.filter(is_staff=True, is_active=True).filter(
        Q(user_permissions__isnull=False) | Q(is_superuser=True, groups=None)
    )
    return {"groups": named, "rows": list(_rows(groups)), "others": others.distinct()}


def _rows(groups: Sequence[Group]) -> Iterator[Row]:
    asking = [_request(group) for group in groups]
    pages = sorted(admin.site._registry.items(), key=lambda item: str(item[0]._meta.verbose_name_plural))
    for model, page in pages:
        found = [_deeds(page, request) for request in asking]
        deeds = dict.fromkeys(deed for each in found for deed in each)
        subject = str(model._meta.verbose_name_plural)
        for number, deed in enumerate(deeds):
            yield Row(subject[:1].upper() + subject[1:], deed, [deed in each for each in found], number == 0)


def _deeds(page: Any, request: HttpRequest) -> list[str]:
    plain = [name.capitalize() for name in _PLAIN if getattr(page, f"has_{name}_permission")(request)]
    offered = [*page.get_actions_list(request), *page.get_actions_detail(request, "")]
    return [*plain, *(str(action.description).rstrip("…") for action in offered)]


def _request(group: Group) -> HttpRequest:
    names = {f"{each.content_type.app_label}.{each.codename}" for each in group.permissions.all()}
    request = HttpRequest()
    request.user = _Member(names, is_superuser=group.name == staff.ADMINISTRATOR)  # type: ignore[assignment]
    return request


def _people(group: Group) -> list[User]:
    return [user for user in group.user_set.all() if user.is_active]
