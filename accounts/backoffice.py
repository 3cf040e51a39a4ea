"""What all pages of the back office share, whichever app they belong to."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import ShowFacets
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from unfold import fields
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.lists import CappedPaginator, QuickList
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import audit
from accounts.services.audit import actor_of

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Model = TypeVar("_Model", bound=Model)

__all__ = [
    "AuditedAdmin",
    "BackOfficeAdmin",
    "OffersWhatFits",
    "ReadOnlyAdmin",
    "actor_of",
    "detail_action",
    "labelled",
    "row",
]

# Where Pygments happens to be installed, as it is for the tests, the theme would colour JSON inline, which the content
# security policy refuses. It has no setting for that, and what it makes of a field cannot be changed from outside: the
# other way is a method beside every JSON field of every page.
fields.prettify_json = lambda data, encoder: None


def row(rows: type[_Model] | QuerySet[_Model], object_id: object) -> _Model:
    """The row of the model or queryset with this id, as it came in an address; 404 where it is none."""
    try:
        key = UUID(str(object_id))
    except ValueError:
        raise Http404 from None
    return get_object_or_404(rows, pk=key)


class BackOfficeAdmin(ModelAdmin):  # type: ignore[misc]
    """A page whose lists stay quick however large the table is."""

    paginator: type[Any] = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_fullwidth = True
    list_filter_submit = True
    indexed: tuple[str, ...] = ("customer",)
    """Of the fields that the list is narrowed by, those whose rows an index gives by id."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QuickList]:
        return QuickList

    def shown(self, request: HttpRequest, object_id: str) -> Any:
        """What the page is of, or None: looked up once for all that is shown of it. The form has one of its own."""
        kept: dict[str, Any] = request.__dict__.setdefault("_shown", {})
        if object_id not in kept:
            kept[object_id] = self.get_object(request, object_id)
        return kept[object_id]

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing. Django's own log would keep people's names for ever; who changed what is in the trail."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing, as above."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Nothing, as above."""


class OffersWhatFits(BackOfficeAdmin):
    """A page that offers no action which the state of its object rules out. Whoever comes to one all the same, or too
    late, is told by the service why not."""

    def idle(self, obj: Any) -> Collection[str]:
        """The names of the actions that could only be refused now."""
        raise NotImplementedError

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        obj = self.shown(request, str(object_id))
        names = () if obj is None else self.idle(obj)
        idle = {f"{self.opts.app_label}_{self.opts.model_name}_{name}" for name in names}
        return [
            offered for offered in super().get_actions_detail(request, object_id) if offered.action_name not in idle
        ]


class ReadOnlyAdmin(BackOfficeAdmin):
    """Seen by whoever may see it; added, changed and deleted by nobody, superusers included.

    The books and the facts they rest on have one writer, the services. The database refuses the same.
    """

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def labelled(*, description: str, label: Mapping[str, str]) -> Callable[[_Method], _Method]:
    """The theme's decorator for a column whose words are shown as coloured labels: word → tone."""
    decorator: Callable[[_Method], _Method] = display(description=description, label=dict(label))
    return decorator


def detail_action(
    *, description: str, url_path: str, icon: str, permissions: Sequence[str], asks_first: bool = True
) -> Callable[[_Method], _Method]:
    """The theme's decorator for the main action of an object's page.

    Its form ``asks_first`` for a fresh second factor, as sending it does: nobody fills it in to be asked then.
    """
    decorator: Callable[[_Method], _Method] = action(
        description=description,
        url_path=url_path,
        icon=icon,
        permissions=list(permissions),
        variant=ActionVariant.PRIMARY,
    )

    def decorated(method: _Method) -> _Method:
        return decorator(method_decorator(requires_fresh_second_factor)(method) if asks_first else method)

    return decorated


class AuditedAdmin(BackOfficeAdmin):
    """Changes of people and access, each with its line in the trail, in the transaction of the change."""

    audited_name: str
    audited_fields: tuple[str, ...]
    audited_relations: tuple[str, ...] = ()
    """What the object is put together with, such as a person's groups: a line of its own."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = self._fields(type(obj)._default_manager.get(pk=obj.pk)) if change else None
        super().save_model(request, obj, form, change)
        after = self._fields(obj)
        if before != after or "password" in form.changed_data:
            self._record(request, obj, "changed" if change else "created", before, after)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        before = self._relations(form.instance)
        super().save_related(request, form, formsets, change)
        after = self._relations(form.instance)
        if before != after:
            self._record(request, form.instance, "permissions_changed", before, after)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._record(request, obj, "deleted", self._fields(obj), None)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def _fields(self, obj: Any) -> dict[str, Any]:
        return {
            field: value if isinstance(value := getattr(obj, field), bool | None) else str(value)
            for field in self.audited_fields
        }

    def _relations(self, obj: Any) -> dict[str, list[str]]:
        return {name: sorted(map(str, getattr(obj, name).all())) for name in self.audited_relations}

    def _record(
        self,
        request: HttpRequest,
        obj: Any,
        what: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        audit.record(
            actor=actor_of(request),
            action=f"{self.audited_name}.{what}",
            object_type=self.audited_name,
            object_id=str(obj.pk),
            organization_id=self.organization_of(obj),
            before=before,
            after=after,
        )

    def organization_of(self, obj: Any) -> UUID | None:
        """Whose trail the change is in beside the operator's."""
        return None
